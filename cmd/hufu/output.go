package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // refused or failed
	exitUsage  = 2 // the command line itself was wrong
)

// usageError marks an error in how a command was called.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// usageOf is a usage error of one command, with where its help is.
func usageOf(c *cobra.Command, err error) error {
	return usageError{hint(err, "see: %s --help", c.CommandPath())}
}

// usageArgs makes an argument check's error a usage error that names what is missing.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check(c, args) == nil {
			return nil
		}
		if c.HasAvailableSubCommands() {
			return unknownCommand(c, args[0])
		}
		wanted := "no arguments"
		if w := argumentsOf(c); w != "" {
			wanted = w
		}
		got := "none was given"
		if len(args) > 0 {
			got = fmt.Sprintf("%d given", len(args))
		}
		return usageOf(c, fmt.Errorf("%s takes %s; %s", c.CommandPath(), wanted, got))
	}
}

// argumentsOf is the part of a command's usage line that names its arguments.
func argumentsOf(c *cobra.Command) string {
	var out []string
	for _, word := range strings.Fields(c.Use)[1:] {
		if strings.HasPrefix(word, "-") {
			break
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func unknownCommand(c *cobra.Command, name string) error {
	err := fmt.Errorf("%s has no command %q", c.CommandPath(), name)
	c.SuggestionsMinimumDistance = 2 // letters that may differ
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return usageError{hint(err, "did you mean: %s %s", c.CommandPath(), strings.Join(near, ", "))}
	}
	return usageOf(c, err)
}

// hinted adds what to do next, for people, to an error meant for programs.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func hint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

// silentError ends a command with status 1 after it has printed its own account.
type silentError struct{ error }

func (s silentError) Unwrap() error { return s.error }

// emit prints v as JSON under --json, else lets human write text.
func (a *app) emit(v any, human func(w io.Writer)) error {
	if !a.json {
		human(a.out)
		return nil
	}
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// fail prints err once, with a hint where there is one, and returns the exit status.
func (a *app) fail(err error) int {
	status := exitFailed
	var usage usageError
	if errors.As(err, &usage) {
		status = exitUsage
	}
	var silent silentError
	if errors.As(err, &silent) {
		return status
	}
	advice := hintFor(err)
	if a.json {
		_ = json.NewEncoder(a.err).Encode(struct {
			Error string    `json:"error"`
			Rule  hufu.Rule `json:"rule,omitempty"`
			Hint  string    `json:"hint,omitempty"`
		}{message(err), hufu.RuleOf(err), advice})
		return status
	}
	fmt.Fprintf(a.err, "hufu: %s\n", message(err))
	if advice != "" {
		fmt.Fprintf(a.err, "      %s\n", advice)
	}
	return status
}

// message is an error for people: without the name of this program, which is said already.
func message(err error) string { return strings.TrimPrefix(err.Error(), "hufu: ") }
