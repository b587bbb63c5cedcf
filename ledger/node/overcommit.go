package node

import "runtime"

// Overcommit lets one goroutine more run at once than before, until the function it returns is called: it is for
// processes that run nodes and little else. Consensus is one goroutine, which comes back from the disk a dozen
// times a block. With as many goroutines as there are cores it then stands behind whoever checks signatures, for
// up to 10 ms each time, and while it waits for the disk its core may stand idle. With one more, the operating
// system decides who runs, and lets a thread go first that has slept.
func Overcommit() (undo func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	return func() { runtime.GOMAXPROCS(before) }
}
