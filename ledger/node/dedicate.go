package node

import "runtime"

// heapRoom is memory for each node that is reserved and never touched, so that it costs none. The collector counts it as in
// use, and lets so much more garbage come together before it marks everything that a node has in memory.
const heapRoom = 256 << 20

// Dedicate sets a process up for running so many nodes and little else, until the function it returns is called.
//
// One goroutine more runs at once than before. Consensus is one goroutine, which comes back from the disk a dozen
// times a block. With as many goroutines as there are cores it then stands behind whoever checks signatures, for
// up to 10 ms each time, and while it waits for the disk its core may stand idle. With one more, the operating
// system decides who runs, and lets a thread go first that has slept.
//
// Garbage is collected less often: for each node at most twice heapRoom of it is there at once beyond what there
// would be.
func Dedicate(nodes int) (undo func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(before + 1)
	room := make([]byte, nodes*heapRoom)
	return func() {
		runtime.GOMAXPROCS(before)
		runtime.KeepAlive(room)
	}
}
