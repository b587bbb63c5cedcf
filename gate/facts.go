package gate

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// maxCached bounds each map of a cache; a full one is begun anew.
const maxCached = 1 << 12

// cache keeps what is costly to get from the ledger: parsed contracts, which never change, by the hash of
// their text; and what holds for one state of the ledger only, for the two states that were read last: during
// an outage some answers rest on the newest state that is known, the others on a snapshot's.
type cache struct {
	mu         sync.RWMutex
	parsed     map[hufu.Digest]*contract.Contract
	translated map[hufu.Digest]translation
	last       [2]*generation
}

func newCache() *cache {
	return &cache{parsed: map[hufu.Digest]*contract.Contract{}, translated: map[hufu.Digest]translation{}, last: [2]*generation{{}, {}}}
}

// translation is a contract's query in mso_mdoc, or why there is none.
type translation struct {
	query json.RawMessage
	err   error
}

// asking is the question that a contract stands for, in one format.
type asking struct {
	contract *contract.Contract
	version  uint32
	query    json.RawMessage
	format   string
	height   hufu.Height // of the state that was asked in
}

// ask is the one question that may be asked for a contract in a format; "" is dc+sd-jwt.
func (c *cache) ask(v client.View, k *contract.Contract, format string) (*asking, error) {
	q := &asking{contract: k, version: k.Version, query: k.QueryJSON, format: format, height: v.AsOf().Height}
	switch format {
	case "", oid4vp.Format:
		q.format = oid4vp.Format
		return q, nil
	case oid4vp.FormatMdoc:
	default:
		return nil, hufu.Refuse(RuleSession, "format is neither %s nor %s", oid4vp.Format, oid4vp.FormatMdoc)
	}
	c.mu.RLock()
	t, ok := c.translated[k.Hash]
	c.mu.RUnlock()
	if !ok {
		_, t.query, t.err = k.Query.InMdoc()
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.translated) >= maxCached {
			clear(c.translated)
		}
		c.translated[k.Hash] = t
	}
	q.query = t.query
	return q, t.err
}

// generation is what was read from one state of the ledger. A height is part of the state: withdrawals
// can be announced for one.
type generation struct {
	asOf   hufu.AsOf
	mu     sync.RWMutex
	keys   map[keyQuestion]found[keys.PublicKey]
	chains map[chainQuestion]found[struct{}]
	types  map[string]*contract.Type
	heads  map[hufu.ContractID]found[*contract.Contract]
	lists  map[listReference]found[*status.List]
}

type keyQuestion struct {
	issuer, kid string
	at          int64
}

type chainQuestion struct {
	issuer hufu.DID
	vct    string
	at     int64
}

// listReference is how an issuer's credentials name a status list.
type listReference struct {
	issuer hufu.DID
	uri    string
}

// found is an answer of the ledger: a value or a refusal, both of which hold as long as the state does.
type found[T any] struct {
	value   T
	refusal error
}

// at returns the generation of a state.
func (c *cache) at(asOf hufu.AsOf) *generation {
	c.mu.RLock()
	last := c.last
	c.mu.RUnlock()
	for _, g := range last {
		if g.asOf == asOf {
			return g
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.last {
		if g.asOf == asOf {
			return g
		}
	}
	g := &generation{asOf: asOf}
	c.last[1] = g
	if c.last[0].asOf.Height < asOf.Height {
		c.last[0], c.last[1] = g, c.last[0]
	}
	return g
}

// recall answers from a map of g, or asks and remembers. Failures to read are not remembered.
func recall[K comparable, T any](g *generation, m *map[K]found[T], question K, ask func() (T, error)) (T, error) {
	g.mu.RLock()
	f, ok := (*m)[question]
	g.mu.RUnlock()
	if ok {
		return f.value, f.refusal
	}
	value, err := ask()
	if err != nil && (hufu.RuleOf(err) == "" || isOutage(hufu.RuleOf(err))) {
		return value, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if *m == nil || len(*m) >= maxCached {
		*m = map[K]found[T]{}
	}
	(*m)[question] = found[T]{value, err}
	return value, err
}

// current is the version of a contract that may be asked for now.
func (c *cache) current(v client.View, id hufu.ContractID) (*contract.Contract, error) {
	g := c.at(v.AsOf())
	return recall(g, &g.heads, id, func() (*contract.Contract, error) {
		return c.read(v, id, 0)
	})
}

// version is one version of a contract, current or not.
func (c *cache) version(v client.View, id hufu.ContractID, version uint32) (*contract.Contract, error) {
	if now, err := c.current(v, id); err == nil && now.Version == version {
		return now, nil
	}
	return c.read(v, id, version)
}

// standing refuses a version that may not be asked for any more.
func (c *cache) standing(v client.View, id hufu.ContractID, version uint32) error {
	now, err := c.current(v, id)
	if err == nil && now.Version != version {
		err = hufu.Refuse(RuleSuperseded, "the contract's current version is %d", now.Version)
	}
	return err
}

// read gets a contract from the ledger: its current version, unless it is retired, or the one asked for.
func (c *cache) read(v client.View, id hufu.ContractID, version uint32) (*contract.Contract, error) {
	network, owner, err := id.Owner.Parse()
	if err != nil || network != v.Network() {
		return nil, hufu.Refuse(RuleNotPublished, "the owner is no DID of this ledger")
	}
	rec, err := contracts.Get(v, owner, id.Name, version)
	switch {
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, hufu.Refuse(RuleNotPublished, "no such contract on the ledger")
	case version == 0 && rec.IsRetired():
		return nil, hufu.Refuse(RuleRetired, "the contract is retired")
	}
	c.mu.RLock()
	parsed, ok := c.parsed[rec.Hash]
	c.mu.RUnlock()
	if ok {
		return parsed, nil
	}
	if parsed, err = contract.Parse([]byte(rec.Text)); err != nil {
		return nil, fmt.Errorf("gate: contract on the ledger: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.parsed) >= maxCached {
		clear(c.parsed)
	}
	c.parsed[rec.Hash] = parsed
	return parsed, nil
}

// issuerKey is an issuer's key as of issuance.
func (g *generation) issuerKey(v client.View, iss, kid string, at int64) (keys.PublicKey, error) {
	return recall(g, &g.keys, keyQuestion{iss, kid, at}, func() (keys.PublicKey, error) {
		var none keys.PublicKey
		network, id, err := hufu.DID(iss).Parse()
		if err != nil || network != v.Network() {
			return none, hufu.Refuse(RuleUnknownIssuer, "the issuer is no DID of this ledger")
		}
		fragment, ok := strings.CutPrefix(kid, iss+"#")
		switch {
		case !ok || fragment == "":
			return none, hufu.Refuse(sdjwt.RuleIssuerKey, "kid is no key of the issuer's")
		case at == 0:
			return none, hufu.Refuse(sdjwt.RuleIssuerKey, "the credential does not say when it was issued")
		}
		rec, err := did.Get(v, id)
		if err != nil {
			return none, err
		}
		if rec == nil {
			return none, hufu.Refuse(RuleUnknownIssuer, "the issuer is no DID of this ledger")
		}
		return rec.KeyAt(fragment, tx.PurposeAssertion, at)
	})
}

// accredited checks that the issuer was accredited for the type when it issued, and that this stands.
func (g *generation) accredited(v client.View, issuer hufu.DID, vct string, at int64) error {
	_, err := recall(g, &g.chains, chainQuestion{issuer, vct, at}, func() (struct{}, error) {
		_, id, err := issuer.Parse()
		if err != nil {
			return struct{}{}, hufu.Refuse(RuleUnknownIssuer, "the issuer is no DID of this ledger")
		}
		_, err = trust.Chain(v, id, vct, at, g.asOf)
		return struct{}{}, err
	})
	return err
}

// credentialType is a published type. An accreditation for it exists, so it does.
func (g *generation) credentialType(v client.View, vct string) (*contract.Type, error) {
	g.mu.RLock()
	known := g.types[vct]
	g.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	typ, err := trust.ContractTypes(v)(vct)
	if err != nil {
		return nil, err
	}
	if typ == nil {
		return nil, hufu.Refuse(RuleUnknownType, "nobody has published %s", vct)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.types == nil {
		g.types = map[string]*contract.Type{}
	}
	g.types[vct] = typ
	return typ, nil
}

// checkStatus refuses what is not valid now. The reference must be to a list of the issuer's own.
func (g *generation) checkStatus(v client.View, issuer hufu.DID, ref *sdjwt.StatusRef) error {
	s, err := g.lookup(v, issuer, ref)
	switch {
	case err != nil:
		return err
	case s == hufu.StatusValid:
		return nil
	case s == hufu.StatusSuspended:
		return hufu.Refuse(RuleSuspended, "the issuer has suspended the credential")
	}
	return hufu.Refuse(RuleRevoked, "the issuer has revoked the credential")
}

// lookup remembers which lists there are, not what is in them: a list's record never changes.
func (g *generation) lookup(v client.View, issuer hufu.DID, ref *sdjwt.StatusRef) (hufu.Status, error) {
	list, err := recall(g, &g.lists, listReference{issuer, ref.URI}, func() (*status.List, error) {
		return status.Find(v, issuer, ref.URI)
	})
	if err != nil {
		return 0, err
	}
	return list.Lookup(v, ref.Index)
}
