package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// parses checks that words are a command line of this program, and returns the command.
func parses(t *testing.T, words []string) string {
	t.Helper()
	c, rest, err := (&app{}).root().Find(words)
	if err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	if err := c.ParseFlags(rest); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
	return c.CommandPath()
}

// The service units start command lines that exist; the guide's is the one in deploy.
func TestServiceUnits(t *testing.T) {
	guide, err := os.ReadFile("../../docs/operators-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"hufu.service": "hufu up", "hufu-node.service": "hufu node start", "hufu-signer.service": "hufu signer start"} {
		raw, err := os.ReadFile(filepath.Join("../../deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		sections, exec := unit(t, name, string(raw))
		if !slices.Equal(sections, []string{"[Unit]", "[Service]", "[Install]"}) || len(exec) != 1 {
			t.Fatal(name, sections, exec)
		}
		line, ok := strings.CutPrefix(exec[0], "/usr/local/bin/hufu ")
		if got := parses(t, strings.Fields(line)); !ok || got != want {
			t.Errorf("%s starts %q", name, got)
		}
		if name == "hufu.service" && !strings.Contains(string(guide), "```ini\n"+string(raw[strings.Index(string(raw), "[Unit]"):])+"```") {
			t.Errorf("the guide shows another %s", name)
		}
	}
}

// unit takes a unit file apart: its sections and what it executes. Anything that is neither a comment, a
// section nor a setting ends the test.
func unit(t *testing.T, name, text string) (sections, exec []string) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			sections = append(sections, line)
		case !ok || key == "" || strings.ContainsAny(key, " \t") || value == "":
			t.Errorf("%s line %d is no setting: %s", name, i+1, line)
		case key == "ExecStart":
			exec = append(exec, value)
		}
	}
	return sections, exec
}

// The compose file reads as YAML, starts command lines that exist, and gives each node the address that
// the command in its head founds the network with.
func TestCompose(t *testing.T) {
	raw, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image    string
			User     string
			Command  []string
			Volumes  []string
			Secrets  []struct{ Source, Target string }
			Networks map[string]struct {
				Address string `yaml:"ipv4_address"`
			}
		}
		Networks map[string]any
		Secrets  map[string]struct{ File string }
	}
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	_, found, ok := strings.Cut(string(raw), "#   hufu ")
	found, _, _ = strings.Cut(found, "\n")
	if !ok || parses(t, strings.Fields(found)) != "hufu net init" {
		t.Fatalf("it does not say how the network is founded: %q", found)
	}
	_, hosts, _ := strings.Cut(found, "--hosts ")
	names := strings.Split(hosts, ",")
	if len(file.Services) != len(names) || len(names) != 4 {
		t.Fatalf("%d services, %d hosts", len(file.Services), len(names))
	}
	for i, host := range names {
		name := nodeName(i)
		s := file.Services[name]
		switch {
		case s.Image != "hufu" || s.User == "" || parses(t, s.Command) != "hufu node start":
			t.Errorf("%s runs %v", name, s.Command)
		case s.Networks["members"].Address != host:
			t.Errorf("%s is at %q, not at %s", name, s.Networks["members"].Address, host)
		case len(s.Volumes) != 1 || !strings.Contains(s.Volumes[0], "/"+name+":/home"):
			t.Errorf("%s has %v", name, s.Volumes)
		case len(s.Secrets) != 1 || s.Secrets[0].Source != name || !strings.HasSuffix(file.Secrets[name].File, "/"+name+".key"):
			t.Errorf("%s is opened by %v", name, s.Secrets)
		}
	}
	if _, ok := file.Networks["members"]; !ok {
		t.Error("no network of the members")
	}
}
