package main

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/chunkget/chunkget/internal/units"
	"github.com/chunkget/chunkget/serve"
	"github.com/spf13/pflag"
)

// uploadOptions is what the command line says about taking files.
type uploadOptions struct {
	on        bool
	quota     units.Size
	maxSize   units.Size
	expire    time.Duration
	tokenFile string
}

func (o *uploadOptions) addFlags(f *pflag.FlagSet) {
	o.quota, o.maxSize = serve.DefaultUploadQuota, serve.DefaultUploadMaxSize
	f.BoolVar(&o.on, "upload", false, "take files into DIR: from chunkget put, PUT, and the form in listings; never overwrite one")
	f.Var(&o.quota, "upload-quota", "refuse uploads beyond this `SIZE` of everything in DIR together, unfinished uploads included")
	f.Var(&o.maxSize, "upload-max-size", "refuse to take a file larger than this `SIZE`")
	f.DurationVar(&o.expire, "upload-expire", serve.DefaultUploadExpire, "remove an unfinished upload after this `TIME` without a request for it, 1h or more; after 1h if nothing of the file has come")
	f.StringVar(&o.tokenFile, "upload-token-file", "", "take uploads only with a token of `FILE`, which is as that of --token-file (default: that of --token-file)")
}

// minExpire leaves time to mend a connection.
const minExpire = time.Hour

func (o *uploadOptions) validate() error {
	switch {
	case !o.on && o.tokenFile != "":
		return &usageError{"--upload-token-file without --upload has no effect", "add --upload"}
	case o.quota <= 0:
		return &usageError{"--upload-quota is too little", "the default is 100GiB; without --upload nothing is taken"}
	case o.maxSize <= 0:
		return &usageError{"--upload-max-size is too little", "the default is 50GiB; without --upload nothing is taken"}
	case o.expire < minExpire:
		return &usageError{fmt.Sprintf("--upload-expire %v is less than an hour", o.expire), "interrupted uploads are gone after it; the default is 72h"}
	}
	return nil
}

// options returns what package serve needs, nil if nothing is taken.
func (o *uploadOptions) options(form bool) *serve.UploadOptions {
	if !o.on {
		return nil
	}
	return &serve.UploadOptions{Quota: int64(o.quota), MaxSize: int64(o.maxSize), Expire: o.expire, NoForm: !form}
}

// warn says so if anybody may upload.
func (o *uploadOptions) warn(a *access, s *security, log *slog.Logger) {
	if o.on && a.mayUpload() == nil && s.clientCA == "" {
		log.Warn("anybody who reaches this server may upload; --upload-token-file, --token-file or --client-ca prevents that")
	}
}
