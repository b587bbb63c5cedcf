package issuer

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"rsc.io/qr"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// OfferRequest asks for a credential offer.
type OfferRequest struct {
	// Person is who the offer is for. With grant authorization_code it may be zero: whoever signs in.
	Person         PersonRef
	Configurations []string // see [Service.Configurations]
	Grant          string   // oauth.GrantPreAuthorized or oauth.GrantCode
	TxCode         bool     // a transaction code is asked for, which the person is told in another way
	// Hold makes issuance wait until [Service.Release] or [Service.Decline].
	Hold   bool
	Life   time.Duration // optional: [DefaultOfferLife]
	Wallet string        // optional, address of the wallet: [oid4vci.OfferScheme]
}

// Offered is an offer that was made. Whoever has the links can take it, with the transaction code if
// there is one.
type Offered struct {
	ID        string         `json:"id"`           // for the agency; opens nothing
	Link      string         `json:"uri"`          // by reference: short, for a QR code
	ByValue   string         `json:"uri_by_value"` // with the offer in it
	Offer     *oid4vci.Offer `json:"offer"`
	TxCode    string         `json:"tx_code,omitempty"`
	ExpiresAt time.Time      `json:"expires_at"`
}

// States of an offer in the store.
const (
	offerOpen  = 0
	offerTaken = 1
	offerVoid  = 2
)

// Whether an offer's issuance waits.
const (
	issueNow      = 0
	issueHeld     = 1
	issueDeclined = 2
)

// txCodeDigits is the length of a transaction code. With maxTxCodeTries a guess succeeds once in 200,000 offers.
const txCodeDigits = 6

const txCodeText = "6 位数字，由机关另行告知 / 6 digits, told to you by the agency in another way"

// CreateOffer makes an offer that one wallet can take, once, until it expires.
func (s *Service) CreateOffer(ctx context.Context, req OfferRequest) (*Offered, error) {
	x, err := s.exchanging()
	if err != nil {
		return nil, err
	}
	if err := s.checkOffer(ctx, &req); err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	reference, id, err := s.secret()
	if err != nil {
		return nil, err
	}
	out := &Offered{ID: hex.EncodeToString(id), ExpiresAt: now.Add(req.Life).UTC().Truncate(time.Second)}
	if req.TxCode {
		if out.TxCode, err = s.newTxCode(); err != nil {
			return nil, err
		}
	}
	var code, state, txCode, person []byte
	out.Offer = s.offer(reference, req.Configurations, req.Grant == oauth.GrantPreAuthorized, req.TxCode)
	if g := out.Offer.PreAuthorized; g != nil {
		code = digest(g.Code)
	} else {
		state = digest(out.Offer.Code.IssuerState)
	}
	if req.TxCode {
		txCode = s.txCodeDigest(id, out.TxCode)
	}
	if req.Person != (PersonRef{}) {
		person = req.Person[:]
	}
	ids, err := encodeIDs(req.Configurations)
	if err != nil {
		return nil, err
	}
	holding := issueNow
	if req.Hold {
		holding = issueHeld
	}
	err = s.store.Write(ctx, func(t *database.Tx) error {
		if person != nil {
			if err := enrolled(ctx, t, req.Person); err != nil {
				return err
			}
		}
		_, err := t.ExecContext(ctx, `INSERT INTO offers (id, code, issuer_state, tx_code, person, configurations, held, until)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, id, code, state, txCode, person, ids, holding, out.ExpiresAt.Unix())
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Link = oid4vci.ReferenceLink(req.Wallet, x.endpoint("offers/")+reference)
	out.ByValue, err = out.Offer.Link(req.Wallet)
	return out, errors.Join(err, s.sweep(ctx, now))
}

func (s *Service) checkOffer(ctx context.Context, req *OfferRequest) error {
	if req.Life == 0 {
		req.Life = DefaultOfferLife
	}
	if req.Wallet == "" {
		req.Wallet = oid4vci.OfferScheme
	}
	pre := req.Grant == oauth.GrantPreAuthorized
	switch {
	case !pre && req.Grant != oauth.GrantCode:
		return hufu.Refuse(RuleOffer, "an offer is for the grant %s or %s", oauth.GrantPreAuthorized, oauth.GrantCode)
	case pre && req.Person == PersonRef{}:
		return hufu.Refuse(RuleOffer, "an offer with a pre-authorized code is for somebody")
	case !pre && req.TxCode:
		return hufu.Refuse(RuleOffer, "a transaction code goes with a pre-authorized code")
	case len(req.Configurations) == 0 || len(req.Configurations) > oid4vci.MaxConfigurations:
		return hufu.Refuse(RuleOffer, "an offer is of 1 to %d credential configurations", oid4vci.MaxConfigurations)
	case req.Life < time.Second || req.Life > maxOfferLife:
		return hufu.Refuse(RuleOffer, "an offer lasts from a second to %s", maxOfferLife)
	}
	return s.known(ctx, req.Configurations)
}

// offer is the offer behind a reference: its code follows from the reference under a key, so that it
// can be told again without being kept.
func (s *Service) offer(reference string, configurations []string, preAuthorized, txCode bool) *oid4vci.Offer {
	m := hmac.New(sha256.New, s.vault.offers)
	m.Write([]byte("code\x00" + reference))
	code := base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	o := &oid4vci.Offer{CredentialIssuer: s.exchange.URL, ConfigurationIDs: configurations}
	if !preAuthorized {
		o.Code = &oid4vci.CodeGrant{IssuerState: code}
		return o
	}
	o.PreAuthorized = &oid4vci.PreAuthorizedGrant{Code: code}
	if txCode {
		o.PreAuthorized.TxCode = &oid4vci.TxCode{InputMode: oid4vci.InputNumeric, Length: txCodeDigits, Description: txCodeText}
	}
	return o
}

func (s *Service) newTxCode() (string, error) {
	const limit = 1_000_000
	for {
		var b [4]byte
		if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
			return "", fmt.Errorf("issuer: %w", err)
		}
		if n := binary.BigEndian.Uint32(b[:]); n < (1<<32)/limit*limit { // all digits alike
			return fmt.Sprintf("%0*d", txCodeDigits, n%limit), nil
		}
	}
}

// txCodeDigest is under a key: a million codes are soon tried.
func (s *Service) txCodeDigest(offer []byte, code string) []byte {
	m := hmac.New(sha256.New, s.vault.offers)
	m.Write(bytes.Join([][]byte{[]byte("tx_code"), offer, []byte(code)}, []byte{0}))
	return m.Sum(nil)
}

// FetchOffer is the offer that a link points to, as long as it can be taken. It refuses by [RuleOffer].
func (s *Service) FetchOffer(ctx context.Context, reference string) (*oid4vci.Offer, error) {
	if _, err := s.exchanging(); err != nil {
		return nil, err
	}
	var pre, txCode bool
	var ids string
	err := s.store.QueryRowContext(ctx, `SELECT code IS NOT NULL, tx_code IS NOT NULL, configurations FROM offers
		WHERE id = ? AND state = ? AND until > ?`, digest(reference), offerOpen, s.cfg.Now().Unix()).Scan(&pre, &txCode, &ids)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hufu.Refuse(RuleOffer, "no such offer, or it is taken or expired")
	}
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	configurations, err := decodeIDs(ids)
	if err != nil {
		return nil, err
	}
	return s.offer(reference, configurations, pre, txCode), nil
}

// Release lets the issuance of an offer that is held go on.
func (s *Service) Release(ctx context.Context, offerID string) error {
	return s.decide(ctx, offerID, issueNow)
}

// Decline refuses the issuance of an offer that is held, for good.
func (s *Service) Decline(ctx context.Context, offerID string) error {
	return s.decide(ctx, offerID, issueDeclined)
}

func (s *Service) decide(ctx context.Context, offerID string, to int) error {
	if _, err := s.exchanging(); err != nil {
		return err
	}
	id, err := hex.DecodeString(offerID)
	if err != nil {
		return hufu.Refuse(RuleOffer, "no such offer")
	}
	return s.store.Write(ctx, func(t *database.Tx) error {
		r, err := t.ExecContext(ctx, "UPDATE offers SET held = ? WHERE id = ? AND held = ?", to, id, issueHeld)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, hufu.Refuse(RuleOffer, "no such offer that is held"))
		}
		return nil
	})
}

// QR is a link as a QR code in PNG, each module scale pixels wide.
func QR(link string, scale int) ([]byte, error) {
	c, err := qr.Encode(link, qr.M)
	if err != nil {
		return nil, fmt.Errorf("issuer: the link does not fit a QR code: %w", err)
	}
	c.Scale = scale
	return c.PNG(), nil
}

// QRText is a link as a QR code for a terminal of dark background, two modules to a character.
func QRText(link string) (string, error) {
	c, err := qr.Encode(link, qr.L)
	if err != nil {
		return "", fmt.Errorf("issuer: the link does not fit a QR code: %w", err)
	}
	const quiet = 2
	light := func(x, y int) bool { return x < 0 || y < 0 || x >= c.Size || y >= c.Size || !c.Black(x, y) }
	var b bytes.Buffer
	for y := -quiet; y < c.Size+quiet; y += 2 {
		for x := -quiet; x < c.Size+quiet; x++ {
			switch upper, lower := light(x, y), light(x, y+1); {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
