package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
)

// roleMetrics count what the roles of a process do. Nothing of whom.
type roleMetrics struct {
	requests  *prometheus.CounterVec // by gate
	decisions *prometheus.CounterVec // by gate, decision and rule
	copies    *prometheus.CounterVec // by credential type
}

func newRoleMetrics(r prometheus.Registerer) *roleMetrics {
	m := &roleMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hufu_gate_requests_total", Help: "Requests that gates made of visitors.",
		}, []string{"gate"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hufu_gate_decisions_total", Help: "What became of answers: allow, or deny by the rule of a refusal (empty: the contract's own).",
		}, []string{"gate", "decision", "rule"}),
		copies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hufu_issuer_copies_total", Help: "Copies of credentials that were issued.",
		}, []string{"type"}),
	}
	r.MustRegister(m.requests, m.decisions, m.copies)
	return m
}

// ofGate makes a gate's configuration count.
func (m *roleMetrics) ofGate(name string) func(*gate.Config) {
	return func(c *gate.Config) {
		c.Opened = m.requests.WithLabelValues(name).Inc
		c.Decided = func(d hufu.Decision, rule hufu.Rule) {
			m.decisions.WithLabelValues(name, d.String(), string(rule)).Inc()
		}
	}
}

// ofIssuer makes the issuer's configuration count.
func (m *roleMetrics) ofIssuer(c *issuer.Config) {
	c.Issued = func(vct string, copies int) { m.copies.WithLabelValues(vct).Add(float64(copies)) }
}

// ledgerMetrics are what /metrics says of the process, and of the ledger as the node shows it.
func ledgerMetrics(c *client.Client) []prometheus.Collector {
	head := func(value func(hufu.AsOf) float64) func() float64 {
		return func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			h, err := c.Head(ctx)
			if err != nil {
				return -1
			}
			return value(h)
		}
	}
	return []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hufu_ledger_height", Help: "Height of the newest verified state; -1 when there is none."},
			head(func(h hufu.AsOf) float64 { return float64(h.Height) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "hufu_ledger_staleness_seconds", Help: "Age of the newest verified state; -1 when there is none."},
			head(func(h hufu.AsOf) float64 { return time.Since(h.Time).Seconds() })),
	}
}

// nodeMetrics are what /metrics says of the node that runs in the process.
func nodeMetrics(n *node.Node) []prometheus.Collector {
	const name = "hufu_node_refused_total"
	var out []prometheus.Collector
	for reason, count := range map[string]func(node.Refused) uint64{
		"busy":   func(r node.Refused) uint64 { return r.Busy },
		"share":  func(r node.Refused) uint64 { return r.Share },
		"checks": func(r node.Refused) uint64 { return r.Checks },
		"bad":    func(r node.Refused) uint64 { return r.Bad },
		"barred": func(r node.Refused) uint64 { return r.Barred },
	} {
		out = append(out, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: name, ConstLabels: prometheus.Labels{"reason": reason},
			Help: "Transactions that the node refused at the door: it was busy, a member's quota or an address had its share, they were bad, or came from where too many bad ones did.",
		}, func() float64 { return float64(count(n.Refused())) }))
	}
	return append(out, nodeStats{n}, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hufu_node_peers_dropped_total", Help: "Peers that the node dropped as they sent bad transactions.",
	}, func() float64 { return float64(n.Refused().Peers) }))
}

// nodeStats are a node's own figures, read once for all of them.
type nodeStats struct{ *node.Node }

func nodeDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hufu_node_"+name, help, labels, nil)
}

// Describe sends nothing: which rules there are is seen when transactions are refused by them.
func (nodeStats) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (n nodeStats) Collect(to chan<- prometheus.Metric) {
	s := n.Stats()
	for _, m := range []struct {
		name, help string
		kind       prometheus.ValueType
		value      float64
	}{
		{"height", "Height of the newest block.", prometheus.GaugeValue, float64(s.Height)},
		{"peers", "Nodes that this one is connected with.", prometheus.GaugeValue, float64(s.Peers)},
		{"waiting_transactions", "Transactions that wait for a block.", prometheus.GaugeValue, float64(s.Waiting)},
		{"waiting_bytes", "Bytes of the transactions that wait for a block.", prometheus.GaugeValue, float64(s.WaitingBytes)},
		{"transactions_total", "Transactions that were committed.", prometheus.CounterValue, float64(s.Transactions)},
	} {
		to <- prometheus.MustNewConstMetric(nodeDesc(m.name, m.help), m.kind, m.value)
	}
	to <- prometheus.MustNewConstSummary(nodeDesc("block_interval_seconds", "Time from one block to the next."), max(s.Blocks, 1)-1, s.Between.Seconds(), nil)
	to <- prometheus.MustNewConstSummary(nodeDesc("commit_seconds", "Time to write a block's state to the disk."), s.Blocks, s.Committing.Seconds(), nil)
	refused := nodeDesc("refused_by_rule_total", "Transactions of clients and peers that were not taken, by the rule that refused them.", "rule")
	for rule, count := range s.Refused {
		to <- prometheus.MustNewConstMetric(refused, prometheus.CounterValue, float64(count), string(rule))
	}
}
