package machine

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Rules of admission, besides those of the identifiers and quotas.
const (
	RuleExpired   hufu.Rule = "tx.expired"
	RuleLifetime  hufu.Rule = "tx.expires-too-late"
	RuleSequence  hufu.Rule = "tx.wrong-sequence" // used already, or ahead of its turn
	RuleThreshold hufu.Rule = "tx.wrong-number-of-signatures"
	RuleKey       hufu.Rule = "tx.wrong-key" // not a present control key of the signer, or another suite's alg
	RuleSignature hufu.Rule = "tx.signature" // does not hold
)

// MaxLifetime is how many blocks ahead of the present one a transaction may expire: some hours or
// days, enough to gather signatures, and too little for a forgotten one to surprise anybody.
const MaxLifetime hufu.Height = 100_000

// What a transaction costs, in units of quota: its bytes, which are stored for ever, and the time of
// checking each signature, also those within it, as worth as many bytes as take that time. Publishing a contract parses it
// and checks it against the types it reads.
const (
	SignatureCost  = 200
	ContractWeight = 4
)

// Admission is what admitting a transaction found out.
type Admission struct {
	Keys   []keys.PublicKey // the key that each signature must hold for, in their order
	Member hufu.ID          // whose quota is charged
	Open   bool             // its open quota
	Cost   uint64           // units

	bill gov.Bill
}

// Cost is how many units of quota a transaction uses.
func Cost(t *tx.Tx) uint64 {
	bytes, signatures := uint64(len(t.Raw())), uint64(len(t.Signatures))
	switch t.Payload.Kind {
	case tx.KindContractPublish:
		bytes *= ContractWeight
	case tx.KindAnchorCommit:
		signatures++ // the checkpoint's
	case tx.KindAnchorReport:
		signatures += 2 // those of both checkpoints
	}
	return bytes + SignatureCost*signatures
}

// Admit decides whether t may be in the block of ctx, on the state r before it. The signatures
// themselves are left to check, against Admission.Keys.
func Admit(ctx state.Context, r state.Reader, t *tx.Tx) (Admission, error) {
	return AdmitAfter(ctx, r, t, 0)
}

// AdmitAfter is Admit for a queue in which transactions of the same author wait already: next is the
// sequence number after theirs, or 0 when there are none. They may change what r says, so t has to be
// admitted again when its turn comes.
func AdmitAfter(ctx state.Context, r state.Reader, t *tx.Tx, next uint64) (Admission, error) {
	p := &t.Payload
	switch {
	case p.Expires < ctx.Height:
		return Admission{}, hufu.Refuse(RuleExpired, "it was to be in block %d at the latest, and this is %d", p.Expires, ctx.Height)
	case p.Expires > ctx.Height+MaxLifetime:
		return Admission{}, hufu.Refuse(RuleLifetime, "it expires at %d, more than %d blocks after %d", p.Expires, MaxLifetime, ctx.Height)
	}
	author, err := admitAuthor(r, t, next)
	if err != nil {
		return Admission{}, err
	}
	a := Admission{Cost: Cost(t)}
	if a.Keys, err = signingKeys(r, t, author); err != nil {
		return Admission{}, err
	}
	if a.Member, a.Open, err = charged(r, t, author); err != nil {
		return Admission{}, err
	}
	a.bill, err = gov.CheckQuota(ctx, r, a.Member, a.Open, a.Cost, 0)
	return a, err
}

// admitAuthor reads the author's record, nil for a new identifier, and checks that it is t's turn.
func admitAuthor(r state.Reader, t *tx.Tx, next uint64) (*did.Record, error) {
	p := &t.Payload
	if p.Kind == tx.KindDIDCreate {
		return nil, did.CheckNew(r, p.Author)
	}
	rec, err := did.Active(r, p.Author)
	if err != nil {
		return nil, err
	}
	if want := max(next, rec.Sequence); p.Sequence != want {
		return nil, hufu.Refuse(RuleSequence, "sequence %d, where the author's next is %d", p.Sequence, want)
	}
	return rec, nil
}

// charged is the member whose quota t uses.
func charged(r state.Reader, t *tx.Tx, author *did.Record) (member hufu.ID, open bool, err error) {
	if s := t.Payload.Sponsor; s != nil {
		return *s, t.Signatures[len(t.Signatures)-1].Signer != *s, nil
	}
	if author == nil {
		return hufu.ID{}, false, hufu.Refuse(gov.RuleNoQuota, "a new identifier needs a member as its sponsor")
	}
	if is, err := gov.IsMember(r, author.ID); err != nil || is {
		return author.ID, false, err
	}
	return author.Member, author.Open, nil
}

// signingKeys finds the key for each signature: exactly as many of the author's control keys as its
// threshold says, and of the sponsor's. More are refused too: each costs every node a verification,
// and anybody could take one away and so make a second form of the transaction.
func signingKeys(r state.Reader, t *tx.Tx, author *did.Record) ([]keys.PublicKey, error) {
	mine := 0
	for mine < len(t.Signatures) && t.Signatures[mine].Signer == t.Payload.Author {
		mine++
	}
	out := make([]keys.PublicKey, len(t.Signatures))
	var err error
	switch b := t.Body.(type) {
	case *tx.DIDCreate:
		err = matchFresh(out[:mine], t.Signatures[:mine], t.ControlKeys(), 0, int(b.Threshold))
	case *tx.DIDRotate:
		if err = author.CheckRotation(t.ControlKeys()); err == nil {
			err = matchFresh(out[:mine], t.Signatures[:mine], t.ControlKeys(), len(author.Keys), author.RotationThreshold(b))
		}
	case *tx.DIDFinish:
		err = matchPlan(out[:mine], t.Signatures[:mine], author)
	default:
		err = matchPresent(out[:mine], t.Signatures[:mine], author)
	}
	if err != nil || t.Payload.Sponsor == nil || (mine == len(out) && t.Payload.Kind == tx.KindDIDCreate) {
		return out, err
	}
	sponsor, err := did.Active(r, *t.Payload.Sponsor)
	if err != nil {
		return nil, err
	}
	return out, matchPresent(out[mine:], t.Signatures[mine:], sponsor)
}

// matchFresh matches signatures with keys that the transaction itself brings, the first of which has
// index base.
func matchFresh(out []keys.PublicKey, sigs []tx.Signature, fresh []keys.PublicKey, base, threshold int) error {
	if err := checkNumber(len(sigs), threshold); err != nil {
		return err
	}
	for i, s := range sigs {
		at := int(s.KeyIndex) - base
		if at < 0 || at >= len(fresh) {
			return hufu.Refuse(RuleKey, "signature %d names key %d, and the keys are %d to %d", i, s.KeyIndex, base, base+len(fresh)-1)
		}
		if err := checkAlg(i, s, fresh[at]); err != nil {
			return err
		}
		out[i] = fresh[at]
	}
	return nil
}

// matchPlan matches signatures with the keys of author's pending recovery.
func matchPlan(out []keys.PublicKey, sigs []tx.Signature, author *did.Record) error {
	p, err := author.PendingRecovery()
	if err != nil {
		return err
	}
	fresh, err := p.ControlKeys()
	if err != nil {
		return err
	}
	return matchFresh(out, sigs, fresh, len(author.Keys), int(p.Plan.Threshold))
}

// matchPresent matches signatures with the present control keys of rec.
func matchPresent(out []keys.PublicKey, sigs []tx.Signature, rec *did.Record) error {
	if err := checkNumber(len(sigs), int(rec.Threshold)); err != nil {
		return err
	}
	for i, s := range sigs {
		if int(s.KeyIndex) >= len(rec.Keys) || !rec.Keys[s.KeyIndex].Current() {
			return hufu.Refuse(RuleKey, "signature %d names key %d, which is not a present control key", i, s.KeyIndex)
		}
		key, err := keys.ReadMultikey(rec.Keys[s.KeyIndex].Multikey) // checked before it was recorded
		if err != nil {
			return err
		}
		if err := checkAlg(i, s, key); err != nil {
			return err
		}
		out[i] = key
	}
	return nil
}

func checkNumber(got, threshold int) error {
	if got != threshold {
		return hufu.Refuse(RuleThreshold, "%d signatures of one identifier, where %d are wanted", got, threshold)
	}
	return nil
}

func checkAlg(i int, s tx.Signature, key keys.PublicKey) error {
	if s.Alg != key.Suite().COSEAlg() {
		return hufu.Refuse(RuleKey, "signature %d has algorithm %d, and its key is of %s", i, s.Alg, key.Suite())
	}
	return nil
}

// CheckSignatures checks t's signatures one by one against the keys that admission named, by the
// ledger's rule for signatures ([keys.PublicKey.VerifyConsensus]). Checking them in batches must come
// to the same answer.
func CheckSignatures(t *tx.Tx, by []keys.PublicKey) error {
	if len(by) != len(t.Signatures) {
		return hufu.Refuse(RuleSignature, "%d keys for %d signatures", len(by), len(t.Signatures))
	}
	for i, s := range t.Signatures {
		if !by[i].VerifyConsensus(t.SigningBytes(i), s.Sig) {
			return hufu.Refuse(RuleSignature, "signature %d does not hold", i)
		}
	}
	return nil
}
