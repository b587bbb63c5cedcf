package wallet_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// desk is a verifier over HTTP that a test can make ask in every way: a gate of the ledger, or a
// stranger.
type desk struct {
	*httptest.Server
	s       *scene
	door    *door
	key     *jwe.PrivateKey
	leaf    []byte
	leafKey keys.Signer

	prefix  string
	mode    string
	format  string
	method  string
	foreign bool // a certificate that nobody knows, and no contract
	consent []oid4vp.Transaction
	change  func(*oid4vp.Request)

	request  *oid4vp.Request
	asked    int
	status   int // of its reply
	redirect string
	receipt  func(token oid4vp.VPToken) string
	got      *oid4vp.Answer
}

func (s *scene) desk(change func(*desk)) *desk {
	s.t.Helper()
	d := &desk{s: s, door: s.owner, prefix: oid4vp.PrefixDID, mode: oid4vp.ModePost, format: dcql.FormatSDJWT, status: http.StatusOK}
	change(d)
	d.key = must[*jwe.PrivateKey](s.t)(jwe.GenerateKey(s.Rand, "desk"))
	mux := http.NewServeMux()
	mux.HandleFunc("/request", d.serveRequest)
	mux.HandleFunc("POST /response", d.serveResponse)
	d.Server = httptest.NewServer(mux)
	s.t.Cleanup(d.Close)
	d.certify()
	return d
}

// certify makes a certificate: of the gate's on the ledger, or of an authority that nobody knows.
func (d *desk) certify() {
	t, s := d.s.t, d.s
	authority, did := d.door.Signer, d.door.DID
	if d.foreign {
		authority, did = s.stranger(), hufu.ID{99}.DID("elsewhere")
	}
	ca := must[[]byte](t)(x5c.MakeCA(s.Rand, authority, did, x5c.Subject{CommonName: "CA"}, s.Now(), s.Now().AddDate(1, 0, 0)))
	d.leafKey = s.stranger()
	d.leaf = must[[]byte](t)(x5c.MakeLeaf(s.Rand, ca, authority, x5c.Leaf{
		Key: d.leafKey.Public(), DID: did, DNS: []string{"localhost"}, Subject: x5c.Subject{CommonName: "Desk"}, Use: x5c.Reader,
		NotBefore: s.Now(), NotAfter: s.Now().AddDate(0, 1, 0),
	}))
}

// url is the desk's address, by name, as a certificate has it.
func (d *desk) url(path string) string {
	u := must[*url.URL](d.s.t)(url.Parse(d.URL))
	return "http://localhost:" + u.Port() + path
}

// asks is what the desk asks now.
func (d *desk) asks() *oid4vp.Request {
	t := d.s.t
	r := d.door.request("room")
	r.Mode, r.ResponseURI, r.Transactions = d.mode, d.url("/response"), d.consent
	if oid4vp.OverDC(d.mode) {
		r.ResponseURI, r.State, r.Origins = "", "", []string{"https://page.example"}
	}
	if oid4vp.Encrypted(d.mode) {
		r.Key, r.Encs = d.key.Public(), jwe.Encs()
	}
	if d.format == dcql.FormatMdoc {
		_, raw, err := must[*contract.Contract](t)(contract.Parse([]byte(world.ContractTextOf(d.door.Actor, "room", 1, world.ReadingRoom)))).Query.InMdoc()
		check(t, err)
		r.Query = raw
	}
	switch d.prefix {
	case oid4vp.PrefixDNS, oid4vp.PrefixHash:
		chain := must[x5c.Chain](t)(x5c.Parse([][]byte{d.leaf}))
		r.ClientID = must[string](t)(oid4vp.ClientIDOf(d.prefix, chain.Leaf()))
	case oid4vp.PrefixRedirect:
		r.ClientID = oid4vp.RedirectClientID(r.ResponseURI)
	}
	if d.foreign {
		r.Contract, r.Version = hufu.ContractID{}, 0
	}
	if d.change != nil {
		d.change(r)
	}
	d.request = r
	return r
}

func (d *desk) sign(r *oid4vp.Request) string {
	if d.prefix == oid4vp.PrefixDID {
		return must[string](d.s.t)(r.Sign(d.s.Rand, d.door.Signer, d.door.KeyID()))
	}
	return must[string](d.s.t)(r.SignX5C(d.s.Rand, d.leafKey, d.leaf))
}

// link is how a wallet hears of the request: by reference, by value or unsigned.
func (d *desk) link(byValue bool) string {
	r := d.asks()
	l := oid4vp.Link{ClientID: r.ClientID, RequestURI: d.url("/request"), Method: d.method}
	if l.ClientID == "" {
		l.ClientID = oid4vp.ClientID(r.Verifier)
	}
	switch {
	case d.prefix == oid4vp.PrefixRedirect:
		l = oid4vp.Link{Unsigned: r}
	case byValue:
		l = oid4vp.Link{ClientID: l.ClientID, Request: d.sign(r)}
	}
	return must[string](d.s.t)(l.URI(""))
}

func (d *desk) serveRequest(w http.ResponseWriter, r *http.Request) {
	d.asked++
	if r.Method == http.MethodPost {
		check(d.s.t, r.ParseForm())
		d.request.WalletNonce = r.PostForm.Get("wallet_nonce")
		m := must[*oid4vp.WalletMetadata](d.s.t)(oid4vp.ParseWalletMetadata(r.PostForm.Get("wallet_metadata")))
		check(d.s.t, m.Accepts(d.request, "ES256"))
	}
	w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
	w.Write([]byte(d.sign(d.request)))
}

func (d *desk) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	form := must[url.Values](d.s.t)(url.ParseQuery(string(body)))
	d.take(must[*oid4vp.Answer](d.s.t)(oid4vp.ParseForm(form)))
	out := map[string]string{"redirect_uri": d.redirect}
	if d.receipt != nil && d.got.VPToken != nil {
		out["receipt"] = d.receipt(d.got.VPToken)
	}
	reply(w, d.status, out)
}

func (d *desk) take(a *oid4vp.Answer) {
	if a.Encrypted != nil {
		a = must[*oid4vp.Answer](d.s.t)(a.Open(d.key, d.request.Encs))
	}
	d.got = a
}

// shown verifies what the wallet showed and returns its claims.
func (d *desk) shown() map[string]any {
	t := d.s.t
	t.Helper()
	r := d.request
	if d.got == nil || len(d.got.VPToken["person"]) != 1 || d.got.State != r.State {
		t.Fatalf("got %+v", d.got)
	}
	origin := ""
	if oid4vp.OverDC(d.mode) {
		origin = "https://page.example"
	}
	if d.format == dcql.FormatMdoc {
		client := r.ClientID
		if client == "" {
			client = oid4vp.ClientID(r.Verifier)
		}
		session := must[mdoc.Transcript](t)(mdoc.RedirectTranscript(client, r.Nonce, r.Thumbprint(), r.ResponseURI))
		if origin != "" {
			session = must[mdoc.Transcript](t)(mdoc.DCAPITranscript(origin, r.Nonce, r.Thumbprint()))
		}
		v := must[*mdoc.Verified](t)(mdoc.Verify(d.got.VPToken["person"][0], mdoc.VerifyParams{
			Now: d.s.Now(), Session: session, DocType: world.Resident,
			Authorities: func(hufu.DID, time.Time) ([]keys.PublicKey, error) {
				return []keys.PublicKey{d.s.agency.Signer.Public()}, nil
			},
		}))
		return must[map[string]any](t)(v.Claims())
	}
	v := d.s.reads(d.got.VPToken["person"][0], r.PresentationAudience(origin), r.Nonce)
	var refs []oid4vp.TransactionRef
	for _, c := range r.Transactions {
		refs = append(refs, c.Ref())
	}
	check(t, oid4vp.CheckConsent(refs, map[string]oid4vp.Consent{"person": {Hashes: v.TransactionHashes, Alg: v.TransactionHashAlg}}))
	return v.Claims
}

// decides makes the receipt for what came.
func (d *desk) decides(token oid4vp.VPToken) string {
	return must[string](d.s.t)(receipt.Make(d.s.Rand, d.door.Signer, d.door.KeyID(), &receipt.Receipt{
		Gate: d.door.DID, Contract: d.request.Contract, Version: 1, Hash: hufu.Digest{1}, AsOf: d.s.view().AsOf(), Decision: hufu.Allow,
		Time: d.s.Now(), Nonce: d.request.Nonce, Commitment: receipt.Commit(d.request.Nonce, token.InOrder(token.IDs())),
	}))
}
