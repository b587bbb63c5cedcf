package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// errNoRole means that an identity has no key for a role that the ledger lets it sign with now.
var errNoRole = errors.New("no key for this on the ledger")

// roleKey is the key by which an identity serves a role.
type roleKey struct {
	fragment string
	signer   keys.Signer
	since    time.Time // from when the ledger has it
}

// roleKey finds, among the keys that this home has for a role, the newest that holds on the ledger now,
// so that a key may be replaced by a successor ("issuing" by "issuing-2") with one update.
func (s *session) roleKey(ctx context.Context, name, role string) (k roleKey, err error) {
	d, err := s.home.Identity(name)
	if err != nil {
		return k, err
	}
	_, id, err := d.Parse()
	if err != nil {
		return k, err
	}
	held := map[string]bool{}
	for _, f := range s.home.Methods(name, role) {
		held[f] = true
	}
	if err := s.Read(ctx, func(v client.View) error {
		k = roleKey{}
		rec, err := did.Get(v, id)
		if err != nil || rec == nil || rec.IsDeactivated() {
			return err
		}
		for i := range rec.Methods {
			m := &rec.Methods[i]
			if from := time.Unix(m.FromTime, 0); m.Current() && held[m.Fragment] && !from.Before(k.since) {
				k.fragment, k.since = m.Fragment, from
			}
		}
		return nil
	}); err != nil {
		return k, err
	}
	if k.fragment == "" {
		return k, noRole(name, role)
	}
	k.signer, err = s.home.MethodSigner(name, k.fragment)
	return k, err
}

func noRole(name, role string) error {
	what, purposes := "an issuer", "assertion"
	if role == home.GateMethod {
		what, purposes = "a gate", "authentication+assertion"
	}
	return hint(fmt.Errorf("%s has %w: it is not %s", name, errNoRole, what),
		"make it one with: hufu did update %s --add %s:%s", name, role, purposes)
}
