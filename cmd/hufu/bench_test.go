package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// runBenchCommand runs `hufu bench` at a tiny size. Figures are for people: only that they are there is tested.
func runBenchCommand(t *testing.T, args ...string) (r benchReport, text string) {
	t.Helper()
	for _, asJSON := range []bool{true, false} {
		var out, errOut bytes.Buffer
		all := append([]string{"bench"}, args...)
		if asJSON {
			all = append(all, "--json")
		}
		if status := run(all, strings.NewReader(""), &out, &errOut); status != exitOK {
			t.Fatalf("%v: status %d: %s", all, status, errOut.String())
		}
		if !asJSON {
			return r, out.String()
		}
		d := json.NewDecoder(&out)
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil || r.Cores < 1 || r.Peak <= 0 {
			t.Fatalf("%+v (%v)", r, err)
		}
	}
	return r, text
}

func TestBenchVerify(t *testing.T) {
	r, text := runBenchCommand(t, "verify", "--suite", "P-256", "--presentations", "40")
	if len(r.Verify) != 1 || r.Verify[0].Suite != "P-256" || r.Verify[0].Ratio <= 0 || r.Ledger != nil || !strings.Contains(text, "presentations/s") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchIssue(t *testing.T) {
	r, text := runBenchCommand(t, "issue", "--copies", "20", "--batch", "10")
	if len(r.Issue) != 3 || r.Issue[2].Copies != 20 || r.Issue[2].Ratio <= 0 || !strings.Contains(text, "copies/s") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchLedger(t *testing.T) {
	r, text := runBenchCommand(t, "ledger", "--transactions", "100", "--rounds", "1", "--submitters", "8", "--singles", "2", "--overload", "100ms", "--dir", t.TempDir())
	if r.Ledger == nil || r.Ledger.Validators != 1 || r.Ledger.Overload.Accepted == 0 || r.Ledger.TxPerS <= 0 || r.Ledger.CPU.Total <= 0 || !strings.Contains(text, "tx/s committed") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchStore(t *testing.T) {
	r, text := runBenchCommand(t, "store", "--records", "1000,2000", "--plain-up-to", "1000", "--batch", "100", "--commits", "1", "--dir", t.TempDir())
	if r.Store == nil || len(r.Store.Sizes) != 2 || r.Store.Sizes[1].Updates.PerS <= 0 || r.Store.ValueBytes != benchValue ||
		!strings.Contains(text, "beside plain") || !strings.Contains(text, "beside the first size") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchResolve(t *testing.T) {
	r, text := runBenchCommand(t, "resolve", "--identifiers", "10", "--resolutions", "100", "--dir", t.TempDir())
	if r.Resolve == nil || r.Resolve.Identifiers != 10 || r.Resolve.WarmPerS <= 0 || r.Resolve.ColdP99Millis <= 0 || !strings.Contains(text, "proof fetched") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchProtocol(t *testing.T) {
	r, text := runBenchCommand(t, "protocol", "--exchanges", "10", "--clients", "2", "--sessions", "5", "--open", "2", "--dir", t.TempDir())
	if r.Protocol == nil || len(r.Protocol.Exchanges) != 4 || r.Protocol.Memory.Sessions != 5 || r.Protocol.Open.Told != 2 || !strings.Contains(text, "their processor time") {
		t.Errorf("%+v\n%s", r, text)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, args := range []string{
		"nothing", "verify extra", "verify --suite RSA", "verify --presentations 1", "issue --copies 0", "issue --batch -1",
		"ledger --rounds 0", "ledger --validators 0", "ledger --validators 17", "ledger --overload 1h", "ledger --transactions 200000000", "store --records 10 --batch 100", "store --records 2000,1000 --batch 100 --commits 1", "store --records 1000,1050 --batch 100 --commits 1",
		"store --records many", "store --value-bytes 1",
		"resolve --identifiers 0", "resolve --resolutions 0", "protocol --exchanges 1", "protocol --clients 0", "protocol --clients 5000", "protocol --open 30000", "protocol --sessions -1",
	} {
		var out, errOut bytes.Buffer
		if status := run(append([]string{"bench"}, strings.Fields(args)...), strings.NewReader(""), &out, &errOut); status != exitUsage || errOut.Len() == 0 {
			t.Errorf("%s: status %d: %s", args, status, errOut.String())
		}
	}
}

func TestBenchRevoke(t *testing.T) {
	r, text := runBenchCommand(t, "revoke", "--validators", "1", "--singles", "2", "--entries", "12000", "--dir", t.TempDir())
	if r.Revoke == nil || r.Revoke.Validators != 1 || r.Revoke.Transactions != 2 || r.Revoke.RefusedP50Millis <= 0 || r.Revoke.Seconds <= 0 || !strings.Contains(text, "until a gate refuses") {
		t.Errorf("%+v\n%s", r, text)
	}
}
