// Command figures makes the parts of the documentation that are figures. What `hufu bench` measured is in
// docs/figures.json, with the commands; from it, and from the assumptions in this program, it renders the tables of
// docs/performance.md and all of docs/scale.md. Nobody types figures: a test compares what is
// committed with what this program makes of it.
//
//	go run ./internal/figures                      render
//	go run ./internal/figures -run bin/hufu        measure everything first (make figures)
//	go run ./internal/figures -run bin/hufu -only verify,store
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
)

const (
	figuresFile     = "figures.json"
	performanceFile = "performance.md"
	scaleFile       = "scale.md"
)

func main() {
	docs := flag.String("docs", "docs", "directory of the documentation")
	binary := flag.String("run", "", "measure with this binary of hufu")
	only := flag.String("only", "", "names of measurements, separated by commas")
	records := flag.String("records", "1000000,10000000,100000000", "sizes of the store to measure; 100 million take half an hour and 60 GB")
	dir := flag.String("dir", os.TempDir(), "where measurements put their databases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := func() error {
		f, err := readFigures(*docs)
		if err != nil {
			return err
		}
		var failed error
		if *binary != "" {
			var names []string
			if *only != "" {
				names = strings.Split(*only, ",")
			}
			failed = measureAll(ctx, *docs, f, *binary, names, *records, *dir)
		}
		return errors.Join(failed, render(*docs, f))
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// render writes what has changed.
func render(docs string, f *figures) error {
	path := filepath.Join(docs, performanceFile)
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	performance, err := renderPerformance(string(old), f)
	if err != nil {
		return err
	}
	scale, err := renderScale(f)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, []byte(performance), 0o644),
		os.WriteFile(filepath.Join(docs, scaleFile), []byte(scale), 0o644))
}
