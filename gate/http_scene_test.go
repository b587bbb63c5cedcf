package gate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// site is a gate on a server, and wallets that reach it by HTTP.
type site struct {
	*scene
	server *httptest.Server
	last   oid4vp.VPToken // what was sent last
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{scene: newScene(t)}
	s.server, s.gate = s.serve(database.Memory)
	return s
}

// serve starts a server of a gate on a store.
func (s *site) serve(dsn string) (*httptest.Server, *gate.Gate) {
	s.t.Helper()
	store := must[gate.Store](s.t)(gate.OpenStore(context.Background(), dsn))
	server := httptest.NewUnstartedServer(nil)
	address := strings.Replace("http://"+server.Listener.Addr().String(), "127.0.0.1", "localhost", 1)
	g := must[*gate.Gate](s.t)(gate.New(gate.Config{
		DID: s.owner.DID, Fragment: s.owner.Fragment(), Signer: s.owner.Signer, Ledger: s.scene, Store: store,
		ResponseURI: address + "/gate/response", Now: s.clock, Seal: [32]byte{7},
		Certificate: must[*gate.Certificate](s.t)(gate.Certify(s.Rand, s.owner.DID, s.owner.Signer, "Library", []string{"localhost"}, s.Now())),
	}))
	server.Config.Handler = g.Handler()
	server.Config.RegisterOnShutdown(g.Hangup)
	server.Start()
	s.t.Cleanup(func() {
		g.Hangup()
		server.Close()
		store.Close()
	})
	return server, g
}

func (s *site) open(in gate.SessionInput) *gate.SessionOutput {
	s.t.Helper()
	if in.Contract == "" {
		in.Contract = "reading-room"
	}
	return must[*gate.SessionOutput](s.t)(s.gate.OpenSession(s.t.Context(), in))
}

func (s *site) result(o *gate.SessionOutput, code string) *gate.SessionResult {
	s.t.Helper()
	return must[*gate.SessionResult](s.t)(s.gate.Result(s.t.Context(), o.ID, code))
}

type reply struct {
	code   int
	header http.Header
	body   string
	json   map[string]any
}

func (s *site) do(method, address, media, body string) reply {
	s.t.Helper()
	q := must[*http.Request](s.t)(http.NewRequestWithContext(s.t.Context(), method, address, strings.NewReader(body)))
	if media != "" {
		q.Header.Set("Content-Type", media)
	}
	res := must[*http.Response](s.t)(http.DefaultClient.Do(q))
	defer res.Body.Close()
	r := reply{code: res.StatusCode, header: res.Header, body: string(must[[]byte](s.t)(io.ReadAll(res.Body)))}
	_ = json.Unmarshal([]byte(r.body), &r.json)
	return r
}

const formMedia = "application/x-www-form-urlencoded"

func (s *site) post(address string, form url.Values) reply {
	s.t.Helper()
	return s.do(http.MethodPost, address, formMedia, form.Encode())
}

// reads follows a link as a wallet does: it gets the request and checks whose it is.
func (s *site) reads(link string) *oid4vp.Request {
	s.t.Helper()
	l := must[*oid4vp.Link](s.t)(oid4vp.ParseLink(link))
	if l.Unsigned != nil {
		check(s.t, l.Unsigned.VerifyUnsigned(s.Now(), 0))
		return l.Unsigned
	}
	var r reply
	nonce := ""
	if l.Method == oid4vp.MethodPost {
		nonce = "wallets-own-nonce"
		r = s.post(l.RequestURI, url.Values{"wallet_nonce": {nonce}, "wallet_metadata": {`{"vp_formats_supported":{"dc+sd-jwt":{},"mso_mdoc":{}}}`}})
	} else {
		r = s.do(http.MethodGet, l.RequestURI, "", "")
	}
	if r.code != http.StatusOK || r.header.Get("Content-Type") != "application/oauth-authz-req+jwt" {
		s.t.Fatalf("request: %d %v %s", r.code, r.header, r.body)
	}
	signed := s.checked(r.body)
	check(s.t, l.Match(&signed.Request, nonce))
	return &signed.Request
}

// checked verifies a request object with what the ledger says.
func (s *site) checked(token string) *oid4vp.SignedRequest {
	s.t.Helper()
	r := must[*oid4vp.SignedRequest](s.t)(oid4vp.ParseRequest(token))
	view := must[*world.View](s.t)(s.View())
	var key keys.PublicKey
	if r.Certified() {
		key = must[x5c.Certified](s.t)(r.Chain.Verify(x5c.VerifyParams{Now: s.Now(), Use: x5c.RequestSigner, Authorities: did.Authorities(view, world.Network)})).Key
	} else {
		_, id, err := r.Verifier.Parse()
		check(s.t, err)
		_, fragment, err := hufu.SplitDIDURL(r.KeyID)
		check(s.t, err)
		key = must[keys.PublicKey](s.t)(must[*did.Record](s.t)(did.Get(view, id)).KeyAt(fragment, tx.PurposeAuthentication, r.IssuedAt.Unix()))
	}
	check(s.t, r.Verify(key, s.Now(), 0))
	if r.Verifier != s.owner.DID {
		s.t.Fatalf("asked by %s", r.Verifier)
	}
	return r
}

// withMdoc gives p a document of the resident type that says the same as the credential would.
func (p *person) withMdoc(region string, change ...func(*mdoc.IssueParams)) *person {
	p.t.Helper()
	at := p.Now()
	ca := must[[]byte](p.t)(x5c.MakeCA(p.Rand, p.agency.Signer, p.agency.DID, x5c.Subject{CommonName: "Agency CA", Country: "CN"}, at, at.AddDate(2, 0, 0)))
	signer := p.scene.key(0)
	leaf := must[[]byte](p.t)(x5c.MakeLeaf(p.Rand, ca, p.agency.Signer, x5c.Leaf{
		Key: signer.Public(), DID: p.agency.DID, Subject: x5c.Subject{CommonName: "Agency signer", Country: "CN"}, Use: x5c.DocumentSigner,
		NotBefore: at, NotAfter: at.AddDate(1, 0, 0),
	}))
	isDate := func(path []string) bool { return path[0] == "birth_date" }
	p.index["mdoc"] = p.agency.NextIndex()
	params := mdoc.IssueParams{
		DocType: world.Resident, Elements: must[[]mdoc.Element](p.t)(mdoc.ElementsOf(world.Resident, world.Person("Somebody", region, "1990-01-02", true), isDate)),
		Signer: signer, Chain: [][]byte{leaf}, Signed: at, ValidUntil: at.AddDate(0, 6, 0), DeviceKey: p.key.Public(),
		Status: &mdoc.StatusRef{URI: p.agency.ListURI(), Index: p.index["mdoc"]},
	}
	for _, f := range change {
		f(&params)
	}
	p.copies["mdoc"] = must[string](p.t)(mdoc.Issue(p.Rand, params))
	return p
}

// transcript is how an mdoc's presentation is bound; attacks change it.
type transcript struct {
	client, nonce, uri string
	thumbprint         []byte
	elements           []string
}

// showsMdoc answers the request for an mdoc.
func (p *person) showsMdoc(r *oid4vp.Request, origin string, change ...func(*transcript)) oid4vp.VPToken {
	p.t.Helper()
	t := transcript{client: r.PresentationAudience(origin), nonce: r.Nonce, uri: r.ResponseURI, thumbprint: r.Thumbprint()}
	query := must[*dcql.Query](p.t)(dcql.Parse(r.Query))
	for _, c := range query.Credentials[0].Claims {
		t.elements = append(t.elements, c.Path[1].(string))
	}
	for _, f := range change {
		f(&t)
	}
	var session mdoc.Transcript
	if origin == "" {
		session = must[mdoc.Transcript](p.t)(mdoc.RedirectTranscript(t.client, t.nonce, t.thumbprint, t.uri))
	} else {
		session = must[mdoc.Transcript](p.t)(mdoc.DCAPITranscript(origin, t.nonce, t.thumbprint))
	}
	var ids []mdoc.ElementID
	for _, e := range t.elements {
		ids = append(ids, mdoc.ElementID{Namespace: query.Credentials[0].Doctype, Identifier: e})
	}
	doc := must[*mdoc.Credential](p.t)(mdoc.Parse(p.copies["mdoc"]))
	return oid4vp.VPToken{query.Credentials[0].ID: {must[string](p.t)(doc.Present(p.Rand, ids, session, p.key))}}
}

// shows answers a request in the format that it asks for.
func (p *person) shows(r *oid4vp.Request, origin string, change ...func(*presentation)) oid4vp.VPToken {
	p.t.Helper()
	if bytes.Contains(r.Query, []byte("mso_mdoc")) {
		return p.showsMdoc(r, origin)
	}
	bound := func(how *presentation) {
		how.audience = r.PresentationAudience(origin)
		how.consent = append(how.consent, r.Transactions...)
	}
	return p.Presents(&oid4vp.SignedRequest{Request: *r}, append([]func(*presentation){bound}, change...)...)
}

// sends posts an answer in the mode that the request asks for.
func (s *site) sends(r *oid4vp.Request, token oid4vp.VPToken) reply {
	s.t.Helper()
	s.last = token
	answer := oid4vp.Response{VPToken: token, State: r.State}
	if !oid4vp.Encrypted(r.Mode) {
		return s.post(r.ResponseURI, must[url.Values](s.t)(answer.Form()))
	}
	return s.post(r.ResponseURI, url.Values{"response": {must[string](s.t)(answer.Encrypt(s.Rand, r))}})
}

// certified issues p's credential under a certificate instead of a kid.
func (s *scene) certified() func(*sdjwt.IssueParams) {
	s.t.Helper()
	at := s.Now()
	ca := must[[]byte](s.t)(x5c.MakeCA(s.Rand, s.agency.Signer, s.agency.DID, x5c.Subject{CommonName: "Agency CA"}, at, at.AddDate(2, 0, 0)))
	signer := s.key(0)
	leaf := must[[]byte](s.t)(x5c.MakeLeaf(s.Rand, ca, s.agency.Signer, x5c.Leaf{
		Key: signer.Public(), DID: s.agency.DID, Subject: x5c.Subject{CommonName: "Agency signer"}, Use: x5c.CredentialSigner,
		NotBefore: at, NotAfter: at.AddDate(1, 0, 0),
	}))
	return func(p *sdjwt.IssueParams) { p.Signer, p.Chain, p.KeyID = signer, [][]byte{leaf}, "" }
}

func wantAnswer(t testing.TB, r reply, code int, standard string, rule hufu.Rule) {
	t.Helper()
	got, _ := r.json["error"].(string)
	name, _ := r.json["rule"].(string)
	if r.code != code || got != standard || name != string(rule) {
		t.Fatalf("%d %q by %q, want %d %q by %q: %s", r.code, got, name, code, standard, rule, r.body)
	}
}
