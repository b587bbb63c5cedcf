package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hufu-id/hufu/internal/demo"
)

// errDemo ends a demonstration in which something was not as it must be.
var errDemo = errors.New("something was not as it must be")

func (a *app) demoCmd() *cobra.Command {
	var o demo.Options
	var jsonFile string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Tell the whole story on real parts, with figures",
		Long: `Starts a network as a process of its own, accredits an agency, enrols people, issues credentials to them,
opens three doors to the right ones, tries every known attack, revokes, kills the node, verifies offline,
and audits it all. Ends with status 1 if anything is not as it must be.`,
		Example: "  hufu demo --people 1000 --json report.json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if o.People < demo.MinPeople || o.People > demo.MaxPeople {
				return usagef("--people must be from %d to %d", demo.MinPeople, demo.MaxPeople)
			}
			if o.Copies < demo.MinCopies || o.Copies > demo.MaxCopies {
				return usagef("--copies must be from %d to %d", demo.MinCopies, demo.MaxCopies)
			}
			if c.Flags().Changed("home") {
				o.Dir = a.home
			}
			var err error
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			f, isFile := a.out.(*os.File)
			o.Out, o.Color = a.out, isFile && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
			if jsonFile == "-" {
				o.Out = io.Discard
			}
			if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				o.Bar = a.progress
			}
			report, err := demo.Run(c.Context(), o)
			if err != nil {
				return err
			}
			if err := a.writeReport(jsonFile, report); err != nil {
				return err
			}
			if len(report.Failures) > 0 {
				return silentError{errDemo}
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&o.People, "people", 1000, "how many people")
	f.IntVar(&o.Copies, "copies", demo.DefaultCopies, "copies of each credential for each person")
	f.Uint64Var(&o.Seed, "seed", 1, "which people")
	f.StringVar(&jsonFile, "json", "", "also write the report to this file, or with - instead of the story to standard output")
	return c
}

func (a *app) writeReport(path string, report *demo.Report) error {
	if path == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if path == "-" {
		_, err = a.out.Write(raw)
		return err
	}
	return os.WriteFile(path, raw, 0o600)
}
