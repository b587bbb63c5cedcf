package wallet

import (
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
)

// parsed is a copy that was read: one of both formats.
type parsed struct {
	sd *sdjwt.Credential
	md *mdoc.Credential
}

func (h *heldCopy) parse() (p parsed, err error) {
	if h.format() == dcql.FormatMdoc {
		p.md, err = mdoc.Parse(h.Credential)
	} else {
		p.sd, err = sdjwt.Parse(h.Credential)
	}
	return p, err
}

// claims are what the copy could disclose, as a query's paths lead into it.
func (p parsed) claims() map[string]any {
	if p.md != nil {
		return anyElements(&p.md.Content)
	}
	return p.sd.Claims
}

// pick is one copy to show.
type pick struct {
	query    string
	copy     int // in contents.Copies
	cred     parsed
	disclose []dcql.Path
}

// asked is what a verifier wants to see.
type asked struct {
	query    *dcql.Query
	contract *contract.Contract // nil: a stranger's request
	who      string             // the verifier, as in heldKey.Gate
}

// choose finds what to show: of the ways to satisfy a contract's query, the first that opens the door,
// from the one that discloses least. When none does, the least: whether to open is the gate's to say. A
// stranger gets the least.
func (w *Wallet) choose(v client.View, a asked, now time.Time) ([]pick, error) {
	copies, held, read, err := w.candidates(a.who, now)
	if err != nil {
		return nil, err
	}
	optional := false
	for i := range a.query.Credentials {
		optional = optional || a.query.Optional(i)
	}
	var first []pick
	for _, more := range []bool{false, true} {
		if more && (!optional || a.contract == nil) {
			break
		}
		choices, err := dcql.Match(a.query, held, dcql.Wish{Optional: more, SameHolder: a.contract != nil && a.contract.SameHolder})
		if err != nil {
			return nil, err
		}
		var picks []pick
		for _, ch := range choices {
			p := pick{query: ch.Query, copy: copies[ch.Held], disclose: ch.Disclose, cred: read[copies[ch.Held]]}
			if p.cred == (parsed{}) {
				if p.cred, err = w.held.Copies[p.copy].parse(); err != nil {
					return nil, err
				}
			}
			picks = append(picks, p)
		}
		if first == nil {
			first = picks
		}
		if !optional || a.contract == nil {
			return picks, nil
		}
		opens, err := opens(v, a.contract, picks, now)
		if err != nil {
			return nil, err
		}
		if opens {
			return picks, nil
		}
	}
	return first, nil
}

// candidates lists the copies that may be shown to a verifier, in the order in which they are best used
// up: keys that nobody has seen first, among them those that the fewest other copies need; what came from
// a backup last.
func (w *Wallet) candidates(who string, now time.Time) ([]int, []dcql.Held, map[int]parsed, error) {
	needed := make([]int, len(w.held.Keys)) // unshown copies on each key
	var copies []int
	for i := range w.held.Copies {
		if w.held.usable(i, who, now) {
			copies = append(copies, i)
			needed[w.held.Copies[i].Key]++
		}
	}
	wear := func(i int) int {
		k, all := w.held.Copies[i].Key, len(w.held.Copies)
		wear := needed[k]
		if w.held.Keys[k].Gate != "" {
			wear += all
		}
		if w.held.Copies[i].Restored {
			wear += 2 * all
		}
		return wear
	}
	slices.SortStableFunc(copies, func(a, b int) int { return wear(a) - wear(b) })
	held := make([]dcql.Held, len(copies))
	read := map[int]parsed{}
	claims := map[hufu.Digest]map[string]any{} // one copy is read for all of its kind
	for n, i := range copies {
		h := &w.held.Copies[i]
		if claims[h.Kind] == nil {
			p, err := h.parse()
			if err != nil {
				return nil, nil, nil, err
			}
			read[i], claims[h.Kind] = p, p.claims()
		}
		held[n] = dcql.Held{
			Format: h.format(), Type: h.Type, Claims: claims[h.Kind], Holder: string(w.held.Keys[h.Key].signer.Public().Multikey()),
		}
	}
	return copies, held, read, nil
}

// opens asks the contract, as its gate will, whether what would be shown opens the door.
func opens(v client.View, c *contract.Contract, picks []pick, now time.Time) (bool, error) {
	f := contract.Facts{Credentials: map[string]contract.Credential{}}
	for _, p := range picks {
		cred, err := p.seen()
		if err != nil {
			return false, err
		}
		if cred.Type, err = contracts.Type(v, p.typeName()); err != nil {
			return false, err
		}
		f.Credentials[p.query] = cred
	}
	return contract.Decide(c, f, now.Truncate(time.Second)).Decision == hufu.Allow, nil
}

func (p *pick) typeName() string {
	if p.cred.md != nil {
		return p.cred.md.DocType
	}
	return p.cred.sd.Type
}

// seen is what a gate will know of a credential, but for its type's record.
func (p *pick) seen() (contract.Credential, error) {
	out := contract.Credential{Accredited: true}
	if md := p.cred.md; md != nil {
		shown := mdoc.Content{DocType: md.DocType, Elements: map[string]map[string]any{}}
		for _, id := range p.elements() {
			if shown.Elements[id.Namespace] == nil {
				shown.Elements[id.Namespace] = map[string]any{}
			}
			shown.Elements[id.Namespace][id.Identifier] = md.Elements[id.Namespace][id.Identifier]
		}
		out.Issuer, out.Holder = md.Signer.DID, string(md.DeviceKey.Multikey())
		var err error
		out.Claims, err = shown.Claims()
		return out, err
	}
	// Without a key binding nothing is signed, so no randomness is read.
	bare, err := p.cred.sd.Present(nil, p.disclose, sdjwt.KeyBinding{})
	if err != nil {
		return out, err
	}
	seen, err := sdjwt.Parse(bare)
	if err != nil {
		return out, err
	}
	out.Issuer, out.Holder, out.Claims = hufu.DID(seen.Issuer), string(seen.HolderKey.Multikey()), seen.Claims
	return out, nil
}

// elements are the mdoc elements that the paths select (OpenID4VP 1.0 §7.2).
func (p *pick) elements() []mdoc.ElementID {
	var out []mdoc.ElementID
	for _, path := range p.disclose {
		if len(path) != 2 {
			continue // the query was matched, so there is none
		}
		ns, _ := path[0].(string)
		id, _ := path[1].(string)
		out = append(out, mdoc.ElementID{Namespace: ns, Identifier: id})
	}
	return out
}
