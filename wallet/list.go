package wallet

import (
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
)

// Stock is what a wallet holds of one credential.
type Stock struct {
	Type    string
	Format  string
	Issuer  hufu.DID  // or, for a stranger's, what its credentials call it
	Foreign bool      // the ledger does not know the issuer
	Expires time.Time // zero: never
	Copies  int       // ever received
	Left    int       // that can still be shown to a gate never met
	Refills bool      // the wallet can fetch new copies by itself
}

// Low reports whether the credential should be fetched anew soon.
func (s Stock) Low() bool { return s.Left <= LowWater }

// List describes the credentials held, in the order they came.
func (w *Wallet) List() []Stock {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held.stock(w.Now(), nil)
}

// stock describes the kinds of credentials held, all or only some.
func (c *contents) stock(now time.Time, only []hufu.Digest) []Stock {
	var out []Stock
	place := map[hufu.Digest]int{}
	for i := range c.Copies {
		h := &c.Copies[i]
		if only != nil && !slices.Contains(only, h.Kind) {
			continue
		}
		n, ok := place[h.Kind]
		if !ok {
			n = len(out)
			place[h.Kind] = n
			s := Stock{Type: h.Type, Format: h.format(), Issuer: hufu.DID(h.Issuer), Foreign: h.Foreign, Left: c.left(h.Kind, now)}
			s.Refills = h.Source != 0 && c.Sources[h.Source-1].Refresh != ""
			if h.Expires != 0 {
				s.Expires = time.Unix(h.Expires, 0).UTC()
			}
			out = append(out, s)
		}
		out[n].Copies++
	}
	return out
}

// Visit is one request and what came of it.
type Visit struct {
	Time     time.Time
	Gate     hufu.DID // as the request said; not verified when Refused is about its signature
	Contract string
	Version  uint32
	Nonce    string
	Refused  hufu.Rule // why the wallet did not answer; empty when it did
	Shown    []Shown
	Receipt  string // the gate's receipt; empty when none came

	Client string // how a stranger calls itself
	Issuer string // who offered credentials, when this was an offer
	Got    int    // copies that were taken
}

// Shown is one credential that was shown.
type Shown struct {
	Query, Type  string
	Claims       []string // what was disclosed, by name
	Presentation string   // what the receipt commits to
}

// Log lists all requests, oldest first.
func (w *Wallet) Log() []Visit {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Visit, len(w.held.Log))
	for i := range w.held.Log {
		l := &w.held.Log[i]
		out[i] = Visit{
			Time: time.Unix(l.Time, 0).UTC(), Gate: hufu.DID(l.Gate), Contract: l.Contract, Version: uint32(l.Version),
			Nonce: l.Nonce, Refused: hufu.Rule(l.Refused), Receipt: l.Receipt, Client: l.Client, Issuer: l.Issuer, Got: int(l.Got),
		}
		for _, s := range l.Shown {
			out[i].Shown = append(out[i].Shown, Shown(s))
		}
	}
	return out
}

// Details are what a credential says.
type Details struct {
	Stock
	Claims map[string]any // JSON; nil when every copy was shown, as the wallet forgets those
}

// Details describes the n-th credential of [Wallet.List].
func (w *Wallet) Details(n int) (*Details, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.held.stock(w.Now(), nil)
	if n < 0 || n >= len(list) {
		return nil, fmt.Errorf("wallet: there are %d credentials", len(list))
	}
	out := &Details{Stock: list[n]}
	var kinds []hufu.Digest
	for i := range w.held.Copies {
		h := &w.held.Copies[i]
		if !slices.Contains(kinds, h.Kind) {
			kinds = append(kinds, h.Kind)
		}
		if len(kinds) <= n || h.Kind != kinds[n] || h.Shown {
			continue
		}
		p, err := h.parse()
		if err != nil {
			return nil, err
		}
		out.Claims = p.claims()
		return out, nil
	}
	return out, nil
}

// Waiting is how many credentials issuers promised for later: see [Wallet.Collect].
func (w *Wallet) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.held.Pending)
}
