package gate

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// Session is one request that was sent and may be answered once.
type Session struct {
	State    string // names the session to the wallet
	Nonce    string // what presentations must be bound to
	Contract hufu.ContractID
	Version  uint32
	Opened   time.Time // whole seconds
	Expires  time.Time // whole seconds

	Settings Settings    // how it is asked; zero: as [Gate.Request] asks
	Secret   []byte      // the key that the answer is encrypted to, sealed; nil when it is not
	Ticket   hufu.Digest // SHA-256 of what the service knows the session by; zero: no service asks
	Page     hufu.Digest // SHA-256 of what a page on another device knows it by; zero: there is none
}

// Settings is how a session is asked, beside what its contract says.
type Settings struct {
	Mode         string   `json:"mode,omitempty"`   // response mode; "": direct_post
	Format       string   `json:"format,omitempty"` // "": dc+sd-jwt
	ClientID     string   `json:"client,omitempty"` // "": that of the gate's DID
	Method       string   `json:"method,omitempty"` // of the request URI
	Cross        bool     `json:"cross,omitempty"`  // the wallet is on another device
	Return       string   `json:"return,omitempty"` // where the browser goes afterwards
	Unsigned     bool     `json:"unsigned,omitempty"`
	Origins      []string `json:"origins,omitempty"`
	Transactions []string `json:"transactions,omitempty"` // transaction_data
	ClaimsKey    string   `json:"claims_key,omitempty"`   // JWK to seal what is shown to; "": it is not kept
}

// Conclusion is what came of a session.
type Conclusion struct {
	Outcome string      // [SessionResult] without claims, as JSON; "": there is none
	Code    hufu.Digest // SHA-256 of the response code that the result is fetched with; zero: none yet
	Claims  []byte      // sealed; nil when nothing is kept, or no longer
	Keep    time.Time   // until when Claims is kept
}

// Progress is how far a stored session is.
type Progress struct {
	Session
	Conclusion
	Taken bool // it was answered; without Outcome, it is not decided yet or never will be
}

// Entry is one stored receipt. It repeats of the receipt what one searches by.
type Entry struct {
	Number   int64 // from 1, without gaps
	Time     time.Time
	Contract string // empty when the answer belonged to no request
	Decision hufu.Decision
	Rule     hufu.Rule
	Token    string   // the signed receipt
	Gate     hufu.DID // whose receipt it is
}

// Errors of a [Store].
var (
	ErrUnknownSession  = errors.New("gate: no such request")
	ErrAnsweredSession = errors.New("gate: the request was answered before")
)

// Store keeps what a gate must not forget: which requests are open, which were answered, and every
// receipt. It is given claims only sealed to somebody else. What a call returned for is on disk. Safe for
// concurrent use, by several processes too.
type Store interface {
	// Open records a new request. State, nonce, ticket and page must be new. Requests that expired more
	// than a day before s was opened may be forgotten; secrets and claims whose time passed some seconds
	// before are.
	Open(ctx context.Context, s Session) error
	// Take marks the request as answered and returns it, to one caller only: every other gets
	// ErrAnsweredSession. A state that was never opened, or is forgotten, is ErrUnknownSession. Its secret
	// is forgotten.
	Take(ctx context.Context, state string) (Session, error)
	// Answered reports whether a request with this nonce is known to have been answered.
	Answered(ctx context.Context, nonce string) (bool, error)
	// Append adds a receipt and returns its number.
	Append(ctx context.Context, e Entry) (int64, error)
	// Conclude adds the receipt of a taken session and records what came of it, both or neither.
	Conclude(ctx context.Context, state string, e Entry, c Conclusion) (int64, error)
	// Receipts lists up to limit receipts with a number above after, in order.
	Receipts(ctx context.Context, after int64, limit int) ([]Entry, error)

	// Logged lists up to limit entries of a gate's log (receipt.LogEntry) from one on; they are its receipts in
	// order, counted from 0 without gaps. EntryOf finds the number of one, or ErrNotLogged.
	Logged(ctx context.Context, gate hufu.DID, from uint64, limit int) ([]hufu.Digest, error)
	EntryOf(ctx context.Context, gate hufu.DID, digest hufu.Digest) (uint64, error)

	// ByState, ByTicket and ByPage find a session, or ErrUnknownSession.
	ByState(ctx context.Context, state string) (Progress, error)
	ByTicket(ctx context.Context, ticket hufu.Digest) (Progress, error)
	ByPage(ctx context.Context, page hufu.Digest) (Progress, error)
	// SetCode replaces the response code of a concluded session.
	SetCode(ctx context.Context, page, code hufu.Digest) error
	// TakeClaims returns the claims of a concluded session to one caller, and forgets them. Every other,
	// and every one after they were to be kept, gets nil.
	TakeClaims(ctx context.Context, ticket hufu.Digest, now time.Time) ([]byte, error)
	// Concluded lists the pages of the sessions whose receipts have a number above after, and the highest
	// number there is.
	Concluded(ctx context.Context, after int64) (pages []hufu.Digest, last int64, err error)
	Close() error
}

// sweepEvery is how often a process has the store forget: looking for what there is to forget costs as much as
// a session does.
const sweepEvery = 10 * time.Second

// forgetAfter is how long an expired request is remembered, so that a replay is called by its name.
const forgetAfter = 24 * time.Hour

//go:embed migrations
var migrations embed.FS

type store struct {
	*database.DB
	swept *atomic.Int64 // when this process last had the store forget, in unix seconds
}

// OpenStore opens the database that dsn names: the path of a SQLite file, made when there is none, a
// postgres:// DSN, or [database.Memory].
func OpenStore(ctx context.Context, dsn string) (Store, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	d, err := database.Open(ctx, dsn, database.Schema{Name: "gate", Migrations: dir})
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	return store{d, new(atomic.Int64)}, nil
}

func (s store) Append(ctx context.Context, e Entry) (number int64, err error) {
	err = s.Write(ctx, func(t *database.Tx) error {
		number, err = appendReceipt(ctx, t, e)
		return err
	})
	return number, err
}

// appendReceipt numbers without gaps, as changes happen one after another.
func appendReceipt(ctx context.Context, t *database.Tx, e Entry) (number int64, err error) {
	digest := receipt.LogEntry(e.Token)
	err = t.QueryRowContext(ctx, `INSERT INTO receipts (number, time, contract, decision, rule, token, gate, entry, digest)
		VALUES ((SELECT coalesce(max(number), 0) + 1 FROM receipts), ?1, ?2, ?3, ?4, ?5, ?6,
			(SELECT coalesce(max(entry), -1) + 1 FROM receipts WHERE gate = ?6), ?7) RETURNING number`,
		e.Time.Unix(), e.Contract, e.Decision.String(), string(e.Rule), e.Token, string(e.Gate), digest[:]).Scan(&number)
	return number, err
}

func (s store) Receipts(ctx context.Context, after int64, limit int) ([]Entry, error) {
	rows, err := s.QueryContext(ctx, "SELECT number, time, contract, decision, rule, token, coalesce(gate, '') FROM receipts WHERE number > ? ORDER BY number LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	var out []Entry
	for rows.Next() {
		var e Entry
		var at int64
		var decision, rule, gate string
		if err := rows.Scan(&e.Number, &at, &e.Contract, &decision, &rule, &e.Token, &gate); err != nil {
			return nil, err
		}
		if err := e.Decision.UnmarshalText([]byte(decision)); err != nil {
			return nil, err
		}
		e.Time, e.Rule, e.Gate = time.Unix(at, 0).UTC(), hufu.Rule(rule), hufu.DID(gate)
		out = append(out, e)
	}
	return out, rows.Err()
}
