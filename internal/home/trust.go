package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hufu-id/hufu/ledger/client"
)

// trustFile holds the header from which this home's clients verify, once the genesis is old.
const trustFile = "checkpoint.json"

// renewAfter is the age at which what clients trust is replaced by a header they have verified since. It
// is a third of the trusting period: trust does not lapse unless a home is left alone for the other two,
// and a snapshot opens with the trust it was exported with for as long as that stays.
const renewAfter = client.DefaultPeriod / 3

// Checkpoint is a verified header and its time.
type Checkpoint struct {
	client.Checkpoint
	Time time.Time `json:"time"`
}

// Trust is what this home's clients believe to begin with: the genesis, or the checkpoint that took its
// place.
func (h *Home) Trust() (client.Trust, error) {
	genesis, err := h.Genesis()
	if err != nil {
		return client.Trust{}, err
	}
	t, err := client.ParseGenesis(genesis)
	if err != nil {
		return t, err
	}
	c, err := h.checkpoint()
	if c != nil {
		t.Checkpoint = &c.Checkpoint
	}
	return t, err
}

func (h *Home) checkpoint() (*Checkpoint, error) {
	raw, err := os.ReadFile(h.Path(trustFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // no checkpoint is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	var c Checkpoint
	if err := json.Unmarshal(raw, &c); err != nil || c.Height == 0 || c.Time.IsZero() {
		return nil, fmt.Errorf("home: %s does not read", trustFile)
	}
	return &c, nil
}

// TrustIsOld reports whether the trust should be renewed.
func (h *Home) TrustIsOld(now time.Time) (bool, error) {
	c, err := h.checkpoint()
	if err != nil {
		return false, err
	}
	if c != nil {
		return now.Sub(c.Time) > renewAfter, nil
	}
	t, err := h.Trust()
	return now.Sub(t.GenesisTime) > renewAfter, err
}

// SetCheckpoint makes c what this home's clients trust from now on. It must have been verified, or come
// by a way that no node controls.
func (h *Home) SetCheckpoint(c Checkpoint) error {
	if c.Height == 0 || c.Time.IsZero() {
		return errors.New("home: a checkpoint has a height, a hash and a time")
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.Path(trustFile), append(raw, '\n'))
}
