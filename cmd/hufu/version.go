package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary and of the engine in it",
		Example: "  hufu version --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Engine  string `json:"cometbft"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{version, engineVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.emit(v, func(w io.Writer) {
				fmt.Fprintf(w, "hufu %s (cometbft %s, %s, %s/%s)\n", v.Version, v.Engine, v.Go, v.OS, v.Arch)
			})
		},
	}
}

// engineVersion is the version that the binary was linked with; the engine's own constant names an
// older one.
func engineVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/cometbft/cometbft" {
			return d.Version
		}
	}
	return "unknown"
}
