package roster

import (
	"fmt"
	"iter"
	"strings"
)

// MaxGenerated is the most people that [Generate] has distinct numbers for.
const MaxGenerated = 5_000_000

// Generate yields a synthetic register of people, at most [MaxGenerated] of them, as of a day. The
// same arguments give the same people, always. They come in households: about 18 % are minors, and
// each minor's guardian is an adult who came before it.
func Generate(people int, seed uint64, asOf Date) iter.Seq[Person] {
	return func(yield func(Person) bool) {
		g := generator{rand: stream{seed ^ 0x6875_6675_726f_7374}, asOf: asOf, people: min(people, MaxGenerated), yield: yield}
		g.offset = int(g.rand.next() % MaxGenerated)
		for g.made < g.people {
			if !g.household() {
				return
			}
		}
	}
}

// stream is SplitMix64 (Steele, Lea, Flood 2014): small, and frozen here, so that a seed means the
// same people with every version of Go. It is no source of secrets.
type stream struct{ state uint64 }

func (s *stream) next() uint64 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// between is a number from low to high, both included.
func (s *stream) between(low, high int) int {
	return low + int(s.next()%uint64(high-low+1))
}

// percent is true p times in a hundred.
func (s *stream) percent(p int) bool { return s.between(0, 99) < p }

func pick[T any](s *stream, list []T) T { return list[s.between(0, len(list)-1)] }

type generator struct {
	rand   stream
	asOf   Date
	people int
	made   int
	offset int
	yield  func(Person) bool
}

// home is what the members of a household share.
type home struct {
	region  string
	address string
	foreign int // index into foreignFamily, or -1
}

// household yields one household, cut off when the register is full. It reports whether to go on.
func (g *generator) household() bool {
	r := &g.rand
	h := g.home()
	switch kind := r.between(0, 99); {
	case kind < 32: // alone
		return g.emit(g.person(h, g.surname(), pick(r, []string{Male, Female}), g.adultAge()))
	case kind < 75: // a couple
		age := g.adultAge()
		return g.emit(g.person(h, g.surname(), Male, max(age+r.between(-2, 5), AdultAge))) &&
			g.emit(g.person(h, g.surname(), Female, age))
	}
	eldest := r.between(0, AdultAge-1)
	motherAge := eldest + r.between(20, 33)
	family := g.surname()
	mother := g.person(h, family, Female, motherAge)
	if !g.emit(mother) {
		return false
	}
	guardians, relations := []Person{mother}, []string{"mother"}
	if r.percent(85) {
		family = g.surname()
		father := g.person(h, family, Male, motherAge+r.between(-2, 6))
		if !g.emit(father) {
			return false
		}
		guardians, relations = append(guardians, father), append(relations, "father")
	}
	if r.percent(25) {
		elder := g.person(h, g.surname(), pick(r, []string{Male, Female}), motherAge+r.between(22, 32))
		if !g.emit(elder) {
			return false
		}
		if r.percent(10) {
			guardians, relations = []Person{elder}, []string{"grandparent"}
		}
	}
	children := 1
	if n := r.between(0, 99); n >= 90 {
		children = 3
	} else if n >= 60 {
		children = 2
	}
	for age := eldest; children > 0 && age >= 0; children, age = children-1, age-r.between(1, 5) {
		child := g.person(h, family, pick(r, []string{Male, Female}), age)
		i := r.between(0, len(guardians)-1)
		child.Guardian, child.GuardianRelation = guardians[i].ResidentNumber, relations[i]
		if !g.emit(child) {
			return false
		}
	}
	return true
}

func (g *generator) emit(p Person) bool {
	return g.yield(p) && g.made < g.people
}

// adultAge draws from a population pyramid that is widest from 30 to 60.
func (g *generator) adultAge() int {
	switch n := g.rand.between(0, 99); {
	case n < 15:
		return g.rand.between(AdultAge, 29)
	case n < 65:
		return g.rand.between(30, 59)
	case n < 93:
		return g.rand.between(60, 79)
	default:
		return g.rand.between(80, 99)
	}
}

func (g *generator) home() home {
	r := &g.rand
	region := pick(r, regions)
	h := home{region: region.Code, foreign: -1}
	h.address = fmt.Sprintf("%s%s%s%d号%d单元%d%02d室", region.Name, pick(r, districts), pick(r, roads),
		r.between(1, 999), r.between(1, 6), r.between(1, 30), r.between(1, 12))
	if r.percent(2) {
		h.foreign = r.between(0, len(foreignFamily)-1)
	}
	return h
}

func (g *generator) surname() part { return pick(&g.rand, surnames) }

func (g *generator) person(h home, surname part, sex string, age int) Person {
	r := &g.rand
	p := Person{Sex: sex, Address: h.address, Region: h.region, Nationality: "CHN"}
	p.BirthDate = g.birthDate(age)
	p.ResidentNumber = g.number(p)
	if h.foreign >= 0 {
		f, given := foreignFamily[h.foreign], pick(r, foreignGiven[sex])
		p.NameZH, p.Name, p.Nationality = given.zh+"·"+f.zh, given.latin+" "+f.latin, f.country
	} else {
		p.NameZH, p.Name = g.name(surname, sex)
	}
	switch n := r.between(0, 99); {
	case n < 15:
		p.AssuranceLevel = "low"
	case n < 55:
		p.AssuranceLevel = "substantial"
	default:
		p.AssuranceLevel = "high"
	}
	return p
}

// name gives one person in eight a given name of one character, unless that would be too short to be
// told from chance when a ledger is searched for it.
func (g *generator) name(surname part, sex string) (zh, latin string) {
	r := &g.rand
	given := givenMale
	if sex == Female {
		given = givenFemale
	}
	first, second := pick(r, given), pick(r, given)
	if r.percent(12) && len(surname.latin)+len(first.latin) >= 8 {
		second = part{}
	} else if len(surname.latin)+len(first.latin)+len(second.latin) < 8 {
		second = pick(r, []part{{"翔", "xiang"}, {"双", "shuang"}, {"庄", "zhuang"}, {"清", "qing"}})
	}
	latin = first.latin + second.latin
	return surname.zh + first.zh + second.zh, surname.latin + " " + strings.ToUpper(latin[:1]) + latin[1:]
}

// birthDate is a day on which somebody was born whose age is as given.
func (g *generator) birthDate(age int) Date {
	d := Date{g.asOf.Year - age, g.asOf.Month, g.asOf.Day}.time().AddDate(0, 0, -g.rand.between(0, 364))
	for DateOf(d).AgeOn(g.asOf) < age { // one day too late where 29 February is in between
		d = d.AddDate(0, 0, -1)
	}
	return DateOf(d)
}

// number gives each person a number of their own: (prefix, sequence) runs through a permutation of
// all MaxGenerated values, whatever the birth dates are.
func (g *generator) number(p Person) string {
	const step = 2_654_441 // coprime to MaxGenerated = 2^6·5^7
	n := (g.offset + g.made*step) % MaxGenerated
	g.made++
	sequence := n % 500 * 2
	if p.Sex == Male {
		sequence++
	}
	d := p.BirthDate
	first := fmt.Sprintf("99%04d%04d%02d%02d%03d", n/500, d.Year, int(d.Month), d.Day, sequence)
	return first + string(CheckDigit(first))
}
