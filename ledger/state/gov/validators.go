package gov

import (
	"bytes"
	"errors"

	"github.com/hufu-id/hufu/ledger/state"
)

// Validators are those that the engine was last told, ascending by key.
func Validators(r state.Reader) ([]Validator, error) {
	known, err := state.Load[validatorSet](r, ValidatorsKey())
	if err != nil || known == nil {
		return nil, errors.Join(err, errNoGenesis)
	}
	return known.Validators, nil
}

// EndBlock lists how the validators differ from what the engine was last told, ascending by key,
// with power 0 for a key that is none any more, and records that the engine now knows.
func EndBlock(o *state.Overlay) ([]Validator, error) {
	roster, err := GetRoster(o)
	if err != nil {
		return nil, err
	}
	known, err := state.Load[validatorSet](o, ValidatorsKey())
	if err != nil {
		return nil, err
	}
	if known == nil {
		known = new(validatorSet) // genesis
	}
	now := roster.Validators()
	updates := difference(known.Validators, now)
	if len(updates) == 0 {
		return nil, nil
	}
	return updates, state.Save(o, ValidatorsKey(), &validatorSet{Validators: now})
}

// difference merges two lists ascending by key.
func difference(old, now []Validator) []Validator {
	var out []Validator
	for len(old) > 0 || len(now) > 0 {
		var order int
		switch {
		case len(old) == 0:
			order = 1
		case len(now) == 0:
			order = -1
		default:
			order = bytes.Compare(old[0].PubKey, now[0].PubKey)
		}
		switch {
		case order < 0:
			out = append(out, Validator{PubKey: old[0].PubKey})
			old = old[1:]
		case order > 0:
			out = append(out, now[0])
			now = now[1:]
		default:
			if old[0].Power != now[0].Power {
				out = append(out, now[0])
			}
			old, now = old[1:], now[1:]
		}
	}
	return out
}
