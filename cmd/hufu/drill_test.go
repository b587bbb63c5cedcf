package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hufu-id/hufu/database/databasetest"
)

// drillTimeout bounds the drill on a busy machine.
const drillTimeout = 8 * time.Minute

// Every role is backed up, destroyed and restored, and goes on: "make drill", without a PKCS#11 token.
func TestDrill(t *testing.T) {
	if testing.Short() {
		t.Skip("a long scene")
	}
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("needs " + tool)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "hufu")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), drillTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "../../deploy/drill.sh", program)
	c.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	if os.Getenv(databasetest.Variable) != "" {
		c.Env = append(c.Env, databasetest.Variable+"="+databasetest.Postgres(t))
	}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what the drill starts ends with it
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil || !strings.Contains(out.String(), "every role was restored and goes on") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
