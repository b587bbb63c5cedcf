package sdjwt_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Errorf("refused with %q (%.200v), want %q", got, err, rule)
	}
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func digest(encoded string) string {
	sum := sha256.Sum256([]byte(encoded))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// forgery is a credential that its issuer really signed, whatever it says.
type forgery struct {
	header      string // "": that of a credential
	payload     string
	disclosures []string // encoded
}

func (s *scene) token(t testing.TB, signer keys.Signer, header, payload string) string {
	t.Helper()
	input := b64(header) + "." + b64(payload)
	sig, err := signer.Sign(rand.Reader, []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (s *scene) forge(t testing.TB, f forgery) string {
	t.Helper()
	if f.header == "" {
		f.header = `{"alg":"ES256","typ":"dc+sd-jwt"}`
	}
	out := s.token(t, s.issuer, f.header, f.payload) + "~"
	for _, d := range f.disclosures {
		out += d + "~"
	}
	return out
}

// verifyForged verifies without key binding, with the true issuer's key for whatever iss says.
func (s *scene) verifyForged(t testing.TB, f forgery) (*sdjwt.Verified, error) {
	t.Helper()
	return sdjwt.Verify(s.forge(t, f), sdjwt.VerifyParams{Now: s.now, ResolveKey: s.anyIssuer})
}

func (s *scene) anyIssuer(string, string, string, int64) (keys.PublicKey, error) {
	return s.issuer.Public(), nil
}

// TestForm: what no issuer may sign, each refused by its own rule.
func TestForm(t *testing.T) {
	s := newScene(t, keys.P256)
	name := b64(`["salt","name","value"]`)
	element := b64(`["salt","value"]`)
	other := b64(`["other salt","name","value"]`)
	reserved := func(n string) string { return b64(`["salt","` + n + `",1]`) }
	with := func(members string, disclosures ...string) forgery {
		return forgery{payload: `{"vct":"x",` + members + `}`, disclosures: disclosures}
	}
	sd := func(disclosures ...string) string {
		q := make([]string, len(disclosures))
		for i, d := range disclosures {
			q[i] = `"` + digest(d) + `"`
		}
		return `"_sd":[` + strings.Join(q, ",") + `]`
	}
	wrongInside := b64(`["salt","o",{"_sd":"` + digest(name) + `"}]`)
	dupInside := b64(`["salt","o",{"a":1,"a":2}]`)
	nested := b64(`["salt","o",{` + sd(name) + `}]`)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	many := make([]string, sdjwt.MaxDigests+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"%d"`, i)
	}

	for what, c := range map[string]struct {
		forgery
		rule hufu.Rule
	}{
		"fine":                                  {with(sd(name), name), ""},
		"fine, nested":                          {with(sd(nested), nested, name), ""},
		"fine, empty _sd":                       {with(`"_sd":[]`), ""},
		"fine, decoys":                          {with(`"_sd":["decoy"],"l":[{"...":"another"}]`), ""},
		"not JSON":                              {forgery{payload: `{"vct":"x"`}, sdjwt.RuleMalformed},
		"not an object":                         {forgery{payload: `["vct"]`}, sdjwt.RuleMalformed},
		"something after the payload":           {forgery{payload: `{"vct":"x"}{}`}, sdjwt.RuleMalformed},
		"not UTF-8":                             {with("\"a\":\"\xff\""), sdjwt.RuleMalformed},
		"unpaired surrogate":                    {with(`"a":"\ud800"`), sdjwt.RuleMalformed},
		"surrogates the wrong way round":        {with(`"a":"\udc00\ud800"`), sdjwt.RuleMalformed},
		"unpaired surrogate, then a letter":     {with(`"a":"\ud800a"`), sdjwt.RuleMalformed},
		"unpaired surrogate, then an escape":    {with(`"a":"\ud800\n"`), sdjwt.RuleMalformed},
		"digest twice in arrays":                {with(`"l":[{"...":"a"},[{"...":"a"}]]`), sdjwt.RuleDigestTwice},
		"_sd of the wrong type in an array":     {with(`"l":[[{"_sd":1}]]`), sdjwt.RuleDigests},
		"_sd of the wrong type in an element":   {with(`"l":[{"...":"`+digest(b64(`["s",{"_sd":1}]`))+`"}]`, b64(`["s",{"_sd":1}]`)), sdjwt.RuleDigests},
		"string without end":                    {forgery{payload: `{"vct":"x`}, sdjwt.RuleMalformed},
		"string without end, escapes":           {forgery{payload: `{"vct":"x\n`}, sdjwt.RuleMalformed},
		"string without end, line break":        {forgery{payload: "{\n\"vct\":\"x"}, sdjwt.RuleMalformed},
		"fine, surrogate pair":                  {with(`"a":"\ud83d\udc2f"`), ""},
		"bad escape":                            {with(`"a":"\x"`), sdjwt.RuleMalformed},
		"control character in the last bytes":   {with("\"a\":\"aaaaaa\x1f\""), sdjwt.RuleMalformed},
		"control character beside UTF-8":        {with("\"符符符\":\"\x01符符符符符符\""), sdjwt.RuleMalformed},
		"control character":                     {with("\"a\":\"\n\""), sdjwt.RuleMalformed},
		"leading zero":                          {with(`"a":01`), sdjwt.RuleMalformed},
		"long number":                           {with(`"a":1` + strings.Repeat("0", 64)), sdjwt.RuleMalformed},
		"duplicate name":                        {with(`"a":1,"a":1`), sdjwt.RuleDuplicateName},
		"duplicate name, escaped":               {with(`"a":1,"\u0061":1`), sdjwt.RuleDuplicateName},
		"duplicate name among many":             {with(manyMembers(40) + `,"m3":1`), sdjwt.RuleDuplicateName},
		"fine, many members":                    {with(manyMembers(40)), ""},
		"duplicate name in a disclosure":        {with(sd(dupInside), dupInside), sdjwt.RuleDuplicateName},
		"duplicate vct":                         {forgery{payload: `{"vct":"x","vct":"y"}`}, sdjwt.RuleDuplicateName},
		"duplicate name in the header":          {forgery{header: `{"alg":"ES256","alg":"none","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleDuplicateName},
		"deep":                                  {with(`"a":` + deep(32)), sdjwt.RuleTooDeep},
		"10,000 deep":                           {with(`"a":` + deep(10_000)), sdjwt.RuleTooDeep},
		"10,000 deep in the header":             {forgery{header: `{"alg":"ES256","a":` + deep(10_000) + `}`, payload: `{"vct":"x"}`}, sdjwt.RuleTooDeep},
		"10,000 deep in a disclosure":           {with(`"a":1`, b64(`["salt",`+deep(10_000)+`]`)), sdjwt.RuleTooDeep},
		"10 MB string":                          {with(`"a":"` + strings.Repeat("a", 10<<20) + `"`), sdjwt.RuleTooLarge},
		"many disclosures":                      {with(`"a":1`, make([]string, sdjwt.MaxDisclosures+1)...), sdjwt.RuleTooLarge},
		"many digests":                          {with(`"_sd":[` + strings.Join(many, ",") + `]`), sdjwt.RuleTooLarge},
		"_sd a string":                          {with(`"_sd":"` + digest(name) + `"`), sdjwt.RuleDigests},
		"_sd an object":                         {with(`"_sd":{}`), sdjwt.RuleDigests},
		"_sd of numbers":                        {with(`"_sd":[1]`), sdjwt.RuleDigests},
		"_sd of the wrong type in disclosure":   {with(sd(wrongInside), wrongInside), sdjwt.RuleDigests},
		"... a number":                          {with(`"l":[{"...":1}]`), sdjwt.RuleDigests},
		"... with company":                      {with(`"l":[{"...":"x","a":1}]`), sdjwt.RuleDigests},
		"... behind company":                    {with(`"l":[{"a":1,"...":"x"}]`), sdjwt.RuleDigests},
		"... outside an array":                  {with(`"o":{"...":"x"}`), sdjwt.RuleDigests},
		"digest twice":                          {with(`"_sd":["decoy","decoy"]`), sdjwt.RuleDigestTwice},
		"digest twice, disclosed":               {with(sd(name, name), name), sdjwt.RuleDigestTwice},
		"digest twice, in two places":           {with(sd(name)+`,"o":{`+sd(name)+`}`, name), sdjwt.RuleDigestTwice},
		"digest twice, in array and object":     {with(sd(element) + `,"l":[{"...":"` + digest(element) + `"}]`), sdjwt.RuleDigestTwice},
		"digest twice, in payload and below":    {with(sd(nested, name), nested, name), sdjwt.RuleDigestTwice},
		"disclosure twice":                      {with(sd(name), name, name), sdjwt.RuleDigestTwice},
		"digest twice among many":               {with(`"_sd":["1",` + strings.Join(many[:200], ",") + `]`), sdjwt.RuleDigestTwice},
		"disclosure without digest":             {with(sd(name), name, other), sdjwt.RuleUnreferenced},
		"disclosure without its parent":         {with(sd(nested), name), sdjwt.RuleUnreferenced},
		"element in an object":                  {with(sd(element), element), sdjwt.RuleDisclosure},
		"member in an array":                    {with(`"l":[{"...":"`+digest(name)+`"}]`, name), sdjwt.RuleDisclosure},
		"disclosure of one":                     {with(sd(b64(`["salt"]`)), b64(`["salt"]`)), sdjwt.RuleDisclosure},
		"disclosure of four":                    {with(`"a":1`, b64(`["salt","a",1,2]`)), sdjwt.RuleDisclosure},
		"disclosure an object of two":           {with(`"a":1`, b64(`{"a":"salt","b":1}`)), sdjwt.RuleDisclosure},
		"disclosure a string":                   {with(`"a":1`, b64(`"salt"`)), sdjwt.RuleDisclosure},
		"disclosure an object":                  {with(`"a":1`, b64(`{"salt":1}`)), sdjwt.RuleDisclosure},
		"salt a number":                         {with(`"a":1`, b64(`[1,"a",1]`)), sdjwt.RuleDisclosure},
		"name a number":                         {with(`"a":1`, b64(`["salt",1,1]`)), sdjwt.RuleDisclosure},
		"empty disclosure":                      {with(`"a":1`, ""), sdjwt.RuleMalformed},
		"disclosure in padded base64":           {with(`"a":1`, name+"="), sdjwt.RuleMalformed},
		"disclosure with loose bits":            {with(`"a":1`, b64(`["salt","aa",1]`)[:18]+"B"), sdjwt.RuleMalformed},
		"claim named _sd":                       {with(sd(reserved("_sd")), reserved("_sd")), sdjwt.RuleClaimName},
		"claim named ...":                       {with(sd(reserved("...")), reserved("...")), sdjwt.RuleClaimName},
		"claim named _sd_alg":                   {with(sd(reserved("_sd_alg")), reserved("_sd_alg")), sdjwt.RuleClaimName},
		"claim there in the clear":              {with(`"name":1,`+sd(name), name), sdjwt.RuleCollision},
		"claim there in the clear, behind":      {with(sd(name)+`,"name":1`, name), sdjwt.RuleCollision},
		"claim disclosed twice":                 {with(sd(name, other), name, other), sdjwt.RuleCollision},
		"_sd_alg sha-384":                       {with(`"_sd_alg":"sha-384"`), sdjwt.RuleHashAlg},
		"_sd_alg a number":                      {with(`"_sd_alg":256`), sdjwt.RuleHashAlg},
		"_sd_alg below the top":                 {with(`"o":{"_sd_alg":"sha-256"}`), sdjwt.RuleHashAlg},
		"iss disclosed":                         {with(sd(reserved("iss")), reserved("iss")), sdjwt.RuleRegistered},
		"exp disclosed":                         {with(sd(reserved("exp")), reserved("exp")), sdjwt.RuleRegistered},
		"status disclosed":                      {with(sd(reserved("status")), reserved("status")), sdjwt.RuleRegistered},
		"digests in cnf":                        {with(`"cnf":{` + sd(name) + `}`), sdjwt.RuleRegistered},
		"digests in status":                     {with(`"status":{"status_list":{` + sd(name) + `}}`), sdjwt.RuleRegistered},
		"digests in aka_vcts":                   {with(`"aka_vcts":[{"...":"x"}]`), sdjwt.RuleRegistered},
		"fine, iat disclosed":                   {with(sd(reserved("iat")), reserved("iat")), ""},
		"fine, exp disclosed in an object":      {with(`"o":{`+sd(reserved("exp"))+`}`, reserved("exp")), ""},
		"no vct":                                {forgery{payload: `{}`}, sdjwt.RuleMalformed},
		"vct a number":                          {forgery{payload: `{"vct":1}`}, sdjwt.RuleMalformed},
		"iss a number":                          {with(`"iss":1`), sdjwt.RuleMalformed},
		"iat a string":                          {with(`"iat":"1"`), sdjwt.RuleMalformed},
		"iat a fraction":                        {with(`"iat":1.5`), sdjwt.RuleMalformed},
		"exp negative":                          {with(`"exp":-1`), sdjwt.RuleMalformed},
		"exp past the year 9999":                {with(`"exp":253402300800`), sdjwt.RuleMalformed},
		"nbf null":                              {with(`"nbf":null`), sdjwt.RuleMalformed},
		"kid a number":                          {forgery{header: `{"alg":"ES256","typ":"dc+sd-jwt","kid":42}`, payload: `{"vct":"x"}`}, sdjwt.RuleMalformed},
		"cnf a string":                          {with(`"cnf":"x"`), sdjwt.RuleHolderKey},
		"status of an unknown mechanism":        {with(`"status":{"bitstring":{}}`), sdjwt.RuleStatusForm},
		"status without idx":                    {with(`"status":{"status_list":{"uri":"x"}}`), sdjwt.RuleStatusForm},
		"status with negative idx":              {with(`"status":{"status_list":{"idx":-1,"uri":"x"}}`), sdjwt.RuleStatusForm},
		"status without uri":                    {with(`"status":{"status_list":{"idx":1,"uri":""}}`), sdjwt.RuleStatusForm},
		"status a string":                       {with(`"status":"x"`), sdjwt.RuleStatusForm},
		"crit":                                  {forgery{header: `{"alg":"ES256","typ":"dc+sd-jwt","crit":["exp"]}`, payload: `{"vct":"x"}`}, sdjwt.RuleHeader},
		"b64":                                   {forgery{header: `{"alg":"ES256","typ":"dc+sd-jwt","b64":true}`, payload: `{"vct":"x"}`}, sdjwt.RuleHeader},
		"typ of another token":                  {forgery{header: `{"alg":"ES256","typ":"kb+jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleMediaType},
		"typ of drafts long gone":               {forgery{header: `{"alg":"ES256","typ":"vc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleMediaType},
		"no typ":                                {forgery{header: `{"alg":"ES256"}`, payload: `{"vct":"x"}`}, sdjwt.RuleMediaType},
		"alg none":                              {forgery{header: `{"alg":"none","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"alg nOnE":                              {forgery{header: `{"alg":"nOnE","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"alg absent":                            {forgery{header: `{"typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"alg HS256":                             {forgery{header: `{"alg":"HS256","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"alg RS256":                             {forgery{header: `{"alg":"RS256","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"alg of another suite than the key's":   {forgery{header: `{"alg":"EdDSA","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}, sdjwt.RuleAlg},
		"fine, keys in the header are not used": {forgery{header: `{"alg":"ES256","typ":"dc+sd-jwt","jwk":` + vectorHolderJWK + `}`, payload: `{"vct":"x"}`}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := s.verifyForged(t, c.forgery)
			wantRule(t, err, c.rule)
			if c.rule == "" && err != nil {
				t.Error(err)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	return b.String()[1:]
}

// TestHolderKeyForms: a credential with a holder key that is no use can be read, but not presented.
func TestHolderKeyForms(t *testing.T) {
	s := newScene(t, keys.P256)
	for what, cnf := range map[string]string{
		"another method":    `{"kid":"x"}`,
		"jwk a string":      `{"jwk":"x"}`,
		"jwk RSA":           `{"jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"}}`,
		"jwk symmetric":     `{"jwk":{"kty":"oct","k":"AQAB"}}`,
		"jwk private":       `{"jwk":` + strings.Replace(vectorHolderJWK, "{", `{"d":"AQAB",`, 1) + `}`,
		"jwk off the curve": `{"jwk":` + strings.Replace(vectorHolderJWK, "TCAER", "TCAES", 1) + `}`,
	} {
		raw := s.forge(t, forgery{payload: `{"vct":"x","cnf":` + cnf + `}`})
		v, err := sdjwt.Verify(raw, sdjwt.VerifyParams{Now: s.now, ResolveKey: s.anyIssuer})
		if err != nil || !v.HolderKey.IsZero() {
			t.Errorf("%s: %v, %v", what, v, err)
		}
		kb := fmt.Sprintf(`{"aud":"%s","nonce":"%s","iat":%d,"sd_hash":"%s"}`, audience, nonce, s.now.Unix(), digest(raw))
		_, err = sdjwt.Verify(raw+s.token(t, s.holder, `{"alg":"ES256","typ":"kb+jwt"}`, kb), s.params())
		wantRule(t, err, sdjwt.RuleHolderKey)
	}
}

// TestDepthOfNestedDisclosures: each disclosure alone is shallow, together they are not.
func TestDepthOfNestedDisclosures(t *testing.T) {
	s := newScene(t, keys.P256)
	var all []string
	below := `1`
	for i := range 40 {
		d := b64(fmt.Sprintf(`["salt%d","o",%s]`, i, below))
		all = append(all, d)
		below = `{"_sd":["` + digest(d) + `"]}`
	}
	payload := `{"vct":"x",` + below[1:]
	_, err := s.verifyForged(t, forgery{payload: payload, disclosures: all})
	wantRule(t, err, sdjwt.RuleTooDeep)
}

// TestSerialization: what is no SD-JWT at all.
func TestSerialization(t *testing.T) {
	s := newScene(t, keys.P256)
	good := s.forge(t, forgery{payload: `{"vct":"x"}`})
	for what, c := range map[string]struct {
		raw  string
		rule hufu.Rule
	}{
		"empty":                  {"", sdjwt.RuleMalformed},
		"no tilde":               {strings.TrimSuffix(good, "~"), sdjwt.RuleMalformed},
		"only tildes":            {"~~~", sdjwt.RuleMalformed},
		"line break":             {good[:10] + "\n" + good[10:], sdjwt.RuleMalformed},
		"carriage return":        {good[:10] + "\r" + good[10:], sdjwt.RuleMalformed},
		"space":                  {" " + good, sdjwt.RuleMalformed},
		"two parts":              {good[strings.IndexByte(good, '.')+1:], sdjwt.RuleMalformed},
		"four parts":             {"e30." + good, sdjwt.RuleMalformed},
		"no signature":           {good[:strings.LastIndexByte(good, '.')+1] + "~", sdjwt.RuleMalformed},
		"a key binding with one": {good + "a.b.c", sdjwt.RuleMalformed},
		"too large":              {good + strings.Repeat("a", sdjwt.MaxSize), sdjwt.RuleTooLarge},
	} {
		_, err := sdjwt.Verify(c.raw, sdjwt.VerifyParams{Now: s.now, ResolveKey: s.anyIssuer})
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v, want %s", what, err, c.rule)
		}
	}
}

// TestNoObject: a plain SD-JWT, of which no claim is required, is an object all the same.
func TestNoObject(t *testing.T) {
	s := newScene(t, keys.P256)
	const header = `{"alg":"ES256","typ":"example+sd-jwt"}`
	for payload, rule := range map[string]hufu.Rule{`{}`: "", `[]`: sdjwt.RuleMalformed, `[{"...":"x"}]`: sdjwt.RuleMalformed, `"x"`: sdjwt.RuleMalformed, `1`: sdjwt.RuleMalformed} {
		raw := s.forge(t, forgery{header: header, payload: payload})
		_, err := sdjwt.Verify(raw, sdjwt.VerifyParams{Now: s.now, MediaType: "example+sd-jwt", ResolveKey: s.anyIssuer})
		wantRule(t, err, rule)
	}
}

// TestAlgBeforeKey: an algorithm that no suite has is refused before anybody looks for a key.
func TestAlgBeforeKey(t *testing.T) {
	s := newScene(t, keys.P256)
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES384", "ES256K", "es256", "none", ""} {
		_, err := sdjwt.Parse(s.forge(t, forgery{header: `{"alg":"` + alg + `","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`}))
		wantRule(t, err, sdjwt.RuleAlg)
	}
	for _, alg := range []string{"ES256", "EdDSA", "Ed25519", "SM2SM3"} {
		if _, err := sdjwt.Parse(s.forge(t, forgery{header: `{"alg":"` + alg + `","typ":"dc+sd-jwt"}`, payload: `{"vct":"x"}`})); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

// TestTimes checks the credential's own times at their edges, with and without skew.
func TestTimes(t *testing.T) {
	s := newScene(t, keys.P256)
	now := s.now.Unix()
	for _, c := range []struct {
		claim string
		skew  time.Duration
		rule  hufu.Rule
	}{
		{fmt.Sprintf(`"exp":%d`, now+1), 0, ""},
		{fmt.Sprintf(`"exp":%d`, now), 0, sdjwt.RuleExpired},
		{fmt.Sprintf(`"exp":%d`, now-9), 10 * time.Second, ""},
		{fmt.Sprintf(`"exp":%d`, now-10), 10 * time.Second, sdjwt.RuleExpired},
		{fmt.Sprintf(`"nbf":%d`, now), 0, ""},
		{fmt.Sprintf(`"nbf":%d`, now+1), 0, sdjwt.RuleNotYetValid},
		{fmt.Sprintf(`"nbf":%d`, now+10), 10 * time.Second, ""},
		{fmt.Sprintf(`"nbf":%d`, now+11), 10 * time.Second, sdjwt.RuleNotYetValid},
		{fmt.Sprintf(`"iat":%d`, now), 0, ""},
		{fmt.Sprintf(`"iat":%d`, now+1), 0, sdjwt.RuleFuture},
		{fmt.Sprintf(`"iat":%d`, now+10), 10 * time.Second, ""},
		{fmt.Sprintf(`"iat":%d`, now+11), 10 * time.Second, sdjwt.RuleFuture},
	} {
		raw := s.forge(t, forgery{payload: `{"vct":"x",` + c.claim + `}`})
		_, err := sdjwt.Verify(raw, sdjwt.VerifyParams{Now: s.now, ClockSkew: c.skew, ResolveKey: s.anyIssuer})
		if hufu.RuleOf(err) != c.rule || c.rule == "" && err != nil {
			t.Errorf("%s with skew %s: %v, want %q", c.claim, c.skew, err, c.rule)
		}
	}
}

// TestIssuerKey: what the resolver says is what counts.
func TestIssuerKey(t *testing.T) {
	s := newScene(t, keys.P256)
	p := s.present(t)
	params := s.params()
	params.ResolveKey = func(iss, kid, alg string, iat int64) (keys.PublicKey, error) {
		if iss != issuerDID || kid != issuerKeyID || alg != "ES256" || iat != s.now.Add(-time.Hour).Unix() {
			t.Errorf("asked for %s %s %s %d", iss, kid, alg, iat)
		}
		return keys.PublicKey{}, hufu.Refuse("did.key-fallen", "fallen")
	}
	_, err := sdjwt.Verify(p, params)
	wantRule(t, err, "did.key-fallen")

	down := errors.New("ledger unreachable")
	params.ResolveKey = func(string, string, string, int64) (keys.PublicKey, error) { return keys.PublicKey{}, down }
	if _, err = sdjwt.Verify(p, params); !errors.Is(err, down) || hufu.RuleOf(err) != "" {
		t.Errorf("a failure to look became %v", err)
	}
	params.ResolveKey = func(string, string, string, int64) (keys.PublicKey, error) { return keys.PublicKey{}, nil }
	_, err = sdjwt.Verify(p, params)
	wantRule(t, err, sdjwt.RuleIssuerKey)

	for _, suite := range keys.Suites() {
		k, err := suite.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		params.ResolveKey = func(string, string, string, int64) (keys.PublicKey, error) { return k.Public(), nil }
		_, err = sdjwt.Verify(p, params)
		if suite == keys.P256 {
			wantRule(t, err, sdjwt.RuleSignature)
		} else {
			wantRule(t, err, sdjwt.RuleAlg)
		}
	}
}

// TestCallersMistakes are errors, but no refusals.
func TestCallersMistakes(t *testing.T) {
	s := newScene(t, keys.P256)
	p := s.present(t)
	for what, change := range map[string]func(*sdjwt.VerifyParams){
		"no resolver": func(p *sdjwt.VerifyParams) { p.ResolveKey = nil },
		"no time":     func(p *sdjwt.VerifyParams) { p.Now = time.Time{} },
		"no audience": func(p *sdjwt.VerifyParams) { p.Audience = "" },
		"no nonce":    func(p *sdjwt.VerifyParams) { p.Nonce = "" },
	} {
		params := s.params()
		change(&params)
		if _, err := sdjwt.Verify(p, params); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
