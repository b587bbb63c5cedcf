package didres_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/didres"
)

func newWorld(t *testing.T) *world.World {
	t.Helper()
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func actor(t *testing.T, w *world.World, suite *keys.Suite) *world.Actor {
	t.Helper()
	a, err := w.Actor(suite)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// resolve resolves an identifier on the world's present state.
func resolve(t *testing.T, w *world.World, identifier string, values map[string][]string) didres.Result {
	t.Helper()
	options, bad := didres.ParseOptions(values)
	if bad != nil {
		return *bad
	}
	v, err := w.View()
	if err != nil {
		t.Fatal(err)
	}
	r, err := didres.Resolve(v, v.Network(), v.AsOf(), identifier, options)
	if err != nil {
		t.Fatal(err)
	}
	if r.ResolutionMetadata.Ledger != nil && *r.ResolutionMetadata.Ledger != v.AsOf() {
		t.Errorf("as of %+v, the state is %+v", r.ResolutionMetadata.Ledger, v.AsOf())
	}
	return r
}

// The JSON is what other people's resolvers and wallets read.
func TestResult(t *testing.T) {
	w := newWorld(t)
	a := actor(t, w, keys.P256)
	created := w.Now()
	first := a.Signer.Public().Multibase()
	raw, err := json.Marshal(resolve(t, w, string(a.DID), nil))
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.View()
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := json.Marshal(v.AsOf())
	if err != nil {
		t.Fatal(err)
	}
	key := string(a.DID) + "#key-0"
	want := fmt.Sprintf(`{"didDocument":{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"id":%[1]q,`+
		`"verificationMethod":[{"id":%[2]q,"type":"Multikey","controller":%[1]q,"publicKeyMultibase":%[3]q}],`+
		`"authentication":[%[2]q],"assertionMethod":[%[2]q],"capabilityInvocation":[%[2]q]},`+
		`"didResolutionMetadata":{"contentType":"application/did","ledger":%[4]s},`+
		`"didDocumentMetadata":{"created":%[5]q,"versionId":"1"}}`, a.DID, key, first, ledger, created.Format(time.RFC3339))
	if string(raw) != want {
		t.Errorf("got\n%s\nwant\n%s", raw, want)
	}

	if err := w.Rotate(a, false); err != nil {
		t.Fatal(err)
	}
	r := resolve(t, w, string(a.DID), nil)
	if m := r.DocumentMetadata; m.VersionID != "2" || m.Updated != w.Now().Format(time.RFC3339) || m.Created != created.Format(time.RFC3339) {
		t.Errorf("after a rotation: %+v", m)
	}
	if vm := r.Document.VerificationMethod; len(vm) != 1 || vm[0].PublicKeyMultibase == first || r.Status() != 200 {
		t.Errorf("after a rotation: %+v", r)
	}

	if err := w.Do(a, &tx.DIDDeactivate{}); err != nil {
		t.Fatal(err)
	}
	r = resolve(t, w, string(a.DID), nil)
	if r.Document != nil || !r.DocumentMetadata.Deactivated || r.ResolutionMetadata.Error != nil || r.Status() != 410 {
		t.Errorf("after its end: %+v", r)
	}
	if raw, err := json.Marshal(r); err != nil || !strings.Contains(string(raw), `"didDocument":null`) {
		t.Errorf("after its end: %s, %v", raw, err)
	}
}

func TestFailures(t *testing.T) {
	w := newWorld(t)
	a := actor(t, w, keys.SM2)
	did := string(a.DID)
	for identifier, want := range map[string]struct {
		err    didres.ErrorType
		status int
	}{
		"":                                    {didres.InvalidDID, 400},
		"did":                                 {didres.InvalidDID, 400},
		"did:":                                {didres.InvalidDID, 400},
		"did:hufu":                            {didres.InvalidDID, 400},
		"did:hufu:":                           {didres.InvalidDID, 400},
		"did::x":                              {didres.InvalidDID, 400},
		"DID:hufu:test:z":                     {didres.InvalidDID, 400},
		"did:HUFU:test:z":                     {didres.InvalidDID, 400},
		"did:web:":                            {didres.InvalidDID, 400},
		"did:web:a b":                         {didres.InvalidDID, 400},
		"did:web:a:":                          {didres.InvalidDID, 400},
		"did:web:%4":                          {didres.InvalidDID, 400},
		"did:web:%zz":                         {didres.InvalidDID, 400},
		"did:web:é":                           {didres.InvalidDID, 400},
		did + "#key-0":                        {didres.InvalidDID, 400},
		did + "?versionId=1":                  {didres.InvalidDID, 400},
		did + "/path":                         {didres.InvalidDID, 400},
		did + " ":                             {didres.InvalidDID, 400},
		did[:len(did)-4]:                      {didres.InvalidDID, 400},
		"did:hufu:test:zzz":                   {didres.InvalidDID, 400},
		"did:hufu:test":                       {didres.InvalidDID, 400},
		"did:web:example.org%3A3000:user":     {didres.MethodNotSupported, 501},
		"did:key:z6MkhaXgBZDvotDkL5257faiz":   {didres.MethodNotSupported, 501},
		string(a.ID.DID("other")):             {didres.MethodNotSupported, 501},
		string(hufu.ID{9}.DID(world.Network)): {didres.NotFound, 404},
	} {
		r := resolve(t, w, identifier, nil)
		if r.ResolutionMetadata.Error == nil || r.ResolutionMetadata.Error.Type != want.err || r.Status() != want.status {
			t.Errorf("%q: %+v, status %d", identifier, r.ResolutionMetadata.Error, r.Status())
			continue
		}
		if r.Document != nil || r.DocumentMetadata != (didres.DocumentMetadata{}) || r.ResolutionMetadata.Error.Title == "" {
			t.Errorf("%q: %+v", identifier, r)
		}
		// An absence is as proven as a presence.
		if (r.ResolutionMetadata.Ledger != nil) != (want.err == didres.NotFound) {
			t.Errorf("%q: as of %+v", identifier, r.ResolutionMetadata.Ledger)
		}
	}
}

func TestOptions(t *testing.T) {
	w := newWorld(t)
	a := actor(t, w, keys.Ed25519)
	created := w.Now()
	if err := w.Pass(time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := w.Rotate(a, false); err != nil {
		t.Fatal(err)
	}
	rotated := w.Now()
	at := func(t time.Time) map[string][]string {
		return map[string][]string{"versionTime": {t.Format(time.RFC3339)}}
	}
	version := func(v string) map[string][]string { return map[string][]string{"versionId": {v}} }
	for name, c := range map[string]struct {
		values map[string][]string
		want   didres.ErrorType
		status int
	}{
		"none":                     {nil, "", 200},
		"present version":          {version("2"), "", 200},
		"past version":             {version("1"), didres.FeatureNotSupported, 501},
		"version to come":          {version("3"), didres.NotFound, 404},
		"version 0":                {version("0"), didres.InvalidOptions, 400},
		"version 02":               {version("02"), didres.InvalidOptions, 400},
		"version +2":               {version("+2"), didres.InvalidOptions, 400},
		"version above 64 bits":    {version("99999999999999999999"), didres.InvalidOptions, 400},
		"no version":               {version(""), didres.InvalidOptions, 400},
		"version twice":            {map[string][]string{"versionId": {"2", "2"}}, didres.InvalidOptions, 400},
		"now":                      {at(rotated), "", 200},
		"later":                    {at(rotated.Add(time.Hour)), "", 200},
		"the same in another zone": {at(rotated.In(time.FixedZone("", 8*3600))), "", 200},
		"before the rotation":      {at(rotated.Add(-time.Second)), didres.FeatureNotSupported, 501},
		"at the creation":          {at(created), didres.FeatureNotSupported, 501},
		"before the creation":      {at(created.Add(-time.Second)), didres.NotFound, 404},
		"no time":                  {map[string][]string{"versionTime": {"yesterday"}}, didres.InvalidOptions, 400},
		"both":                     {map[string][]string{"versionId": {"2"}, "versionTime": {rotated.Format(time.RFC3339)}}, didres.InvalidOptions, 400},
		"expanded":                 {map[string][]string{"expandRelativeUrls": {"true"}}, "", 200},
		"expanded or not":          {map[string][]string{"expandRelativeUrls": {"maybe"}}, didres.InvalidOptions, 400},
		"another option":           {map[string][]string{"service": {"x"}}, didres.FeatureNotSupported, 501},
	} {
		r := resolve(t, w, string(a.DID), c.values)
		got := didres.ErrorType("")
		if r.ResolutionMetadata.Error != nil {
			got = r.ResolutionMetadata.Error.Type
		}
		if got != c.want || r.Status() != c.status || (r.Document != nil) != (c.want == "") {
			t.Errorf("%s: %q, status %d", name, got, r.Status())
		}
	}
}

type broken struct{}

func (broken) Get([]byte) ([]byte, error) { return nil, errors.New("no disk") }

type damaged struct{}

func (damaged) Get([]byte) ([]byte, error) { return []byte{0xff}, nil }

func TestReaderFails(t *testing.T) {
	did := string(hufu.ID{1}.DID(world.Network))
	if _, err := didres.Resolve(broken{}, world.Network, hufu.AsOf{}, did, didres.Options{}); err == nil {
		t.Error("a reader's error is lost")
	}
	if _, err := didres.Resolve(damaged{}, world.Network, hufu.AsOf{}, did, didres.Options{}); err == nil {
		t.Error("a damaged record resolves")
	}
	for e, want := range map[didres.ErrorType]int{didres.InternalError: 500, didres.RepresentationNotSupported: 406, "unheard of": 500} {
		if r := didres.Failed(e, "detail"); r.Status() != want || r.ResolutionMetadata.Error.Detail != "detail" {
			t.Errorf("%s: %+v", e, r)
		}
	}
}

// Whoever resolves an identifier sees that its keys may change hands, and from when.
func TestRecoveryIsShown(t *testing.T) {
	w := newWorld(t)
	a, one, two := actor(t, w, keys.Ed25519), actor(t, w, keys.P256), actor(t, w, keys.SM2)
	salt := make([]byte, tx.SaltLen)
	guard := &tx.Guard{
		Threshold: 2, DelayBlocks: tx.MinRecoveryBlocks, DelaySeconds: tx.DefaultRecoverySeconds,
		Guardians: []hufu.Digest{tx.GuardianCommitment(salt, one.ID), tx.GuardianCommitment(salt, two.ID)},
	}
	if guard.Guardians[0].String() > guard.Guardians[1].String() {
		guard.Guardians[0], guard.Guardians[1] = guard.Guardians[1], guard.Guardians[0]
	}
	if err := w.Guard(a, guard); err != nil {
		t.Fatal(err)
	}
	shown := func() *didres.Recovery { return resolve(t, w, string(a.DID), nil).DocumentMetadata.Recovery }
	if r := shown(); r != nil {
		t.Errorf("before: %+v", r)
	}
	fresh, err := keys.Ed25519.Generate(w.Rand)
	if err != nil {
		t.Fatal(err)
	}
	plan := tx.RecoveryPlan{First: 2, Keys: [][]byte{fresh.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{{1}}, NextThreshold: 1}
	if err := w.Do(one, &tx.DIDRecover{Subject: a.ID, Salt: salt, Plan: plan}); err != nil {
		t.Fatal(err)
	}
	if r := shown(); r == nil || *r != (didres.Recovery{Approvals: 1, Threshold: 2}) {
		t.Errorf("after one approval: %+v", r)
	}
	if err := w.Do(two, &tx.DIDRecover{Subject: a.ID, Salt: salt, Plan: plan}); err != nil {
		t.Fatal(err)
	}
	r, v := resolve(t, w, string(a.DID), nil), w.Now()
	got := r.DocumentMetadata.Recovery
	if got == nil || got.Plan == nil || *got.Plan != plan.Digest(a.ID) || got.Approvals != 2 || got.Since != v.Format(time.RFC3339) ||
		got.NotBefore != v.Add(24*time.Hour).Format(time.RFC3339) || got.NotBeforeHeight != r.ResolutionMetadata.Ledger.Height+tx.MinRecoveryBlocks {
		t.Errorf("pending: %+v", got)
	}
	if r.DocumentMetadata.VersionID != "2" {
		t.Errorf("a recovery that is pending changes nothing yet: %+v", r.DocumentMetadata)
	}
	if err := w.Do(a, &tx.DIDVeto{}); err != nil {
		t.Fatal(err)
	}
	if r := shown(); r != nil {
		t.Errorf("after the veto: %+v", r)
	}
}
