package gate

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

//go:embed assets
var assets embed.FS

// pagePolicy lets the page load its own style and script, talk to its own gate, and nothing else.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// words are the page's own, beside those of the contract.
type words struct {
	Why, Kept, Scan, Here, Answered, Expired, Done string
}

var wordsIn = map[string]words{
	"en": {
		Why: "Why", Kept: "What is kept", Scan: "Scan this code with the wallet on your phone.", Here: "Or open a wallet on this device.",
		Answered: "Your wallet has answered. You can go back.", Expired: "Nobody has answered in time. Go back and begin again.",
		Done: "Your wallet has answered. Go on where you scanned the code.",
	},
	"zh-Hans": {
		Why: "用途", Kept: "保存的内容", Scan: "请用手机上的钱包扫描此码。", Here: "或在本设备上打开钱包。",
		Answered: "您的钱包已作答，可以返回。", Expired: "未在规定时间内作答，请返回重新开始。",
		Done: "您的钱包已作答，请回到您扫码的设备继续。",
	},
}

// pageView is what the page shows.
type pageView struct {
	Lang, Title, Purpose, Retention string
	Words                           words
	Part                            string // open, answered, expired or done
	Link                            template.URL
	QR                              qrView
	Events, Return, Assets          string
}

type qrView struct {
	Size int
	Path string
}

var pageTemplate = template.Must(template.ParseFS(assets, "assets/page.html"))

// drawQR is a QR code as one SVG path with the margin that readers need. What is too long for a code is
// drawn as nothing; the page has the link as well.
func drawQR(text string) qrView {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return qrView{}
	}
	const margin = 4 // ISO/IEC 18004 §5.3.8
	var b strings.Builder
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+margin, y+margin, x-from, x-from)
			}
		}
	}
	return qrView{Size: code.Size + 2*margin, Path: b.String()}
}

// language picks the first language of the browser's list that the page has words for.
func language(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), ";")
		switch {
		case strings.HasPrefix(tag, "zh"):
			return "zh-Hans"
		case strings.HasPrefix(tag, "en"):
			return "en"
		}
	}
	return "en"
}

func (g *Gate) servePage(w http.ResponseWriter, r *http.Request) {
	page := r.PathValue("page")
	p, err := g.Store.ByPage(r.Context(), digestOf(page))
	if err != nil {
		g.pageMissing(w, err)
		return
	}
	lang := language(r.Header.Get("Accept-Language"))
	v := pageView{Lang: lang, Words: wordsIn[lang], Part: g.part(&p), Assets: "../assets/"}
	var c *contract.Contract
	err = g.Ledger.Read(r.Context(), func(view client.View) (err error) {
		c, err = g.cache.version(view, p.Contract, p.Version)
		return err
	})
	if err != nil {
		fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
		return
	}
	v.Title, v.Purpose, v.Retention = contract.In(c.Title, lang), contract.In(c.Purpose, lang), contract.In(c.Retention, lang)
	if v.Part == "open" {
		link, err := g.pageLink(r, &p.Session)
		if err != nil {
			fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
			return
		}
		v.Link, v.QR = template.URL(link), drawQR(link) //nolint:gosec // made by this package, of parts that it escaped
		v.Events, v.Return = page+"/events", page+"/return"
	}
	if v.Part == "answered" { // a page that was loaded again still goes back
		v.Events, v.Return = page+"/events", page+"/return"
	}
	writePage(w, http.StatusOK, &v)
}

// pageLink is the link that the page shows: the request by reference or, of a gate without a name, itself.
func (g *Gate) pageLink(r *http.Request, s *Session) (string, error) {
	if !s.Settings.Unsigned {
		return g.link(s).URI("")
	}
	request, _, err := g.again(r.Context(), s)
	if err != nil {
		return "", err
	}
	return oid4vp.Link{Unsigned: request}.URI("")
}

// part is what the page of a session shows.
func (g *Gate) part(p *Progress) string {
	switch {
	case p.Outcome != "":
		return "answered"
	case !g.now().Before(p.Expires):
		return "expired"
	}
	return "open"
}

// serveDone is where the wallet's browser ends when it is not the one that goes on.
func (g *Gate) serveDone(w http.ResponseWriter, r *http.Request) {
	lang := language(r.Header.Get("Accept-Language"))
	writePage(w, http.StatusOK, &pageView{Lang: lang, Title: "Hufu", Words: wordsIn[lang], Part: "done", Assets: "assets/"})
}

func writePage(w http.ResponseWriter, code int, v *pageView) {
	var b strings.Builder
	if err := pageTemplate.Execute(&b, v); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(code)
	_, _ = w.Write([]byte(b.String())) // a browser that is gone needs no page
}

// serveAsset serves the page's style and script. They change with the program only.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
	body, err := assets.ReadFile("assets/" + name)
	if types[path.Ext(name)] == "" || err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(body)
}

func (g *Gate) pageMissing(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrUnknownSession) {
		fail(w, http.StatusNotFound, codeInvalidRequest, hufu.Refuse(RuleNoSession, "no such session"))
		return
	}
	fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
}

// heartbeat keeps an idle stream of events open through proxies, which give up after half a minute or more.
const heartbeat = 20 * time.Second

// serveEvents tells a page, as server-sent events, that its session was answered or has expired. It says
// nothing about the answer.
func (g *Gate) serveEvents(w http.ResponseWriter, r *http.Request) {
	page := digestOf(r.PathValue("page"))
	p, err := g.Store.ByPage(r.Context(), page)
	if err != nil {
		g.pageMissing(w, err)
		return
	}
	c := http.NewResponseController(w)
	// The stream is as long as the session; the handler's context and the timer below end it.
	_ = c.SetReadDeadline(time.Time{})
	left := max(time.Millisecond, p.Expires.Sub(g.Now()))
	_ = c.SetWriteDeadline(time.Now().Add(left + time.Minute)) // which a connection has by its own clock
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	send := func(text string) bool {
		_, err := w.Write([]byte(text))
		return err == nil && c.Flush() == nil
	}
	tick, late := time.NewTicker(heartbeat), time.NewTicker(left)
	defer tick.Stop()
	defer late.Stop()
	for {
		done, end, ok := g.watches.watch(page)
		if !ok {
			send("retry: 5000\n\n")
			return
		}
		// Look only once it is certain to be told: what is concluded after this look is told.
		part := "expired"
		if p, err = g.Store.ByPage(r.Context(), page); err == nil {
			part = g.part(&p)
		}
		if part != "open" {
			end()
			send("event: " + part + "\ndata: {}\n\n")
			return
		}
		again := send(": waiting until "+strconv.FormatInt(p.Expires.Unix(), 10)+"\n\n") &&
			g.wait(r.Context(), done, late, tick.C, func() bool { return send(":\n\n") })
		end()
		if !again {
			return
		}
	}
}

// wait waits until a page is to look again, and reports whether there is still somebody to look. beat keeps
// the connection open meanwhile.
func (g *Gate) wait(ctx context.Context, done <-chan struct{}, late *time.Ticker, tick <-chan time.Time, beat func() bool) bool {
	for {
		select {
		case <-done:
			return true
		case <-late.C:
			late.Reset(time.Second) // the gate's clock may not be the timer's
			return true
		case <-tick:
			if !beat() {
				return false
			}
		case <-ctx.Done():
			return false
		case <-g.watches.closed:
			return false
		}
	}
}

// serveReturn gives the page of a concluded session the address to send its browser to. Each call makes
// a new response code, and only the last one is good.
func (g *Gate) serveReturn(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		fail(w, http.StatusForbidden, codeInvalidRequest, hufu.Refuse(RuleSession, "not asked by the page itself"))
		return
	}
	page := digestOf(r.PathValue("page"))
	p, err := g.Store.ByPage(r.Context(), page)
	if err != nil {
		g.pageMissing(w, err)
		return
	}
	if p.Outcome == "" {
		fail(w, http.StatusConflict, codeInvalidRequest, hufu.Refuse(RuleSession, "nobody has answered yet"))
		return
	}
	if p.Settings.Return == "" {
		writeJSON(w, http.StatusOK, struct{}{})
		return
	}
	code, digest, err := newSecret(g.Rand)
	if err == nil {
		err = g.Store.SetCode(r.Context(), page, digest)
	}
	if err != nil {
		fail(w, http.StatusServiceUnavailable, codeUnavailable, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"return_uri": withCode(p.Settings.Return, code)})
}
