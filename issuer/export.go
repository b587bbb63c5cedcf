package issuer

import (
	"context"
	"sync"
	"time"

	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/status"
)

// tokenLife is how long a status list token may be relied upon at most; [Config.ListTTL] is how long it
// should be.
const tokenLife = 24 * time.Hour

// heldToken is a status list token and until when it is served.
type heldToken struct {
	token string
	until time.Time
}

// tokenKey says which list, in which form.
type tokenKey struct {
	list      uint64
	mediaType string
}

// tokenCache holds one token for each list and form, so that a crowd of readers costs one signature.
type tokenCache struct {
	mu   sync.Mutex
	held map[tokenKey]heldToken
}

func (c *tokenCache) get(key tokenKey, now time.Time) (heldToken, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.held[key]
	return h, ok && now.Before(h.until)
}

func (c *tokenCache) put(key tokenKey, h heldToken) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[key] = h
}

func (c *tokenCache) drop(list uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, tokenKey{list, credstatus.MediaType})
	delete(c.held, tokenKey{list, credstatus.MediaTypeCWT})
}

// Export signs one of the issuer's status lists, as the ledger has it, as a Token Status List JWT.
// until is when a fresh one should be fetched. It refuses by status.RuleUnknownList.
func (s *Service) Export(ctx context.Context, list uint64) (token string, until time.Time, err error) {
	return s.export(ctx, tokenKey{list, credstatus.MediaType})
}

// ExportCWT is [Service.Export] in CWT form.
func (s *Service) ExportCWT(ctx context.Context, list uint64) (token []byte, until time.Time, err error) {
	text, until, err := s.export(ctx, tokenKey{list, credstatus.MediaTypeCWT})
	return []byte(text), until, err
}

func (s *Service) export(ctx context.Context, key tokenKey) (token string, until time.Time, err error) {
	now := s.cfg.Now()
	if h, ok := s.tokens.get(key, now); ok {
		return h.token, h.until, nil
	}
	t, err := s.statusToken(ctx, key.list, now)
	if err != nil {
		return "", time.Time{}, err
	}
	if key.mediaType == credstatus.MediaTypeCWT {
		var raw []byte
		raw, err = t.SignCWT(s.cfg.Rand, s.cfg.Signer)
		token = string(raw)
	} else {
		token, err = t.Sign(s.cfg.Rand, s.cfg.Signer)
	}
	if err != nil {
		return "", time.Time{}, err
	}
	h := heldToken{token, t.IssuedAt.Add(s.cfg.ListTTL)}
	s.tokens.put(key, h)
	return h.token, h.until, nil
}

func (s *Service) statusToken(ctx context.Context, list uint64, now time.Time) (*credstatus.Token, error) {
	var (
		bits   uint8
		packed []byte
		meta   *status.List
	)
	err := s.cfg.Ledger.Read(ctx, func(v client.View) (err error) {
		if bits, packed, err = status.Export(v, s.id, list); err != nil {
			return err
		}
		meta, err = status.GetList(v, s.id, list)
		return err
	})
	if err != nil {
		return nil, err
	}
	entries, err := credstatus.FromBytes(bits, packed)
	if err != nil {
		return nil, err
	}
	issuedAt := now.UTC().Truncate(time.Second)
	t := &credstatus.Token{
		URI: meta.URI, Issuer: string(s.cfg.DID), KeyID: s.cfg.DID.URL(s.cfg.Fragment),
		IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(tokenLife), TTL: s.cfg.ListTTL, List: entries,
	}
	if s.exchange != nil {
		t.Chain = s.exchange.chain
	}
	return t, nil
}
