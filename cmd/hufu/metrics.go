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
	return append(out, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "hufu_node_peers_dropped_total", Help: "Peers that the node dropped as they sent bad transactions.",
	}, func() float64 { return float64(n.Refused().Peers) }))
}
