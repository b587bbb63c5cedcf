package issuer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/roster"
)

// IssueFigures are what issuing costs on one core.
type IssueFigures struct {
	Suite      string  `json:"suite"`
	Copies     int     `json:"copies"`
	CopiesPerS float64 `json:"copies_per_s"` // of processor time: resident identities, with salts, decoys and a status entry
	BarePerS   float64 `json:"bare_per_s"`   // only signing and hashing the same bytes
	Ratio      float64 `json:"ratio"`        // processor time of a copy ÷ that of bare signing and hashing
	WallRatio  float64 `json:"wall_ratio"`   // the same of elapsed time
}

// MeasureIssue issues copies of a resident identity in batches of batchSize on the calling goroutine,
// and does beside it nothing but the signatures and hashes that they contain. The two take turns, so
// that both see the same machine. cpu is the processor time that the process has used;
// progress is told of each batch.
func MeasureIssue(ctx context.Context, suite *keys.Suite, copies, batchSize int, cpu func() time.Duration, progress func(copies int)) (IssueFigures, error) {
	f := IssueFigures{Suite: suite.Name()}
	signer, err := suite.Generate(rand.Reader)
	if err != nil {
		return f, err
	}
	batch, err := sampleBatch(suite, batchSize)
	if err != nil {
		return f, err
	}
	params, err := sampleParams(ctx, signer)
	if err != nil {
		return f, err
	}
	var issuing, bare, issuingCPU, bareCPU time.Duration
	for f.Copies < copies {
		if err := ctx.Err(); err != nil {
			return f, err
		}
		start, startCPU := time.Now(), cpu()
		made, err := sdjwt.IssueBatch(rand.Reader, params, batch)
		if err != nil {
			return f, err
		}
		issuing, issuingCPU = issuing+time.Since(start), issuingCPU+cpu()-startCPU
		start, startCPU = time.Now(), cpu()
		for _, c := range made {
			if err := bareWork(signer, c); err != nil {
				return f, err
			}
		}
		bare, bareCPU = bare+time.Since(start), bareCPU+cpu()-startCPU
		f.Copies += len(made)
		progress(len(made))
	}
	f.CopiesPerS = float64(f.Copies) / issuingCPU.Seconds()
	f.BarePerS = float64(f.Copies) / bareCPU.Seconds()
	f.Ratio = issuingCPU.Seconds() / bareCPU.Seconds()
	f.WallRatio = issuing.Seconds() / bare.Seconds()
	return f, nil
}

// sampleBatch is one copy for each of as many holders.
func sampleBatch(suite *keys.Suite, size int) ([]sdjwt.Copy, error) {
	batch := make([]sdjwt.Copy, size)
	for i := range batch {
		holder, err := suite.Generate(rand.Reader)
		if err != nil {
			return nil, err
		}
		batch[i] = sdjwt.Copy{HolderKey: holder.Public(), Status: &sdjwt.StatusRef{URI: "https://issuer.example/statuslists/did:hufu:demo:z/0", Index: uint64(i)}}
	}
	return batch, nil
}

// bareWork signs what a credential's signature is over and hashes each of its disclosures.
func bareWork(signer keys.Signer, credential string) error {
	token, rest, _ := strings.Cut(credential, "~")
	if _, err := signer.Sign(rand.Reader, []byte(token[:strings.LastIndexByte(token, '.')])); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	for disclosure := range strings.SplitSeq(strings.TrimSuffix(rest, "~"), "~") {
		sha256.Sum256([]byte(disclosure))
	}
	return nil
}

// sampleParams are a synthetic adult's.
func sampleParams(ctx context.Context, signer keys.Signer) (p sdjwt.IssueParams, err error) {
	today := roster.Date{Year: 2026, Month: time.January, Day: 1}
	s := &Service{}
	for person := range roster.Generate(1, 1, today) {
		claims, err := s.claims(ctx, nil, TypeResidentID, &person, today)
		if err != nil {
			return p, err
		}
		at := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
		p = sdjwt.IssueParams{
			Type: TypeResidentID, Issuer: "did:hufu:demo:zIssuer", KeyID: "did:hufu:demo:zIssuer#assert-1", Signer: signer,
			Claims: claims, Decoys: decoys, IssuedAt: at, ExpiresAt: at.Add(DefaultValidity),
		}
	}
	return p, nil
}
