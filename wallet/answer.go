package wallet

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// Answer is what a wallet gives a gate.
type Answer struct {
	Response    oid4vp.Response
	ResponseURI string // where it is to be posted
	Contract    hufu.ContractID
	Version     uint32
	Low         []Stock // credentials used of which few copies are left
}

// Outcome is what came of an answer.
type Outcome struct {
	Redirect string          // where the person's browser is to go on; "": nowhere
	DC       json.RawMessage // the answer itself, for the page that asked over the Digital Credentials API
	Low      []Stock         // credentials used of which few copies are left, after a refill if there was one
	Refilled []Stock         // what was fetched anew
	Refill   error           // why a refill failed; the answer stands

	Receipt      *receipt.Receipt // what the gate decided; nil when it gave no receipt
	ReceiptError error            // why the receipt that came was not kept
}

// Agree answers with what the inquiry showed: the person agreed to it. For a stranger this is the only
// way to get anything. The copies are used up before anything is sent, whatever becomes of it.
func (w *Wallet) Agree(ctx context.Context, l Ledger, q *Inquiry) (*Outcome, error) {
	w.mu.Lock()
	response, low, err := w.use(q, w.Now().UTC())
	w.mu.Unlock()
	if err != nil {
		return nil, w.logRefusal(err, q.entry)
	}
	out := &Outcome{Low: low}
	var reply *reply
	if reply, out.DC, err = w.deliver(ctx, q.request, *response); err != nil {
		return nil, err
	}
	if reply != nil {
		out.Redirect = reply.RedirectURI
		if reply.Receipt != "" && q.Known() && l != nil {
			out.Receipt, out.ReceiptError = w.keep(ctx, l, q, reply.Receipt)
		}
	}
	if len(low) > 0 && l != nil {
		out.Refilled, out.Refill = w.Refill(ctx, l)
		w.mu.Lock()
		out.Low = slices.DeleteFunc(low, func(s Stock) bool { return w.held.leftOf(s.Type, s.Format, w.Now()) > LowWater })
		w.mu.Unlock()
	}
	return out, nil
}

// Decline answers that the person does not want to show anything, and logs it.
func (w *Wallet) Decline(ctx context.Context, q *Inquiry) error {
	entry := q.entry
	entry.Refused = string(RuleDeclined)
	if err := w.record(entry); err != nil {
		return err
	}
	if oid4vp.OverDC(q.request.Mode) {
		return nil // the page learns it from its browser
	}
	e := oid4vp.WalletError{Code: oid4vp.ErrorCode(hufu.Refuse(oid4vp.RuleDenied, ""))}
	_, err := w.post(ctx, q.request.ResponseURI, e.Form(q.request.State))
	return err
}

// Present answers a gate's signed request, or refuses and discloses nothing: only a gate of the ledger that
// asks for what it published gets an answer, as nobody is asked. Either way the log has it. The copies
// shown are used up before Present returns.
func (w *Wallet) Present(ctx context.Context, l Ledger, token string) (a *Answer, err error) {
	now := w.Now().UTC()
	entry := logged{Time: now.Unix()}
	r, err := presentable(token)
	if err == nil {
		err = read(ctx, l, &r.Request, now, func(v client.View) (err error) {
			a, err = w.present(v, r, now, &entry)
			return err
		})
	}
	if err != nil {
		return nil, w.logRefusal(err, entry)
	}
	return a, nil
}

// presentable reads a request that may be answered without asking a person.
func presentable(token string) (*oid4vp.SignedRequest, error) {
	r, err := oid4vp.ParseRequest(token)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Certified() || r.Foreign():
		return nil, hufu.Refuse(oid4vp.RuleUnsupported, "not a request of a gate with a published contract")
	case r.Mode != oid4vp.ModePost:
		return nil, hufu.Refuse(oid4vp.RuleUnsupported, "response_mode is not %s", oid4vp.ModePost)
	case len(r.Transactions) > 0:
		return nil, hufu.Refuse(oid4vp.RuleTransaction, "a transaction is for a person to agree to")
	}
	return r, nil
}

func (w *Wallet) present(v client.View, r *oid4vp.SignedRequest, now time.Time, l *logged) (*Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	q, err := w.inquire(v, request{signed: r}, now, l)
	if err != nil {
		return nil, err
	}
	response, low, err := w.use(q, now)
	if err != nil {
		return nil, err
	}
	return &Answer{Response: *response, ResponseURI: r.ResponseURI, Contract: r.Contract, Version: r.Version, Low: low}, nil
}

// use makes the response and uses up the copies in it.
func (w *Wallet) use(q *Inquiry, now time.Time) (*oid4vp.Response, []Stock, error) {
	if end := q.request.ExpiresAt; !end.IsZero() && !now.Before(end) {
		return nil, nil, hufu.Refuse(oid4vp.RuleExpired, "the request expired before the person agreed")
	}
	for i := range q.picks {
		p := &q.picks[i]
		if p.copy >= len(w.held.Copies) || !w.held.usable(p.copy, q.who, now) {
			return nil, nil, hufu.Refuse(RuleChanged, "what was to be shown was used meanwhile; look at the request again")
		}
	}
	response := &oid4vp.Response{VPToken: oid4vp.VPToken{}, State: q.request.State}
	entry := q.entry
	if q.Known() {
		entry.Posted = q.request.ResponseURI
	}
	consents, err := q.consents()
	if err != nil {
		return nil, nil, err
	}
	for i := range q.picks {
		p := &q.picks[i]
		presentation, err := w.presentation(q, p, consents[p.query], now)
		if err != nil {
			return nil, nil, err
		}
		response.VPToken[p.query] = []string{presentation}
		s := shown{Query: p.query, Type: p.typeName(), Presentation: presentation}
		for _, path := range p.disclose {
			s.Claims = append(s.Claims, dcql.PathString(path))
		}
		entry.Shown = append(entry.Shown, s)
	}
	var kinds []hufu.Digest
	err = w.change(func(c *contents) error {
		for _, p := range q.picks {
			h := &c.Copies[p.copy]
			h.Shown, h.Credential = true, ""
			c.Keys[h.Key].Gate = q.who
			kinds = append(kinds, h.Kind)
		}
		c.Log = append(c.Log, entry)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	var low []Stock
	for _, s := range w.held.stock(now, kinds) {
		if s.Low() {
			low = append(low, s)
		}
	}
	return response, low, nil
}

// consents says which transactions each credential's holder binding consents to: each transaction with
// the first of its credentials that is shown.
func (q *Inquiry) consents() (map[string][]oid4vp.Transaction, error) {
	out := map[string][]oid4vp.Transaction{}
	for _, t := range q.request.Transactions {
		at := slices.IndexFunc(q.picks, func(p pick) bool { return slices.Contains(t.Credentials, p.query) })
		if at < 0 {
			return nil, hufu.Refuse(oid4vp.RuleTransaction, "none of the credentials that could consent to a transaction is shown")
		}
		out[q.picks[at].query] = append(out[q.picks[at].query], t)
	}
	return out, nil
}

// presentation makes the presentation of one copy.
func (w *Wallet) presentation(q *Inquiry, p *pick, consent []oid4vp.Transaction, now time.Time) (string, error) {
	signer := w.held.Keys[w.held.Copies[p.copy].Key].signer
	r := q.request
	if p.cred.md != nil {
		session, err := mdoc.RedirectTranscript(q.ClientID, r.Nonce, r.Thumbprint(), r.ResponseURI)
		if oid4vp.OverDC(r.Mode) {
			session, err = mdoc.DCAPITranscript(q.origin, r.Nonce, r.Thumbprint())
		}
		if err != nil {
			return "", err
		}
		return p.cred.md.Present(w.Rand, p.elements(), session, signer)
	}
	kb := sdjwt.KeyBinding{Audience: r.PresentationAudience(q.origin), Nonce: r.Nonce, IssuedAt: now, Signer: signer}
	for i := range consent {
		kb.TransactionHashes = append(kb.TransactionHashes, consent[i].Hash())
		if alg := consent[i].HashAlg(); alg != "" {
			kb.TransactionHashAlg = alg
		}
	}
	return p.cred.sd.Present(w.Rand, p.disclose, kb)
}

// deliver sends a response in the request's mode, or gives it back for the page.
func (w *Wallet) deliver(ctx context.Context, r *oid4vp.Request, response oid4vp.Response) (said *reply, dc json.RawMessage, err error) {
	var form url.Values
	switch {
	case oid4vp.Encrypted(r.Mode):
		token, err := response.Encrypt(w.Rand, r)
		if err != nil {
			return nil, nil, err
		}
		if oid4vp.OverDC(r.Mode) {
			dc, err = jws.MarshalJSON(map[string]string{"response": token})
			return nil, dc, err
		}
		form = url.Values{"response": {token}}
	case oid4vp.OverDC(r.Mode):
		dc, err = response.DC()
		return nil, dc, err
	default:
		if form, err = response.Form(); err != nil {
			return nil, nil, err
		}
	}
	said, err = w.post(ctx, r.ResponseURI, form)
	return said, nil, err
}

// maxReply bounds what a verifier says to an answer.
const maxReply = 256 << 10

// reply is what a verifier says to an answer (§8.2). The receipt is a member that gates of this network
// add.
type reply struct {
	RedirectURI string `json:"redirect_uri"`
	Receipt     string `json:"receipt"`
	Error       string `json:"error"`
}

// post sends an answer and reads where to go on.
func (w *Wallet) post(ctx context.Context, address string, form url.Values) (*reply, error) {
	a, err := w.exchange(ctx, call{method: http.MethodPost, url: address, kind: mediaForm, accept: mediaJSON, body: form.Encode()}, maxReply)
	if err != nil {
		return nil, err
	}
	said := &reply{}
	if len(a.body) > 0 && encoding.UnmarshalJSON(a.body, maxReply, said) != nil {
		said = &reply{} // not JSON: nothing that the standard has
	}
	if !a.ok() {
		return nil, hufu.Refuse(RuleRemote, "the verifier did not take the answer: status %d, error %s", a.status, printable(said.Error))
	}
	if said.RedirectURI != "" {
		if err := checkOnward(said.RedirectURI); err != nil {
			return nil, err
		}
	}
	return said, nil
}

// checkOnward takes addresses of pages and of apps that a person can be sent to: none that a browser runs,
// or reads from the disk. They may have a fragment (§8.2).
func checkOnward(address string) error {
	page, fragment, _ := strings.Cut(address, "#")
	if oauth.CheckRedirect(page) != nil || strings.ContainsFunc(fragment, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return hufu.Refuse(RuleRemote, "the verifier sends the person to an address that is no page's and no app's")
	}
	return nil
}

// printable keeps a stranger's error code short and plain.
func printable(s string) string {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || len(s) > 64 {
			return "?"
		}
	}
	if s == "" {
		return "none"
	}
	return s
}
