package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/roster"
)

// rosterDate is the default day of a synthetic register: fixed, so that a seed means the same file on
// every day.
const rosterDate = "2026-01-01"

func (a *app) rosterCmd() *cobra.Command {
	var people int
	var seed uint64
	var out, asOf string
	c := &cobra.Command{
		Use:   "roster",
		Short: "Write a synthetic resident register as CSV",
		Long: `Writes a register of people who do not exist, in the shape of a real one: resident numbers with
their check digit under the region prefix 99, which is assigned to nobody, names in Chinese and
romanised, addresses, guardians of minors. The same seed and date always give the same file.`,
		Example: "  hufu roster --people 1000 --seed 7 --out roster.csv",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if people < 1 || people > roster.MaxGenerated {
				return usagef("--people must be from 1 to %d", roster.MaxGenerated)
			}
			day, err := roster.ParseDate(asOf)
			if err != nil {
				return usagef("--as-of: %w", err)
			}
			if a.json && out == "-" {
				return usagef("--json tells what was written to --out FILE; standard output would be both")
			}
			return a.writeRoster(out, roster.Generate(people, seed, day), people)
		},
	}
	f := c.Flags()
	f.IntVar(&people, "people", 1000, "how many people")
	f.Uint64Var(&seed, "seed", 1, "which register: the same seed gives the same people")
	f.StringVar(&asOf, "as-of", rosterDate, "the day the register is of (YYYY-MM-DD)")
	f.StringVar(&out, "out", "-", "file to write, - for standard output")
	return c
}

func (a *app) writeRoster(path string, people iter.Seq[roster.Person], n int) error {
	if path == "-" {
		return roster.Write(a.out, people)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return hint(err, "give another --out; an existing file is never overwritten")
	}
	if err != nil {
		return err
	}
	add, done := a.progress("people", n)
	w := bufio.NewWriter(f)
	err = roster.Write(w, func(yield func(roster.Person) bool) {
		for p := range people {
			add(1)
			if !yield(p) {
				return
			}
		}
	})
	done()
	if err = errors.Join(err, w.Flush(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return a.emit(map[string]any{"file": path, "people": n}, func(w io.Writer) {
		fmt.Fprintf(w, "%d people written to %s\n", n, path)
	})
}
