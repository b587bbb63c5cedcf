package trust_test

import (
	"slices"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

func TestPublish(t *testing.T) {
	w := newWorld(t)
	w.next(4)
	second := residentType(2)
	second.Display = append(second.Display, tx.TypeDisplay{Lang: "zh", Name: "居民"})
	second.Claims[0].Display = append(second.Claims[0].Display, tx.ClaimDisplay{Lang: "zh", Label: "出生"})
	second.Claims = slices.Insert(second.Claims, 0, tx.Claim{Path: []string{"address"}, Type: tx.ClaimObject, Selective: tx.SelectiveAlways})
	w.must(w.publish(north, second))
	rec, err := trust.GetType(w.o, resident)
	if err != nil {
		t.Fatal(err)
	}
	if rec.Version != 2 || rec.Owner != north || rec.Height != 5 || rec.Time != timeOf(5) || rec.Tx != w.ctx.TxID || len(rec.Claims) != 3 || len(rec.Display) != 2 {
		t.Errorf("%+v", rec)
	}
	if rec, err := trust.GetType(w.o, "x"); rec != nil || err != nil {
		t.Errorf("%+v %v", rec, err)
	}
}

func TestPublishRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		by     hufu.ID
		change func(*tx.TrustType)
		rule   hufu.Rule
	}{
		"as it should be":     {north, func(*tx.TrustType) {}, ""},
		"by another member":   {south, func(*tx.TrustType) {}, trust.RuleTypeOwner},
		"by no member":        {agency, func(*tx.TrustType) {}, trust.RuleNotMember},
		"the same version":    {north, func(b *tx.TrustType) { b.Version = 1 }, trust.RuleTypeVersion},
		"a version skipped":   {north, func(b *tx.TrustType) { b.Version = 3 }, trust.RuleTypeVersion},
		"a new one's second":  {north, func(b *tx.TrustType) { b.VCT = "new" }, trust.RuleTypeVersion},
		"another assurance":   {north, func(b *tx.TrustType) { b.Assurance = tx.AssuranceLow }, trust.RuleTypeChanged},
		"a claim dropped":     {north, func(b *tx.TrustType) { b.Claims = b.Claims[1:] }, trust.RuleTypeChanged},
		"a claim renamed":     {north, func(b *tx.TrustType) { b.Claims[0].Path = []string{"born"} }, trust.RuleTypeChanged},
		"a claim retyped":     {north, func(b *tx.TrustType) { b.Claims[0].Type = tx.ClaimString }, trust.RuleTypeChanged},
		"disclosure changed":  {north, func(b *tx.TrustType) { b.Claims[0].Selective = tx.SelectiveNever }, trust.RuleTypeChanged},
		"a label changed":     {north, func(b *tx.TrustType) { b.Claims[0].Display[0].Label = "x" }, trust.RuleTypeChanged},
		"a label dropped":     {north, func(b *tx.TrustType) { b.Claims[0].Display = nil }, trust.RuleTypeChanged},
		"a display changed":   {north, func(b *tx.TrustType) { b.Display[0].Name = "x" }, trust.RuleTypeChanged},
		"a display dropped":   {north, func(b *tx.TrustType) { b.Display[0].Lang = "fr" }, trust.RuleTypeChanged},
		"a description added": {north, func(b *tx.TrustType) { b.Display[0].Description = "x" }, trust.RuleTypeChanged},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := residentType(2)
			c.change(b)
			w.want(w.publish(c.by, b), c.rule)
		})
	}
}

func TestContractTypes(t *testing.T) {
	w := newWorld(t)
	types := trust.ContractTypes(w.o)
	got, err := types(resident)
	if err != nil || got.VCT != resident || got.Assurance != contract.AssuranceHigh || len(got.Claims) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	for i, want := range []contract.Claim{
		{Path: []string{"birth_date"}, Type: contract.TypeDate}, {Path: []string{"languages"}, Type: contract.TypeStrings},
	} {
		if !slices.Equal(got.Claims[i].Path, want.Path) || got.Claims[i].Type != want.Type {
			t.Errorf("%+v, want %+v", got.Claims[i], want)
		}
	}
	if got, err := types("x"); got != nil || err != nil {
		t.Errorf("%+v %v", got, err)
	}
	// Both packages write claim types alike.
	for a, b := range map[string]string{
		tx.ClaimString: contract.TypeString, tx.ClaimBool: contract.TypeBool, tx.ClaimInt: contract.TypeInt,
		tx.ClaimDate: contract.TypeDate, tx.ClaimObject: contract.TypeObject, tx.ClaimStrings: contract.TypeStrings,
		tx.AssuranceLow: contract.AssuranceLow, tx.AssuranceSubstantial: contract.AssuranceSubstantial, tx.AssuranceHigh: contract.AssuranceHigh,
	} {
		if a != b {
			t.Errorf("%q and %q", a, b)
		}
	}
}
