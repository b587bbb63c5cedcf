package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
)

// trustFile holds the header from which this home's clients verify, once the genesis is old.
const trustFile = "checkpoint.json"

// Files that this home's clients keep.
const (
	HeadersFile  = "headers"         // the last header that was verified, and what leads to it
	SnapshotFile = "ledger.snapshot" // the state, for gates during an outage
)

// evidenceSuffix ends the name of a file that shows two headers of one height; settledSuffix is added when
// people have found out which one holds.
const (
	evidenceSuffix = ".evidence"
	settledSuffix  = ".settled"
)

// ErrConflict means that two headers of one height are known to be signed, and not which one holds.
var ErrConflict = errors.New("home: the ledger has two histories")

// KeepEvidence keeps a file of evidence about a height, and returns its name. From then on [Home.Trust] fails.
func (h *Home) KeepEvidence(height hufu.Height, raw []byte) (string, error) {
	name := h.Path(fmt.Sprintf("height-%d%s", height, evidenceSuffix))
	return name, writeFile(name, raw)
}

// evidence lists the files that were not settled.
func (h *Home) evidence() ([]string, error) {
	return filepath.Glob(filepath.Join(globQuoted(h.dir), "*"+evidenceSuffix))
}

func globQuoted(dir string) string {
	return strings.NewReplacer("*", "\\*", "?", "\\?", "[", "\\[", "\\", "\\\\").Replace(dir)
}

// Settle makes c what this home's clients trust, after people have found that it is of the history that
// holds, also where there is evidence of two.
func (h *Home) Settle(c Checkpoint) error {
	if err := h.SetCheckpoint(c); err != nil {
		return err
	}
	names, err := h.evidence()
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	for _, name := range names {
		if err := os.Rename(name, name+settledSuffix); err != nil {
			return fmt.Errorf("home: %w", err)
		}
	}
	return nil
}

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
// place. It fails with [ErrConflict] while there is evidence that is not settled.
func (h *Home) Trust() (client.Trust, error) {
	if names, err := h.evidence(); err != nil || len(names) > 0 {
		return client.Trust{}, errors.Join(err, fmt.Errorf("%w: see %s", ErrConflict, strings.Join(names, ", ")))
	}
	return h.Anchor()
}

// Anchor is Trust, whatever evidence there is: evidence is verified from it.
func (h *Home) Anchor() (client.Trust, error) {
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
	if err := writeFile(h.Path(trustFile), append(raw, '\n')); err != nil {
		return err
	}
	// What was verified from the trust before does not lead on from this one.
	if err := os.Remove(h.Path(HeadersFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("home: %w", err)
	}
	return nil
}
