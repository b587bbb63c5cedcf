package demo

import (
	"fmt"
	"io"
	"time"
)

// narrator prints the story: one heading a chapter, one line a fact.
type narrator struct {
	out     io.Writer
	color   bool
	start   time.Time
	chapter int
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
