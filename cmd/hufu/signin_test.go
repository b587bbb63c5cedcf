package main

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptSignIn is the person with a browser whom a wallet asked to sign in: it waits for the address in
// the wallet's output, signs in, answers whether the wallet may have the credentials, and goes back.
//
//	signin FILE NUMBER PASSCODE allow|deny
func scriptSignIn(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: signin FILE NUMBER PASSCODE allow|deny")
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	b := browser{ts: ts, ctx: ctx, client: &http.Client{}}
	var err error
	b.client.Jar, err = cookiejar.New(nil)
	ts.Check(err)
	page := b.await(ts.MkAbs(args[0]))
	number := strings.TrimSpace(ts.ReadFile(args[1]))
	b.submit(page, url.Values{"step": {"signin"}, "number": {number}, "passcode": {args[2]}})
	back := b.submit(page, url.Values{"step": {"consent"}, "decision": {args[3]}})
	if !strings.Contains(back, "Go back to the wallet") {
		ts.Fatalf("the browser ended at:\n%s", back)
	}
}

type browser struct {
	ts     *testscript.TestScript
	ctx    context.Context
	client *http.Client
}

var (
	addressLine = regexp.MustCompile(`(?m)^  (http\S+request_uri=\S+)$`)
	tokenField  = regexp.MustCompile(`name="token" value="([^"]+)"`)
)

// await waits until the wallet says where to sign in.
func (b *browser) await(file string) *url.URL {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := os.ReadFile(file)
		if m := addressLine.FindSubmatch(raw); err == nil && m != nil {
			u, err := url.Parse(string(m[1]))
			b.ts.Check(err)
			return u
		}
		select {
		case <-b.ctx.Done():
			b.ts.Fatalf("nobody asked to sign in: %v, %s", err, raw)
		case <-tick.C:
		}
	}
}

// submit gets the page and sends its form, with what the person filled in, and follows.
func (b *browser) submit(page *url.URL, fields url.Values) string {
	body := b.do(http.MethodGet, page.String(), "", "")
	m := tokenField.FindStringSubmatch(body)
	if m == nil {
		b.ts.Fatalf("a page without a form:\n%s", body)
	}
	fields.Set("token", m[1])
	fields.Set("lang", "en")
	for _, name := range []string{"client_id", "request_uri"} {
		fields.Set(name, page.Query().Get(name))
	}
	bare := *page
	bare.RawQuery = ""
	return b.do(http.MethodPost, bare.String(), fields.Encode(), page.Scheme+"://"+page.Host)
}

func (b *browser) do(method, address, form, origin string) string {
	req, err := http.NewRequestWithContext(b.ctx, method, address, strings.NewReader(form))
	b.ts.Check(err)
	if form != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
	}
	res, err := b.client.Do(req)
	b.ts.Check(err)
	defer res.Body.Close()
	return readBody(b.ts, res)
}

func readBody(ts *testscript.TestScript, res *http.Response) string {
	var b strings.Builder
	_, err := io.Copy(&b, io.LimitReader(res.Body, 1<<20))
	ts.Check(err)
	return b.String()
}
