//go:build pkcs11 && cgo

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// softHSM is where Debian's softhsm2 has its module.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// The scripts of this directory run with a fresh SoftHSM2 token.
func TestHSM(t *testing.T) {
	if _, err := os.Stat(softHSM); err != nil {
		t.Skip("SKIPPED: no SoftHSM here (Debian: apt-get install softhsm2)")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/hsm",
		RequireExplicitExec: true,
		Cmds:                scriptCommands(),
		Setup: func(e *testscript.Env) error {
			if err := setupScript(e); err != nil {
				return err
			}
			tokens, conf := filepath.Join(e.WorkDir, "tokens"), filepath.Join(e.WorkDir, "softhsm.conf")
			if err := os.Mkdir(tokens, 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(conf, []byte("directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
				return err
			}
			e.Setenv("SOFTHSM2_CONF", conf)
			init := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "hufu", "--so-pin", "00000000", "--pin", "48151623")
			init.Env = append(os.Environ(), "SOFTHSM2_CONF="+conf)
			if err := init.Run(); err != nil {
				return err
			}
			pin := filepath.Join(e.WorkDir, "pin")
			e.Setenv("TOKEN", "pkcs11:token=hufu?module-path="+softHSM+"&pin-source=file:"+pin)
			return os.WriteFile(pin, []byte("48151623\n"), 0o600)
		},
	})
}
