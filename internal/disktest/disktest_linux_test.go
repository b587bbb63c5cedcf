package disktest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hufu-id/hufu/internal/disktest"
)

// killedEnv names the directory of a test that is killed while it has a disk there.
const killedEnv = "HUFU_DISKTEST_KILLED"

// A disk is full and protected when it is to be.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	d := disktest.Mount(t, dir, 1<<20)
	write := func(name string, size int) error {
		return os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600)
	}
	if err := write("half", 1<<19); err != nil {
		t.Fatal(err)
	}
	d.Leave(0)
	if err := write("more", 1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("written where there is no room: %v", err)
	}
	d.Leave(1 << 12)
	if err := write("page", 1<<12); err != nil {
		t.Errorf("a page of room: %v", err)
	}
	d.Whole()
	if err := write("more", 1<<12); err != nil {
		t.Error(err)
	}
	d.Protect()
	if err := write("more", 1); !errors.Is(err, syscall.EROFS) {
		t.Errorf("written where nobody may write: %v", err)
	}
}

// No disk is left behind, however a test ends.
func TestNothingIsLeft(t *testing.T) {
	if dir := os.Getenv(killedEnv); dir != "" {
		disktest.Mount(t, dir, 1<<20)
		fmt.Println("mounted")
		select {}
	}
	dir := t.TempDir()
	allowed := false
	t.Run("ended", func(t *testing.T) {
		disktest.Mount(t, dir, 1<<20)
		if allowed = true; !mounted(t, dir) {
			t.Fatal("it is not there")
		}
	})
	if !allowed {
		t.Skip("no disk can be made here")
	}
	if mounted(t, dir) {
		t.Error("it is left by a test that ended")
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestNothingIsLeft$")
	c.Env = append(os.Environ(), killedEnv+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len("mounted"))
	_, err = out.Read(said)
	if there := mounted(t, dir); err != nil || !there {
		t.Errorf("it said %q, %v; a disk is there: %v", said, err, there)
	}
	if err := syscall.Kill(-c.Process.Pid, syscall.SIGKILL); err != nil { // all of its group
		t.Fatal(err)
	}
	_ = c.Wait() // it was killed
	for end := time.Now().Add(time.Minute); mounted(t, dir); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is left by a test that was killed")
		}
	}
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(raw), " "+dir+" ")
}
