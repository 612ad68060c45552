package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// setting is a line of the configuration file.
type setting struct {
	line       int
	key, value string
}

// maxConfig is the size of the largest configuration file, in bytes.
const maxConfig = 1 << 20

// notInConfig are flags that make sense for one command line only.
var notInConfig = []string{"help", "version", "no-config"}

// configFile returns the name of the configuration file, "" if the system has no
// place for it.
func configFile() string {
	// Elsewhere than on Linux os.UserConfigDir does not look at the variable.
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "chunkget", "config")
}

// parseConfig reads lines of the form key = value. Empty lines, and lines that
// begin with #, do not count. A value in double quotes is read as in Go.
func parseConfig(r io.Reader, name string) (settings []setting, err error) {
	bad := func(line int, format string, args ...any) error {
		return &usageError{fmt.Sprintf("%s, line %d: %s", name, line, fmt.Sprintf(format, args...)),
			"lines look like: connections = 4; to do without the file, add --no-config"}
	}
	lines := bufio.NewScanner(io.LimitReader(r, maxConfig))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" {
			return nil, bad(n, "not of the form key = value")
		}
		if strings.HasPrefix(value, `"`) {
			if value, err = strconv.Unquote(value); err != nil {
				return nil, bad(n, "the value of %s is not quoted properly", quote(key))
			}
		}
		settings = append(settings, setting{n, key, value})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return settings, nil
}

// applyConfig sets the flags of cmd that the command line has not set from the
// file of that name; one that does not exist says nothing. A key is the name of a
// long flag of cmd, or of another command of this program, which then ignores it.
func applyConfig(cmd *cobra.Command, name string) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &usageError{fmt.Sprintf("read configuration: %v", err), "to do without the file, add --no-config"}
	}
	defer f.Close()
	settings, err := parseConfig(f, name)
	if err != nil {
		return err
	}
	given := make(map[string]bool)
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	for _, s := range settings {
		where := fmt.Sprintf("%s, line %d", name, s.line)
		switch flag := cmd.Flags().Lookup(s.key); {
		case slices.Contains(notInConfig, s.key) || flag == nil && !knownFlag(cmd.Root(), s.key):
			return &usageError{fmt.Sprintf("%s: unknown key %s", where, quote(s.key)),
				"keys are the long flags of chunkget --help; to do without the file, add --no-config"}
		case flag == nil || given[s.key]:
		default:
			if err := cmd.Flags().Set(s.key, s.value); err != nil {
				return &usageError{fmt.Sprintf("%s: %s cannot be %s", where, s.key, quote(s.value)),
					"see chunkget --help for the values of --" + s.key}
			}
		}
	}
	return nil
}

// knownFlag reports whether any command has a flag of that name.
func knownFlag(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Lookup(name) != nil ||
		slices.ContainsFunc(cmd.Commands(), func(c *cobra.Command) bool { return knownFlag(c, name) })
}

// addConfig makes all commands below root read the configuration file before they
// run, but for those that only print something about the program.
func addConfig(root *cobra.Command, u *ui) {
	none := root.PersistentFlags().Bool("no-config", false, "do not read the configuration file")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		for c := cmd; c != nil; c = c.Parent() {
			if n := c.Name(); n == "help" || n == "completion" || strings.HasPrefix(n, cobra.ShellCompRequestCmd) {
				return nil
			}
		}
		name := configFile()
		if *none || name == "" {
			return nil
		}
		err := applyConfig(cmd, name)
		if j := cmd.Flags().Lookup("json"); err != nil && j != nil && j.Value.String() == "true" {
			u.events().end(err)
		}
		return err
	}
}
