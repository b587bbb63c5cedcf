package proof

import (
	"bytes"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
)

func TestVerifyCommit(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *chain, b *LightBlock)
		rule   hufu.Rule
	}{
		"all signed":                 {func(*chain, *LightBlock) {}, ""},
		"three of four":              {func(_ *chain, b *LightBlock) { b.absent(0) }, ""},
		"two of four":                {func(_ *chain, b *LightBlock) { b.absent(0); b.absent(3) }, RulePower},
		"a vote for nothing":         {func(_ *chain, b *LightBlock) { b.Commit.Votes[0].Flag = FlagNil; b.absent(1) }, RulePower},
		"another network":            {func(_ *chain, b *LightBlock) { b.Header.Network = "other" }, RuleNetwork},
		"changed app hash":           {func(_ *chain, b *LightBlock) { b.Header.AppHash = digest("lie") }, RuleHeader},
		"changed time":               {func(_ *chain, b *LightBlock) { b.Header.Time = b.Header.Time.Add(1) }, RuleHeader},
		"commit for another height":  {func(_ *chain, b *LightBlock) { b.Commit.Height++ }, RuleHeader},
		"commit for another block":   {func(_ *chain, b *LightBlock) { b.Commit.BlockID.Hash = digest("lie") }, RuleHeader},
		"changed parts":              {func(_ *chain, b *LightBlock) { b.Commit.BlockID.PartsHash = digest("lie") }, RuleCommit},
		"changed round":              {func(_ *chain, b *LightBlock) { b.Commit.Round++ }, RuleCommit},
		"negative round":             {func(_ *chain, b *LightBlock) { b.Commit.Round = -1 }, RuleCommit},
		"flipped bit of a signature": {func(_ *chain, b *LightBlock) { b.Commit.Votes[3].Signature[5] ^= 1 }, RuleCommit},
		"no signature":               {func(_ *chain, b *LightBlock) { b.Commit.Votes[2].Signature = nil }, RuleCommit},
		"changed vote time":          {func(_ *chain, b *LightBlock) { b.Commit.Votes[1].Time = time.Unix(9, 9) }, RuleCommit},
		"a vote time that cannot be": {func(_ *chain, b *LightBlock) { b.Commit.Votes[1].Time = time.Unix(1<<60, 0) }, RuleCommit},
		"votes swapped":              {func(_ *chain, b *LightBlock) { v := b.Commit.Votes; v[0], v[1] = v[1], v[0] }, RuleCommit},
		"one vote in two places":     {func(_ *chain, b *LightBlock) { b.Commit.Votes[1] = b.Commit.Votes[0] }, RuleCommit},
		"a vote too many":            {func(_ *chain, b *LightBlock) { b.Commit.Votes = append(b.Commit.Votes, b.Commit.Votes[0]) }, RuleCommit},
		"another block protocol":     {func(c *chain, b *LightBlock) { b.Header.BlockVersion = 10; c.sign(b) }, RuleHeader},
		"height 0":                   {func(c *chain, b *LightBlock) { b.Header.Height = 0; c.sign(b) }, RuleHeader},
		"short app hash":             {func(c *chain, b *LightBlock) { b.Header.AppHash = []byte{1}; c.sign(b) }, RuleHeader},
		"no validators' hash":        {func(c *chain, b *LightBlock) { b.Header.ValidatorsHash = nil; c.sign(b) }, RuleHeader},
		"no next validators' hash":   {func(c *chain, b *LightBlock) { b.Header.NextValidatorsHash = nil; c.sign(b) }, RuleHeader},
		"a time that cannot be":      {func(_ *chain, b *LightBlock) { b.Header.Time = time.Unix(1<<60, 0) }, RuleHeader},
		"no validators":              {func(_ *chain, b *LightBlock) { b.Validators, b.Commit.Votes = nil, nil }, RuleValidators},
		"a validator without power":  {func(_ *chain, b *LightBlock) { b.Validators[0].Power = 0 }, RuleValidators},
		"power beyond counting":      {func(_ *chain, b *LightBlock) { b.Validators[0].Power = 1 << 60 }, RuleValidators},
		"a validator of small order": {func(_ *chain, b *LightBlock) {
			b.Validators[0].Key = [32]byte{1}
			b.Commit.Votes[0].Address = b.Validators[0].Address()
		}, RuleValidators},
	} {
		t.Run(name, func(t *testing.T) {
			chain := newChain(t)
			set := chain.set(1, 2, 3, 4)
			b := chain.block(7, set, set)
			c.change(chain, b)
			wantRule(t, VerifyCommit(testNet, b.Validators, &b.SignedHeader), c.rule)
		})
	}
}

func TestVerifyLight(t *testing.T) {
	const fine = hufu.Rule("")
	for name, c := range map[string]struct {
		to     hufu.Height
		next   []int // validators that the trusted header announces
		vals   []int // of the new height
		change func(c *chain, b *LightBlock)
		after  time.Duration // from the new header's time to now
		rule   hufu.Rule
	}{
		"adjacent":                          {to: 4, rule: fine},
		"adjacent, announced change":        {to: 4, next: []int{7, 8, 9}, vals: []int{7, 8, 9}, rule: fine},
		"adjacent, unannounced change":      {to: 4, vals: []int{1, 2, 3}, rule: RuleValidators},
		"skipping":                          {to: 40, rule: fine},
		"skipping, half of them new":        {to: 40, vals: []int{1, 2, 7, 8}, rule: fine},
		"skipping, a quarter is left":       {to: 40, vals: []int{1, 7, 8, 9}, rule: RuleDistant},
		"skipping, all new":                 {to: 40, vals: []int{6, 7, 8, 9}, rule: RuleDistant},
		"backwards":                         {to: 2, rule: RuleHeight},
		"the same height":                   {to: 3, rule: RuleHeight},
		"trust expired":                     {to: 40, after: 2 * time.Hour, rule: RuleExpired},
		"from the future":                   {to: 40, after: -11 * time.Second, rule: RuleTime},
		"a little ahead":                    {to: 40, after: -9 * time.Second, rule: fine},
		"time not later":                    {to: 40, rule: RuleTime, after: time.Minute, change: func(c *chain, b *LightBlock) { b.Header.Time = c.start; c.sign(b) }},
		"validators not the header's":       {to: 40, rule: RuleValidators, change: func(c *chain, b *LightBlock) { b.Validators = c.set(1, 2, 3); c.sign(b) }},
		"adjacent, too few of the new":      {to: 4, rule: RulePower, change: func(_ *chain, b *LightBlock) { b.absent(0); b.absent(1) }},
		"skipping, too few of the new":      {to: 40, rule: RulePower, change: func(_ *chain, b *LightBlock) { b.absent(0); b.absent(1) }},
		"skipping, a trusted vote is false": {to: 40, rule: RuleCommit, change: func(_ *chain, b *LightBlock) { b.Commit.Votes[0].Signature[0] ^= 1 }},
		"no validators given":               {to: 40, rule: RuleValidators, change: func(_ *chain, b *LightBlock) { b.Validators = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			chain := newChain(t)
			founders := []int{1, 2, 3, 4}
			if c.next == nil {
				c.next = founders
			}
			if c.vals == nil {
				c.vals = founders
			}
			trusted := chain.block(3, chain.set(founders...), chain.set(c.next...)).Trust()
			b := chain.block(c.to, chain.set(c.vals...), chain.set(c.vals...))
			now := b.Header.Time.Add(c.after + time.Millisecond)
			if c.change != nil {
				c.change(chain, b)
			}
			rules := Rules{Network: testNet, Period: time.Hour, Drift: 10 * time.Second}
			wantRule(t, rules.Verify(&trusted, b, now), c.rule)
		})
	}
}

func TestVerifyFromGenesis(t *testing.T) {
	c := newChain(t)
	vals := c.set(1, 2, 3)
	rules := Rules{Network: testNet, Period: time.Hour, Drift: time.Second}
	for name, trusted := range map[string]Trusted{
		"before block 1":       TrustGenesis(c.start, vals),
		"at block 1's time":    TrustGenesis(c.start.Add(time.Second), vals),
		"in whatever order":    TrustGenesis(c.start, []Validator{vals[2], vals[0], vals[1]}),
		"other validators":     TrustGenesis(c.start, c.set(1, 2, 4)),
		"after block 1's time": TrustGenesis(c.start.Add(time.Minute), vals),
	} {
		t.Run(name, func(t *testing.T) {
			b := c.block(1, vals, vals)
			err := rules.Verify(&trusted, b, b.Header.Time.Add(time.Second))
			if name == "other validators" {
				wantRule(t, err, RuleValidators)
				return
			}
			wantRule(t, err, "")
		})
	}
}

func TestVerifyBackwards(t *testing.T) {
	c := newChain(t)
	vals := c.set(1)
	older, newer := c.block(4, vals, vals), c.block(5, vals, vals)
	hash := older.Header.Hash()
	newer.Header.LastBlockID.Hash = hash[:]
	wantRule(t, VerifyBackwards(testNet, &newer.Header, &older.Header), "")
	wantRule(t, VerifyBackwards("other", &newer.Header, &older.Header), RuleNetwork)
	older.Header.AppHash = digest("lie")
	wantRule(t, VerifyBackwards(testNet, &newer.Header, &older.Header), RuleHeader)
}

func TestLightBlockBytes(t *testing.T) {
	c := newChain(t)
	b := c.block(5, c.set(1, 2, 3), c.set(4))
	b.absent(1)
	raw, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseLightBlock(raw)
	if err != nil {
		t.Fatal(err)
	}
	wantRule(t, VerifyCommit(testNet, back.Validators, &back.SignedHeader), RulePower)
	again, err := back.Encode()
	if err != nil || !bytes.Equal(again, raw) {
		t.Fatal("reading and writing again gives other bytes")
	}
	for _, bad := range [][]byte{nil, {0xff}, raw[:len(raw)/2]} {
		if _, err := ParseLightBlock(bad); hufu.RuleOf(err) == "" {
			t.Errorf("%d bytes: %v", len(bad), err)
		}
	}
}

func FuzzParseLightBlock(f *testing.F) {
	c := newChain(nil)
	vals := c.set(1, 2)
	raw, err := c.block(5, vals, vals).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseLightBlock(data)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatal(err)
			}
			return
		}
		_ = VerifyCommit(testNet, b.Validators, &b.SignedHeader)
		trusted := TrustGenesis(time.Unix(0, 0), vals)
		_ = Rules{Network: testNet, Period: time.Hour}.Verify(&trusted, b, time.Unix(9, 0))
	})
}

func TestAnswerVerify(t *testing.T) {
	empty := &Answer{Items: []Proven{{Key: []byte("a")}, {Key: []byte("b"), Value: []byte{}}}}
	keys := [][]byte{[]byte("a"), []byte("b")}
	wantRule(t, empty.Verify(keys), "")
	wantRule(t, empty.Verify(keys[:1]), RuleAnswer)
	wantRule(t, empty.Verify([][]byte{keys[1], keys[0]}), RuleAnswer)
	empty.Items[0].Value = []byte("lie")
	wantRule(t, empty.Verify(keys), RuleNotProven)
}
