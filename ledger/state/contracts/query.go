package contracts

import (
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/trust"
)

// GetHead reads what the newest version of a contract is, or nil when there is no such contract.
func GetHead(r state.Reader, owner hufu.ID, name string) (*Head, error) {
	return state.Load[Head](r, HeadKey(owner, name))
}

// Get reads one version of a contract, the newest one for version 0; nil when there is none. A
// retired contract is still found: what was decided by it can still be replayed.
func Get(r state.Reader, owner hufu.ID, name string, version uint32) (*Record, error) {
	head, err := GetHead(r, owner, name)
	if err != nil || head == nil {
		return nil, err
	}
	if version == 0 {
		version = head.Version
	}
	if version > head.Version {
		return nil, nil
	}
	p, err := state.Load[Published](r, VersionKey(owner, name, version))
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("contracts: the state names version %d of %s and does not have it", version, name)
	}
	return &Record{Published: *p, Latest: head.Version, Retired: head.Retired, RetiredTime: head.RetiredTime}, nil
}

// Type reads a published credential type as contracts see it, or nil when nobody published it.
func Type(r state.Reader, vct string) (*contract.Type, error) {
	return trust.ContractTypes(r)(vct)
}
