package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every command says what it does and shows how, and what it shows are command lines that parse.
func TestHelp(t *testing.T) {
	root := (&app{}).root()
	each(root, func(c *cobra.Command) {
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: no description or no example", c.CommandPath())
		}
		if c.HasFlags() && !strings.HasPrefix(c.Example, "  hufu ") {
			t.Errorf("%s: its example does not begin with the command", c.CommandPath())
		}
		var out, errOut bytes.Buffer
		line := append(strings.Fields(c.CommandPath())[1:], "--help")
		if status := run(line, strings.NewReader(""), &out, &errOut); status != exitOK || errOut.Len() > 0 {
			t.Errorf("%v: status %d, %s", line, status, errOut.String())
		}
		if !strings.Contains(out.String(), "Examples:\n") || !strings.Contains(out.String(), c.Short) && c.Long == "" {
			t.Errorf("%v says:\n%s", line, out.String())
		}
	})
}

func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, child := range c.Commands() {
		if child.Name() != "completion" { // cobra's own
			each(child, f)
		}
	}
}

func TestExamplesParse(t *testing.T) {
	var lines []string
	each((&app{}).root(), func(c *cobra.Command) {
		for line := range strings.SplitSeq(c.Example, "\n") {
			lines = append(lines, strings.TrimSpace(line))
		}
	})
	for _, line := range lines {
		words := shellWords(line)
		if len(words) == 0 || words[0] != "hufu" {
			t.Errorf("%q is no command line", line)
			continue
		}
		c, rest, err := (&app{}).root().Find(words[1:])
		if err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		c.InitDefaultHelpFlag()
		if err := c.ParseFlags(rest); err != nil {
			t.Errorf("%q: %v", line, err)
			continue
		}
		if help, err := c.Flags().GetBool("help"); err == nil && help {
			continue
		}
		if err := c.ValidateArgs(c.Flags().Args()); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// shellWords takes an example apart, up to a redirection or the end of the command, with "..." and $(...)
// as one word each.
func shellWords(line string) []string {
	var out []string
	depth, quoted, word := 0, false, ""
	for _, r := range line + " " {
		switch r {
		case '"':
			quoted = !quoted
			continue
		case '(':
			depth++
		case ')':
			depth--
		}
		if r != ' ' || quoted || depth > 0 {
			word += string(r)
			continue
		}
		end := strings.HasSuffix(word, ";")
		if word = strings.TrimSuffix(word, ";"); word == ">" || word == "<" || word == "|" {
			return out
		}
		if word != "" {
			out = append(out, word)
		}
		if end {
			return out
		}
		word = ""
	}
	return out
}
