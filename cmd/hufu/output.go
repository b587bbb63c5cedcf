package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

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

// usageArgs makes an argument check's error a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w\nusage: %s", err, c.UseLine())}
		}
		return nil
	}
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
	if errors.As(err, &usage) || isUnknownCommand(err) {
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
		}{err.Error(), hufu.RuleOf(err), advice})
		return status
	}
	fmt.Fprintf(a.err, "hufu: %v\n", err)
	if advice != "" {
		fmt.Fprintf(a.err, "      %s\n", advice)
	}
	return status
}

// isUnknownCommand recognises the one usage error that cobra makes without a hook to mark it.
func isUnknownCommand(err error) bool {
	const prefix = "unknown command "
	s := err.Error()
	return len(s) > len(prefix) && s[:len(prefix)] == prefix
}
