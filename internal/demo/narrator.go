package demo

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// narrator prints the story: one heading a chapter, one line a fact.
type narrator struct {
	out     io.Writer
	color   bool
	start   time.Time
	chapter int
	bar     Bar // nil: lines tell how far the work is
}

// Bar shows how far long work is. It returns what counts steps done, from any goroutine, and what ends
// the bar.
type Bar func(label string, total int) (add func(n int), done func())

// patience is for how long a chapter without a bar may say nothing.
const patience = 2 * time.Second

// progress shows how far work of total steps is, where that takes long.
func (n *narrator) progress(label string, total int) (add func(steps int), done func()) {
	if n.bar != nil {
		return n.bar("    "+label, total)
	}
	var (
		mu    sync.Mutex
		steps int
		told  = time.Now()
	)
	return func(more int) {
		mu.Lock()
		defer mu.Unlock()
		if steps += more; steps < total && time.Since(told) >= patience {
			told = time.Now()
			n.factf("… %d of %d %s", steps, total, label)
		}
	}, func() {}
}

func (n *narrator) style(code, s string) string {
	if !n.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// chapterf starts a chapter.
func (n *narrator) chapterf(format string, args ...any) {
	n.chapter++
	head := fmt.Sprintf("%2d  %s", n.chapter, fmt.Sprintf(format, args...))
	fmt.Fprintf(n.out, "\n%s %s\n", n.style("1", head), n.style("2", fmt.Sprintf("+%.1fs", time.Since(n.start).Seconds())))
}

// factf tells one fact of the chapter.
func (n *narrator) factf(format string, args ...any) {
	fmt.Fprintf(n.out, "    %s\n", fmt.Sprintf(format, args...))
}

// row tells a named fact in two columns.
func (n *narrator) row(name, format string, args ...any) {
	fmt.Fprintf(n.out, "    %-34s %s\n", name, fmt.Sprintf(format, args...))
}

// verdict prints a mark for each failure, or one for none.
func (n *narrator) verdict(failures []string) {
	fmt.Fprintln(n.out)
	for _, f := range failures {
		fmt.Fprintf(n.out, "%s %s\n", n.style("31", "✗"), f)
	}
	if len(failures) == 0 {
		fmt.Fprintf(n.out, "%s every answer was the right one\n", n.style("32", "✓"))
	}
}
