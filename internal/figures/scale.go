package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/internal/bench"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
)

// constants are what was measured, or what the code fixes.
type constants struct {
	txBytes, txMicros           float64 // of a creation of an identifier, all that a validator does
	stateRecords, stateBytes    float64 // that it adds
	updateMicros                float64 // of one record in a commit
	diskPerByte, pagesPerRecord float64 // disk of a byte of key and value, and beside it of a record
	memoryPerRecord             float64
	memoryFixed                 float64
	proofBytes, proofMicros     float64
	verifyPerS                  float64 // presentations on one core, slowest suite
	records                     int     // size of the store that the figures are of
	changeBytes                 float64 // of one change of status in a transaction of many
}

const (
	statusBits  = 2 // valid, revoked, suspended
	chunkKey    = 13 + 32 + 8 + 4
	chunkStatus = status.ChunkBytes * 8 / statusBits // entries of a chunk
	year        = 365 * 86400.0
)

func decodeReport[T any](f *figures, name, member string) (v T, command string, err error) {
	m := f.find(name)
	if m == nil {
		return v, "", fmt.Errorf("%s was not measured", name)
	}
	var report map[string]json.RawMessage
	if err := json.Unmarshal(m.Report, &report); err != nil {
		return v, "", fmt.Errorf("%s: %w", name, err)
	}
	if err := json.Unmarshal(report[member], &v); err != nil {
		return v, "", fmt.Errorf("%s: %s: %w", name, member, err)
	}
	return v, m.Command, nil
}

// measured takes the constants from the figures, and the commands that gave them.
func measured(f *figures) (c constants, from []string, err error) {
	ledger, a, err1 := decodeReport[bench.LedgerFigures](f, "ledger", "ledger")
	store, b, err2 := decodeReport[bench.StoreFigures](f, "store", "store")
	verify, v, err3 := decodeReport[[]bench.VerifyFigures](f, "verify", "verify")
	if err := errors.Join(err1, err2, err3); err != nil {
		return c, nil, err
	}
	if len(store.Sizes) == 0 || len(verify) == 0 {
		return c, nil, errors.New("the reports on store and verify are empty")
	}
	first, last := store.Sizes[0], store.Sizes[len(store.Sizes)-1]
	stored := float64(last.Stored)
	c = constants{
		txBytes: float64(ledger.TxBytes), txMicros: ledger.CPU.Total,
		stateRecords: ledger.State.Records, stateBytes: ledger.State.Bytes,
		updateMicros:    last.Updates.Micros,
		diskPerByte:     float64(last.DiskBytes-last.PagesBytes) / stored / float64(store.KeyBytes+store.ValueBytes),
		pagesPerRecord:  float64(last.PagesBytes) / stored,
		memoryPerRecord: float64(last.OpenedBytes) / stored,
		proofBytes:      float64(last.ProofBytes), proofMicros: last.ProveCPUMicros,
		verifyPerS: slices.MinFunc(verify, func(a, b bench.VerifyFigures) int { return int(a.VerifyPerS - b.VerifyPerS) }).VerifyPerS,
		records:    last.Records,
	}
	if len(store.Sizes) > 1 {
		c.memoryPerRecord = float64(last.OpenedBytes-first.OpenedBytes) / float64(last.Stored-first.Stored)
	}
	c.memoryFixed = float64(last.ResidentBytes) - c.memoryPerRecord*stored
	c.changeBytes, err = bytesOfChange()
	return c, []string{a, b, v}, err
}

// bytesOfChange is what one revocation takes in a transaction of ten thousand, of a list of the largest size.
func bytesOfChange() (float64, error) {
	const n = 10_000
	random := rand.New(rand.NewPCG(1, 1))
	indexes := make([]uint64, n)
	for i := range indexes {
		indexes[i] = random.Uint64N(tx.MaxStatusSize)
	}
	slices.Sort(indexes)
	raw, err := encoding.Marshal(tx.StatusSet{Changes: []tx.StatusChange{{Status: hufu.StatusRevoked, Reason: tx.ReasonKeyCompromise, Indexes: indexes}}})
	return float64(len(raw)) / n, err
}

// assumptions say how a network is used. They are opinions: change them here and see.
type assumptions struct {
	people       float64
	identifiers  float64 // share of people who make one on the ledger
	rotations    float64 // of an identifier in a year
	credentials  float64 // with a status that a person holds
	copies       float64 // single-use copies of each
	batches      float64 // of them in a year
	changed      float64 // share of credentials suspended or revoked in a year
	verified     float64 // presentations of a person in a day
	issuers      float64
	gates        float64
	anchors      float64 // of each log in a year
	versions     float64 // of a gate's contract in a year
	contract     float64 // bytes of one
	members      float64
	gossip       float64 // times that a validator sends and receives a transaction's bytes
	peak         float64 // busiest second beside the average
	headroom     float64 // of what is bought beside what is used
	years        float64 // of history and state that a machine holds
	organisation float64 // records of an issuer or gate beside contracts: identifier, accreditation, lists
}

func network(people float64) assumptions {
	return assumptions{
		people: people, identifiers: 0.1, rotations: 0.5,
		credentials: 3, copies: 10, batches: 2, changed: 0.02, verified: 5,
		issuers: max(1, people/100_000), gates: max(1, people/2_000), anchors: 24 * 365, versions: 2, contract: 4096,
		members: min(31, max(4, 4+people/30_000_000)), gossip: 4, peak: 10, headroom: 2, years: 5, organisation: 6,
	}
}

// needs are what follows.
type needs struct {
	assumptions
	records, stateBytes  float64 // after the years
	txPerS, txPeak       float64
	changesPerS          float64
	historyBytes         float64 // in the years
	disk, memory         float64 // of one member, with headroom but for memory's fixed part
	cores, bandwidth     float64 // of one member: at the peak, bits per second
	verifications        float64 // per second
	gateCores, readCores float64
	readBandwidth        float64
}

func (c *constants) needs(a assumptions) needs {
	n := needs{assumptions: a}
	persons := a.people * a.identifiers
	organisations := a.issuers + a.gates
	// Entries of a year's copies stay in the state; a chunk exists once one of its entries was changed.
	entries := a.people * a.credentials * a.copies * a.batches * a.years
	changes := a.people * a.credentials * a.changed * a.copies
	chunks := min(entries/chunkStatus, changes*a.years)
	contracts := a.gates * a.versions * a.years
	recordOfIdentifier := c.stateBytes / max(c.stateRecords, 1)
	n.records = persons + organisations*a.organisation + chunks + contracts
	n.stateBytes = (persons+organisations*a.organisation)*recordOfIdentifier + chunks*(chunkKey+status.ChunkBytes) + contracts*a.contract

	logs := organisations
	single := persons*(1/a.years+a.rotations) + logs*a.anchors + contracts/a.years
	n.changesPerS = changes / year
	n.txPerS = single / year
	n.txPeak = n.txPerS * a.peak
	n.historyBytes = a.years * (single*c.txBytes + changes*c.changeBytes + contracts/a.years*a.contract)
	n.disk = a.headroom * (n.historyBytes + n.stateBytes*c.diskPerByte + n.records*c.pagesPerRecord)
	n.memory = c.memoryFixed + n.records*c.memoryPerRecord + n.records*c.pagesPerRecord/4 // the pages in use stay in the system's cache
	n.cores = a.peak * a.headroom * (n.txPerS*c.txMicros + n.changesPerS*c.updateMicros) / 1e6
	n.bandwidth = 8 * a.gossip * a.peak * (n.txPerS*c.txBytes + n.changesPerS*c.changeBytes)

	n.verifications = a.people * a.verified / 86400
	n.gateCores = n.verifications * a.peak / c.verifyPerS
	n.readCores = n.verifications * a.peak * c.proofMicros / 1e6
	n.readBandwidth = 8 * n.verifications * a.peak * c.proofBytes
	return n
}

func renderScale(f *figures) (string, error) {
	c, from, err := measured(f)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	table := func(head []string, rows [][]string) {
		p("| %s |\n|---|%s\n", strings.Join(head, " | "), strings.Repeat("---:|", len(head)-1))
		for _, r := range rows {
			p("| %s |\n", strings.Join(r, " | "))
		}
		p("\n")
	}
	p(`# From one machine to 1.4 billion people

*Made by ` + "`make scale`" + ` from docs/figures.json and the assumptions in internal/figures/scale.go; not edited by hand. It is arithmetic on what was
measured on one machine, not a test of a network of that size.*

## What one more of each costs the ledger
Every member pays it, for members all hold the same state.

`)
	record := c.stateBytes / max(c.stateRecords, 1)
	table([]string{"one more", "records", "bytes of state on disk", "bytes of history", "processor time"}, [][]string{
		{"person", "0", "0", "0", "0"},
		{"identifier on the ledger, for whoever makes one", number(c.stateRecords), number(c.stateRecords * (record*c.diskPerByte + c.pagesPerRecord)), number(c.txBytes), number(c.txMicros) + " µs"},
		{"rotation of its keys", "0", "its key history", number(c.txBytes), number(c.txMicros) + " µs"},
		{"credential, or a copy of one, that is valid", "0", "0", "0", "0"},
		{"the same once a neighbour of its chunk is revoked", "1/" + number(chunkStatus), number(((chunkKey+status.ChunkBytes)*c.diskPerByte + c.pagesPerRecord) / chunkStatus), "0", "0"},
		{"revocation or suspension, in a batch", "0", "0", number(c.changeBytes), number(c.updateMicros) + " µs"},
		{"**verification**", "**0**", "**0**", "**0**", "**0**"},
		{"receipt, or look at a person's file", "0", "0", "0", "0"},
		{"checkpoint of a log", "0", "0", number(c.txBytes), number(c.txMicros) + " µs"},
		{"version of a contract", "1", "its text", "its text", number(c.txMicros) + " µs"},
	})
	p(`A verification writes nothing anywhere but in the gate's own log. It reads: a gate asks any node, its own or a stranger's, for proofs of
what it has not cached, %s bytes and %s µs of that node's processor time each, and no node is believed.

## Measured
`, number(c.proofBytes), number(c.proofMicros))
	table([]string{"constant", "value"}, [][]string{
		{"transaction that creates an identifier, bytes", number(c.txBytes)},
		{"the same, a validator's processor time, µs", number(c.txMicros)},
		{"the same, records and bytes it adds to the state", number(c.stateRecords) + ", " + number(c.stateBytes)},
		{"records in the store that the next six are of", number(float64(c.records))},
		{"record changed in a commit, processor time, µs", number(c.updateMicros)},
		{"disk for a byte of key and value", number(c.diskPerByte)},
		{"disk for the pages, bytes a record", number(c.pagesPerRecord)},
		{"memory, bytes a record", number(c.memoryPerRecord)},
		{"memory of a store whatever its size, caches included, MB", number(c.memoryFixed / 1e6)},
		{"proof, bytes and µs of processor time", number(c.proofBytes) + ", " + number(c.proofMicros)},
		{"presentations judged on one core, a second, slowest suite", number(c.verifyPerS)},
		{"status entries of a chunk, two bits each", number(chunkStatus)},
		{"one change of status in a transaction of 10,000, bytes", number(c.changeBytes)},
	})
	p("The last two follow from the code, the others from\n\n")
	for _, command := range from {
		p("    %s\n", command)
	}
	p("\nthe whole reports of which are in [figures.json](figures.json).\n\n## Assumed\n")
	var all []needs
	head := []string{"people"}
	for _, people := range []float64{10_000, 1_000_000, 100_000_000, 1_400_000_000} {
		all = append(all, c.needs(network(people)))
		head = append(head, number(people))
	}
	row := func(name string, cell func(n *needs) string) []string {
		cells := []string{name}
		for i := range all {
			cells = append(cells, cell(&all[i]))
		}
		return cells
	}
	table(head, [][]string{
		row("make an identifier on the ledger (nobody has to)", func(n *needs) string { return number(100*n.identifiers) + " %" }),
		row("rotations of an identifier's keys, a year", func(n *needs) string { return number(n.rotations) }),
		row("credentials with a status, a person", func(n *needs) string { return number(n.credentials) }),
		row("single-use copies in a batch × batches a year", func(n *needs) string { return number(n.copies) + " × " + number(n.batches) }),
		row("credentials suspended or revoked, a year (all copies then valid)", func(n *needs) string { return number(100*n.changed) + " %" }),
		row("presentations, a person and day", func(n *needs) string { return number(n.verified) }),
		row("issuers", func(n *needs) string { return number(n.issuers) }),
		row("gates", func(n *needs) string { return number(n.gates) }),
		row("checkpoints of each log, a year (hourly)", func(n *needs) string { return number(n.anchors) }),
		row("versions of a gate's contract, a year, of bytes", func(n *needs) string { return number(n.versions) + ", " + number(n.contract) }),
		row("records of an issuer or gate beside contracts", func(n *needs) string { return number(n.organisation) }),
		row("members, a validator each", func(n *needs) string { return number(float64(int(n.members))) }),
		row("times a validator handles a transaction's bytes on the network", func(n *needs) string { return number(n.gossip) }),
		row("busiest second beside the average", func(n *needs) string { return number(n.peak) + " ×" }),
		row("bought beside used (disk, cores)", func(n *needs) string { return number(n.headroom) + " ×" }),
		row("years of history and state kept", func(n *needs) string { return number(n.years) }),
	})
	p("## What follows\n")
	table(head, [][]string{
		row("records of the state in the end", func(n *needs) string { return number(n.records) }),
		row("transactions a second, average", func(n *needs) string { return number(n.txPerS) }),
		row("transactions a second, busiest", func(n *needs) string { return number(n.txPeak) }),
		row("changes of status a second, average (thousands fit in one transaction)", func(n *needs) string { return number(n.changesPerS) }),
		row("writes to the ledger for verifications", func(*needs) string { return "0" }),
		row("history, GB a year", func(n *needs) string { return number(n.historyBytes / n.years / 1e9) }),
		row("state on disk, GB in the end", func(n *needs) string {
			return number((n.stateBytes*c.diskPerByte + n.records*c.pagesPerRecord) / 1e9)
		}),
	})
	p(`What each member has to buy for its validator, to last for all the years. Memory is the store's own and a quarter of its pages
in the system's cache; a node at work has up to half a GB of garbage besides.

`)
	table(head, [][]string{
		row("disk, GB", func(n *needs) string { return number(n.disk / 1e9) }),
		row("of it a year, GB", func(n *needs) string { return number(n.disk / n.years / 1e9) }),
		row("memory, GB", func(n *needs) string { return number(n.memory / 1e9) }),
		row("cores", func(n *needs) string { return number(max(2, n.cores)) }),
		row("network in the busiest second, Mbit/s each way", func(n *needs) string { return number(n.bandwidth / 1e6) }),
	})
	p(`What gates and the nodes they read from do, together and wherever they are; none of it is a member's duty, and all of it can be split
among as many machines as there are, for nothing is written.

`)
	table(head, [][]string{
		row("presentations a second, average", func(n *needs) string { return number(n.verifications) }),
		row("cores that judge them, busiest second", func(n *needs) string { return number(n.gateCores) }),
		row("cores that prove, were nothing cached", func(n *needs) string { return number(n.readCores) }),
		row("proofs, Mbit/s, were nothing cached", func(n *needs) string { return number(n.readBandwidth / 1e6) }),
	})
	p(`## What bounds it
- *Members, not people*: an engine with a vote for each member is made for tens of members, not for thousands. Members run
  as many reading nodes as they like.
- *One validator's cores*: blocks are executed by each, so transactions do not scale with members. The busiest second above is to be compared
  with what ` + "`hufu bench ledger`" + ` reports.
- *Checkpoints of logs* are most of the transactions where hardly anybody makes an identifier. Anchoring less often, or many gates in one log,
  divides them; the default of ten minutes would make six times as many.
- *Status bits* are most of the state. They stay when a batch has expired: lists have no end yet.
- Figures for sizes beyond the store that was measured are linear in it, which holds for disk and memory and, up to the logarithm of
  the depth, for processor time.
`)
	return b.String(), nil
}
