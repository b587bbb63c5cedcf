package issuer_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/limit"
)

// A wallet that has gone wild is held off, for its person alone, and only for a while.
func TestRateOfAPerson(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Exchange.PersonRate = limit.Rate{PerSecond: 0.1, Burst: 2} })
	who := adult(t, o.people)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(who, false, residentJWT)))
	ask := func() *answer { return p.json("/credential", p.request(residentJWT, 1), token.AccessToken) }
	for range 2 {
		ask().ok(t, http.StatusOK, nil)
	}
	a := ask()
	a.refused(t, http.StatusTooManyRequests, "temporarily_unavailable")
	if a.Header.Get("Retry-After") == "" {
		t.Error("not told how long to wait")
	}
	other := o.phone(true)
	for _, someone := range o.people {
		if someone.ResidentNumber == who.ResidentNumber || someone.BirthDate.AgeOn(today) < 18 {
			continue
		}
		token := other.token(other.take(o.preAuthorized(someone, false, residentJWT)))
		other.json("/credential", other.request(residentJWT, 1), token.AccessToken).ok(t, http.StatusOK, nil)
		break
	}
	o.now = o.now.Add(10 * time.Second)
	ask().ok(t, http.StatusOK, nil)
}
