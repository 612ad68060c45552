package main

import (
	"encoding/base64"
	"net/url"

	"golang.org/x/net/http/httpproxy"
)

// proxySecrets returns what proxies are told and servers are not: logins, as a proxy
// may repeat them.
func (o *options) proxySecrets() (out []string) {
	proxies := []*url.URL{o.proxyURL}
	if o.proxyURL == nil {
		env := httpproxy.FromEnvironment()
		proxies = []*url.URL{environmentProxy(env.HTTPProxy), environmentProxy(env.HTTPSProxy)}
	}
	for _, p := range proxies {
		if p == nil || p.User == nil {
			continue
		}
		user := p.User.Username()
		password, _ := p.User.Password()
		login := user + ":" + password
		coded := base64.StdEncoding.EncodeToString([]byte(login))
		out = append(out, user, password, login, p.User.String(), coded, "Basic "+coded)
	}
	return out
}

// environmentProxy reads the value of a variable as http.ProxyFromEnvironment does, nil
// if it is none.
func environmentProxy(value string) *url.URL {
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || u.Host == "" {
		u, err = url.Parse("http://" + value)
	}
	if value == "" || err != nil {
		return nil
	}
	return u
}
