package archtest

import (
	"go/ast"
	"go/types"
	"slices"
	"sort"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/hufu-id/hufu"

// A room is a package or, with a trailing slash, a package and its subtree.
type room struct {
	path string
	row  int
	kind kind
}

type kind int

const (
	effects   kind = iota // may touch the world
	pure                  // no clock, no randomness of its own, no files, no network, no goroutines
	consensus             // pure, and deterministic: no map order, no floats
)

// rooms is the table of rooms: a package imports only packages of rows above (smaller numbers), its
// own subtree, or, within one row, what sameRow allows.
var rooms = []room{
	{"", 0, consensus},
	{"encoding", 1, pure},
	{"keys", 1, pure},
	{"tlog", 1, consensus},
	{"credential/jws", 1, pure},
	{"credential/cose", 1, pure},
	{"credential/x5c", 1, pure},
	{"credential/", 2, pure},
	{"contract/", 2, consensus},
	{"ledger/tx", 2, consensus},
	{"ledger/proof", 2, pure},
	{"ledger/state/", 3, consensus},
	{"durable", 3, effects},
	{"tilelog", 4, effects},
	{"keys/keystore", 4, effects},
	{"database/", 4, effects},
	{"limit", 4, effects},
	{"ledger/store/", 4, effects},
	{"ledger/node/", 5, effects},
	{"ledger/client/", 5, effects},
	{"protocol/", 6, pure},
	{"roster", 6, pure},
	{"issuer/", 7, effects},
	{"gate/", 7, effects},
	{"wallet/", 7, effects},
	{"audit/", 7, effects},
	{"web/", 8, effects},
	{"cmd/", 9, effects},
	{"internal/", 9, effects},
	{"examples/", 0, effects},
}

// sameRow says what a package may import from its own row.
var sameRow = map[string][]string{
	"credential/jws":  {"encoding", "keys"},
	"tlog":            {"keys"},
	"credential/cose": {"encoding", "keys"},
	"credential/x5c":  {"encoding", "keys"},
}

// only says which packages may import a module path; everything else may not.
var only = map[string][]string{
	"github.com/cometbft/cometbft": {"ledger/node/", "ledger/client", "ledger/proof", "audit/", "internal/"},
	"net/http":                     {"ledger/node/", "ledger/client/", "tilelog", "issuer/", "gate/", "wallet/", "audit/", "cmd/", "internal/", "web/"},
	"testing":                      {"ledger/store/storetest", "ledger/client/clienttest", "database/databasetest", "internal/"},
}

// forbidden in pure packages. time is allowed, as values; its clock is not (see clockFuncs).
var forbidden = []string{
	"crypto/rand", "math/rand", "math/rand/v2", "os", "os/exec", "net", "net/http", "database/sql",
	"log", "log/slog", "syscall", "io/ioutil", "runtime", "sync", "sync/atomic", "context", "unsafe",
}

// clockFuncs are the functions of package time that read or wait for the clock, or the machine's zone.
var clockFuncs = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
	"Tick": true, "NewTimer": true, "NewTicker": true, "LoadLocation": true, "Local": true,
}

func (r room) holds(path string) bool {
	if base, tree := strings.CutSuffix(r.path, "/"); tree {
		return path == base || strings.HasPrefix(path, r.path)
	}
	return path == r.path
}

func roomOf(path string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms {
		if r.holds(path) && (!found || len(r.path) > len(best.path)) {
			best, found = r, true
		}
	}
	return best, found
}

func local(importPath string) (string, bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func load(t *testing.T) []*packages.Package {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{
		Dir:  "../..",
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports,
	}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Fatalf("%s: %v", p.PkgPath, e)
		}
	}
	return pkgs
}

func TestArchitecture(t *testing.T) {
	for _, p := range load(t) {
		path, ok := local(p.PkgPath)
		if !ok {
			t.Fatalf("%s is not in the module", p.PkgPath)
		}
		r, ok := roomOf(path)
		if !ok {
			t.Errorf("%s has no row in the table of rooms", path)
			continue
		}
		checkDoc(t, p)
		checkImports(t, p, path, r)
		if r.kind != effects {
			checkPure(t, p)
		}
		if r.kind == consensus {
			checkDeterministic(t, p)
		}
	}
}

func checkDoc(t *testing.T, p *packages.Package) {
	t.Helper()
	for _, f := range p.Syntax {
		if f.Doc != nil && len(f.Doc.Text()) > 40 {
			return
		}
	}
	t.Errorf("%s: no package documentation", p.PkgPath)
}

func checkImports(t *testing.T, p *packages.Package, path string, r room) {
	t.Helper()
	imports := make([]string, 0, len(p.Imports))
	for i := range p.Imports {
		imports = append(imports, i)
	}
	sort.Strings(imports)
	for _, i := range imports {
		for lib, allowed := range only {
			if i != lib && !strings.HasPrefix(i, lib+"/") {
				continue
			}
			fine := false
			for _, a := range allowed {
				fine = fine || room{path: a}.holds(path)
			}
			if !fine {
				t.Errorf("%s imports %s", p.PkgPath, i)
			}
		}
		target, ok := local(i)
		if !ok {
			continue
		}
		tr, ok := roomOf(target)
		switch {
		case !ok:
			t.Errorf("%s imports %s, which has no row", p.PkgPath, i)
		case tr.row < r.row, tr == r, r.row == 9, slices.Contains(sameRow[path], target):
		default:
			t.Errorf("%s (row %d) imports %s (row %d)", p.PkgPath, r.row, i, tr.row)
		}
	}
}

func checkPure(t *testing.T, p *packages.Package) {
	t.Helper()
	for _, f := range forbidden {
		if p.Imports[f] != nil {
			t.Errorf("%s is pure and imports %s", p.PkgPath, f)
		}
	}
	inspect(p, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.SelectStmt:
			t.Errorf("%s: a goroutine or select in a pure package", p.Fset.Position(n.Pos()))
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				t.Errorf("%s: an init function", p.Fset.Position(n.Pos()))
			}
		case *ast.SelectorExpr:
			if o := p.TypesInfo.Uses[n.Sel]; o != nil && o.Pkg() != nil && o.Pkg().Path() == "time" && clockFuncs[o.Name()] {
				if _, method := o.Type().(*types.Signature); !method || o.Type().(*types.Signature).Recv() == nil {
					t.Errorf("%s: time.%s in a pure package", p.Fset.Position(n.Pos()), o.Name())
				}
			}
		}
	})
}

func checkDeterministic(t *testing.T, p *packages.Package) {
	t.Helper()
	sorted := map[ast.Node]bool{} // arguments of slices.Sorted and its like
	inspect(p, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			if name := qualified(p, n.Fun); strings.HasPrefix(name, "slices.Sorted") {
				for _, a := range n.Args {
					sorted[a] = true
				}
			} else if (name == "maps.Keys" || name == "maps.Values" || name == "maps.All") && !sorted[n] {
				t.Errorf("%s: %s outside slices.Sorted in consensus code", p.Fset.Position(n.Pos()), name)
			}
		case *ast.RangeStmt:
			if _, isMap := p.TypesInfo.TypeOf(n.X).Underlying().(*types.Map); isMap {
				t.Errorf("%s: range over a map in consensus code", p.Fset.Position(n.Pos()))
			}
		case *ast.Ident:
			if o, ok := p.TypesInfo.Uses[n].(*types.TypeName); ok && o.Parent() == types.Universe && strings.HasPrefix(o.Name(), "float") {
				t.Errorf("%s: %s in consensus code", p.Fset.Position(n.Pos()), o.Name())
			}
		case *ast.BasicLit:
			if n.Kind.String() == "FLOAT" {
				t.Errorf("%s: floating point in consensus code", p.Fset.Position(n.Pos()))
			}
		}
	})
}

// qualified is "package.Function" of a call's target.
func qualified(p *packages.Package, fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.IndexExpr:
		return qualified(p, f.X)
	case *ast.SelectorExpr:
		if o := p.TypesInfo.Uses[f.Sel]; o != nil && o.Pkg() != nil {
			return o.Pkg().Path() + "." + o.Name()
		}
	}
	return ""
}

func inspect(p *packages.Package, visit func(ast.Node)) {
	for _, f := range p.Syntax {
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}

// The rules themselves must be able to fail.
func TestRoomsTable(t *testing.T) {
	for path, want := range map[string]int{"": 0, "credential/sdjwt": 2, "credential/jws": 1, "ledger/state/did": 3, "keys": 1, "keys/keystore": 4, "cmd/hufu": 9} {
		if r, ok := roomOf(path); !ok || r.row != want {
			t.Errorf("%q is in row %d, want %d", path, r.row, want)
		}
	}
	if _, ok := roomOf("utils"); ok {
		t.Error("an unknown package has a row")
	}
}
