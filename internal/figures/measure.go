package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// figures is docs/figures.json.
type figures struct {
	Measurements []*measurement `json:"measurements"`
}

// measurement is what one command reported.
type measurement struct {
	Name    string          `json:"name"`
	Command string          `json:"command"`
	Day     string          `json:"day"`            // UTC
	Load    string          `json:"load,omitempty"` // of the machine in the minute before, where it says so
	Report  json.RawMessage `json:"report"`

	onDisk bool // takes --dir, which is of the machine and so not of the command that is written down
}

// commands are all measurements, each a `hufu bench` with --json.
func commands(records string) []measurement {
	return []measurement{
		{Name: "verify", Command: "verify"},
		{Name: "issue", Command: "issue"},
		{Name: "ledger", Command: "ledger --transactions 200000", onDisk: true},
		{Name: "ledger-4", Command: "ledger --validators 4 --transactions 80000 --overload 5s", onDisk: true},
		{Name: "resolve", Command: "resolve", onDisk: true},
		{Name: "revoke", Command: "revoke", onDisk: true},
		{Name: "protocol", Command: "protocol --sessions 100000", onDisk: true},
		{Name: "store", Command: "store --records " + records, onDisk: true},
	}
}

func readFigures(docs string) (*figures, error) {
	f := &figures{}
	raw, err := os.ReadFile(filepath.Join(docs, figuresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("%s: %w", figuresFile, err)
	}
	return f, nil
}

func (f *figures) write(docs string) error {
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(docs, figuresFile), append(raw, '\n'), 0o644)
}

func (f *figures) find(name string) *measurement {
	i := slices.IndexFunc(f.Measurements, func(m *measurement) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return f.Measurements[i]
}

// measureAll runs the commands and writes each result at once: some take long. One that fails leaves what was measured
// before, and does not keep the others from being measured.
func measureAll(ctx context.Context, docs string, f *figures, binary string, only []string, records, dir string) error {
	all := commands(records)
	for _, name := range only {
		if !slices.ContainsFunc(all, func(m measurement) bool { return m.Name == name }) {
			return fmt.Errorf("no measurement is called %q", name)
		}
	}
	var failed error
	var kept []*measurement
	for _, m := range all {
		if only == nil || slices.Contains(only, m.Name) {
			if err := m.run(ctx, binary, dir); err != nil {
				failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Command, err))
			} else if old := f.find(m.Name); old != nil {
				*old = m
			} else {
				f.Measurements = append(f.Measurements, &m)
			}
		}
		if now := f.find(m.Name); now != nil {
			kept = append(kept, now)
		}
		if err := (&figures{Measurements: kept}).write(docs); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			break
		}
	}
	return failed
}

func (m *measurement) run(ctx context.Context, binary, dir string) error {
	args := append([]string{"bench"}, strings.Fields(m.Command)...)
	m.Command, m.Day, m.Load = "hufu "+strings.Join(args, " "), time.Now().UTC().Format(time.DateOnly), load()
	fmt.Fprintln(os.Stderr, m.Command)
	if m.onDisk {
		args = append(args, "--dir", dir)
	}
	c := exec.CommandContext(ctx, binary, append(args, "--json")...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return err
	}
	if !json.Valid(out) {
		return errors.New("the report is not JSON")
	}
	m.Report = bytes.TrimSpace(out)
	return nil
}

func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}
