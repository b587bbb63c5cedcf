package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Answer is what a wallet gives a gate.
type Answer struct {
	Response    oid4vp.Response
	ResponseURI string // where it is to be posted
	Contract    hufu.ContractID
	Version     uint32
	Low         []Stock // credentials used of which few copies are left
}

// Present answers a gate's signed request, or refuses and discloses nothing. Either way the log has it.
// The copies shown are used up before Present returns.
func (w *Wallet) Present(v client.View, request string) (*Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Now().UTC()
	l := logged{Time: now.Unix()}
	a, err := w.present(v, request, now, &l)
	if err == nil {
		return a, nil
	}
	var refusal *hufu.Refusal
	if !errors.As(err, &refusal) {
		return nil, err
	}
	l.Refused = string(refusal.Rule)
	if saving := w.change(func(c *contents) error { c.Log = append(c.Log, l); return nil }); saving != nil {
		return nil, errors.Join(err, saving)
	}
	return nil, err
}

func (w *Wallet) present(v client.View, request string, now time.Time, l *logged) (*Answer, error) {
	r, err := oid4vp.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Certified() || r.Foreign():
		return nil, hufu.Refuse(oid4vp.RuleUnsupported, "not a request of a gate with a published contract")
	case r.Mode != oid4vp.ModePost:
		return nil, hufu.Refuse(oid4vp.RuleUnsupported, "response_mode is not %s", oid4vp.ModePost)
	case len(r.Transactions) > 0:
		return nil, hufu.Refuse(oid4vp.RuleTransaction, "transaction_data is not understood")
	}
	l.Gate, l.Contract, l.Version, l.Nonce, l.State = string(r.Verifier), r.Contract.String(), uint64(r.Version), r.Nonce, r.State
	key, err := keyAt(v, r.Verifier, r.KeyID, tx.PurposeAuthentication, r.IssuedAt.Unix(), RuleUnknownGate)
	if err != nil {
		return nil, err
	}
	if err := r.Verify(key, now, ClockSkew); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(w.held.Log, func(e logged) bool { return e.Nonce == r.Nonce && e.Gate == l.Gate && e.Refused == "" }) {
		return nil, hufu.Refuse(RuleAskedBefore, "a request with this nonce was answered")
	}
	c, err := published(v, &r.Request)
	if err != nil {
		return nil, err
	}
	picks, err := w.choose(v, c, now)
	if err != nil {
		return nil, err
	}
	a := &Answer{
		Response: oid4vp.Response{VPToken: oid4vp.VPToken{}, State: r.State}, ResponseURI: r.ResponseURI, Contract: r.Contract, Version: r.Version,
	}
	for _, p := range picks {
		presentation, err := p.cred.Present(w.Rand, p.disclose, sdjwt.KeyBinding{
			Audience: oid4vp.ClientID(r.Verifier), Nonce: r.Nonce, IssuedAt: now, Signer: w.held.Keys[w.held.Copies[p.copy].Key].signer,
		})
		if err != nil {
			return nil, err
		}
		a.Response.VPToken[p.query] = []string{presentation}
		s := shown{Query: p.query, Type: p.cred.Type, Presentation: presentation}
		for _, path := range p.disclose {
			s.Claims = append(s.Claims, dcql.PathString(path))
		}
		l.Shown = append(l.Shown, s)
	}
	var kinds []hufu.Digest
	err = w.change(func(c *contents) error {
		for _, p := range picks {
			h := &c.Copies[p.copy]
			h.Shown, h.Credential = true, ""
			c.Keys[h.Key].Gate = string(r.Verifier)
			kinds = append(kinds, h.Kind)
		}
		c.Log = append(c.Log, *l)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, s := range w.held.stock(now, kinds) {
		if s.Low() {
			a.Low = append(a.Low, s)
		}
	}
	return a, nil
}

// published returns the contract on the ledger that the request must equal.
func published(v client.View, r *oid4vp.Request) (*contract.Contract, error) {
	if r.Contract.Owner != r.Verifier {
		return nil, hufu.Refuse(RuleOverAsking, "the contract is not the gate's own")
	}
	_, id, err := r.Verifier.Parse()
	if err != nil {
		return nil, hufu.Refuse(RuleUnknownGate, "the gate is no DID of this ledger")
	}
	rec, err := contracts.Get(v, id, r.Contract.Name, 0)
	switch {
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, hufu.Refuse(RuleOverAsking, "the gate has published no such contract")
	case rec.IsRetired():
		return nil, hufu.Refuse(RuleNotCurrent, "the contract is retired")
	case rec.Version != r.Version:
		return nil, hufu.Refuse(RuleNotCurrent, "the contract's current version is %d", rec.Version)
	}
	c, err := contract.Parse([]byte(rec.Text))
	if err != nil {
		return nil, fmt.Errorf("wallet: contract on the ledger: %w", err)
	}
	asked, err := dcql.Parse(r.Query)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(asked.Canonical(), c.Query.Canonical()) {
		return nil, hufu.Refuse(RuleOverAsking, "the request asks for something else than the published contract")
	}
	return c, nil
}

// pick is one copy to show.
type pick struct {
	query    string
	copy     int // in contents.Copies
	cred     *sdjwt.Credential
	disclose []dcql.Path
}

// choose finds what to show: of the ways to satisfy the contract's query, the first that opens the door,
// from the one that discloses least. When none does, the least: whether to open is the gate's to say.
func (w *Wallet) choose(v client.View, c *contract.Contract, now time.Time) ([]pick, error) {
	copies, held, parsed, err := w.candidates(c, now)
	if err != nil {
		return nil, err
	}
	optional := false
	for i := range c.Query.Credentials {
		optional = optional || c.Query.Optional(i)
	}
	var first []pick
	for _, more := range []bool{false, true} {
		if more && !optional {
			break
		}
		choices, err := dcql.Match(c.Query, held, dcql.Wish{Optional: more, SameHolder: c.SameHolder})
		if err != nil {
			return nil, err
		}
		var picks []pick
		for _, ch := range choices {
			p := pick{query: ch.Query, copy: copies[ch.Held], disclose: ch.Disclose, cred: parsed[copies[ch.Held]]}
			if p.cred == nil {
				if p.cred, err = sdjwt.Parse(w.held.Copies[p.copy].Credential); err != nil {
					return nil, err
				}
			}
			picks = append(picks, p)
		}
		if first == nil {
			first = picks
		}
		if !optional {
			return picks, nil
		}
		opens, err := w.opens(v, c, picks, now)
		if err != nil {
			return nil, err
		}
		if opens {
			return picks, nil
		}
	}
	return first, nil
}

// candidates lists the copies that may be shown to the contract's owner, in the order in which they are
// best used up: keys that nobody has seen first, among them those that the fewest other copies need.
func (w *Wallet) candidates(c *contract.Contract, now time.Time) ([]int, []dcql.Held, map[int]*sdjwt.Credential, error) {
	needed := make([]int, len(w.held.Keys)) // unshown copies on each key
	var copies []int
	for i := range w.held.Copies {
		if w.held.usable(i, c.Owner, now) {
			copies = append(copies, i)
			needed[w.held.Copies[i].Key]++
		}
	}
	wear := func(i int) int {
		k := w.held.Copies[i].Key
		if w.held.Keys[k].Gate != "" {
			return len(w.held.Copies) + needed[k]
		}
		return needed[k]
	}
	slices.SortStableFunc(copies, func(a, b int) int { return wear(a) - wear(b) })
	held := make([]dcql.Held, len(copies))
	parsed := map[int]*sdjwt.Credential{}
	claims := map[hufu.Digest]map[string]any{} // one copy is read for all of its kind
	for n, i := range copies {
		h := &w.held.Copies[i]
		if claims[h.Kind] == nil {
			cred, err := sdjwt.Parse(h.Credential)
			if err != nil {
				return nil, nil, nil, err
			}
			parsed[i], claims[h.Kind] = cred, cred.Claims
		}
		held[n] = dcql.Held{
			Format: dcql.FormatSDJWT, Type: h.Type, Claims: claims[h.Kind], Holder: string(w.held.Keys[h.Key].signer.Public().Multikey()),
		}
	}
	return copies, held, parsed, nil
}

// opens asks the contract, as its gate will, whether what would be shown opens the door.
func (w *Wallet) opens(v client.View, c *contract.Contract, picks []pick, now time.Time) (bool, error) {
	f := contract.Facts{Credentials: map[string]contract.Credential{}}
	for _, p := range picks {
		// Without a key binding nothing is signed, so no randomness is read.
		bare, err := p.cred.Present(nil, p.disclose, sdjwt.KeyBinding{})
		if err != nil {
			return false, err
		}
		seen, err := sdjwt.Parse(bare)
		if err != nil {
			return false, err
		}
		typ, err := contracts.Type(v, seen.Type)
		if err != nil {
			return false, err
		}
		f.Credentials[p.query] = contract.Credential{
			Type: typ, Issuer: hufu.DID(seen.Issuer), Accredited: true, Holder: string(seen.HolderKey.Multikey()), Claims: seen.Claims,
		}
	}
	return contract.Decide(c, f, now.Truncate(time.Second)).Decision == hufu.Allow, nil
}
