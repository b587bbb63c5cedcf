package main

import (
	"os"
	"time"
)

// Of the assembly beside this file. The Go runtime asks the kernel's vDSO for the time through a pointer, into
// whose place set puts a function that asks the same and adds skewSeconds to the realtime clock; the monotonic
// one stays as it is.
var realClockGettime, skewSeconds int64

func set()

func init() {
	d, err := time.ParseDuration(os.Getenv("HUFU_CHAOS_CLOCK"))
	if err != nil {
		panic(err)
	}
	before := time.Now()
	skewSeconds = int64(d / time.Second)
	set()
	if off := time.Now().Round(0).Sub(before.Round(0)) - d; off < 0 || off > time.Minute {
		panic("the clock was not set")
	}
}
