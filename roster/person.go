package roster

import (
	"errors"
	"fmt"
	"time"
)

// Person is one row of a register.
type Person struct {
	ResidentNumber   string // GB 11643: 17 digits and a check character
	NameZH           string // in Chinese characters
	Name             string // romanised
	Sex              string // [Male] or [Female]
	BirthDate        Date
	Address          string
	Region           string // GB/T 2260 code of the province-level region of residence
	Guardian         string // resident number of a minor's guardian, or ""
	GuardianRelation string // what the guardian is to this person, or ""
	AssuranceLevel   string // how well the registry knows who this is: one of [AssuranceLevels]
	Nationality      string // ISO 3166-1 alpha-3
}

// The values of [Person.Sex].
const (
	Male   = "male"
	Female = "female"
)

// AssuranceLevels lists the assurance levels from the lowest up.
func AssuranceLevels() []string { return []string{"low", "substantial", "high"} }

// Relations lists what a guardian can be to a ward.
func Relations() []string { return []string{"mother", "father", "grandparent", "other"} }

// AdultAge is the age in years from which a person needs no guardian (Civil Code Art. 17).
const AdultAge = 18

// Date is a day of the Gregorian calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the date of t in t's own location.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// ParseDate reads YYYY-MM-DD and refuses days that no calendar has.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse("2006-01-02", s)
	if err != nil {
		return Date{}, errors.New("not a date of the form YYYY-MM-DD")
	}
	return DateOf(t), nil
}

// String is YYYY-MM-DD.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, int(d.Month), d.Day) }

// Compare is -1, 0 or 1 as d is before, on or after o.
func (d Date) Compare(o Date) int {
	return d.time().Compare(o.time())
}

func (d Date) time() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// AgeOn is the age in completed years on a day. Whoever was born on 29 February completes a year on
// 1 March when there is no such day.
func (d Date) AgeOn(day Date) int {
	age := day.Year - d.Year
	if day.Month < d.Month || day.Month == d.Month && day.Day < d.Day {
		age--
	}
	return age
}

// weights are those of GB 11643 §A.2, i.e. 2^(17-i) mod 11 (ISO 7064 MOD 11-2).
var weights = [17]int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2}

// CheckDigit is the 18th character that belongs to the first 17 digits of a resident number (GB
// 11643, ISO 7064 MOD 11-2). It is 0 when they are not 17 digits.
func CheckDigit(first17 string) byte {
	if len(first17) != len(weights) {
		return 0
	}
	sum := 0
	for i, w := range weights {
		c := first17[i]
		if c < '0' || c > '9' {
			return 0
		}
		sum += w * int(c-'0')
	}
	return "10X98765432"[sum%11]
}

// The errors of [CheckNumber].
var (
	errNumberForm  = errors.New("not 17 digits and a check character")
	errNumberCheck = errors.New("wrong check digit")
	errNumberDate  = errors.New("digits 7 to 14 are no date")
)

// CheckNumber checks the form, the check digit and the date of a resident number, and returns the
// birth date and sex that it tells.
func CheckNumber(number string) (born Date, sex string, err error) {
	if len(number) != 18 {
		return Date{}, "", errNumberForm
	}
	switch want := CheckDigit(number[:17]); {
	case want == 0 || number[17] != 'X' && (number[17] < '0' || number[17] > '9'):
		return Date{}, "", errNumberForm
	case want != number[17]:
		return Date{}, "", errNumberCheck
	}
	t, err := time.Parse("20060102", number[6:14])
	if err != nil {
		return Date{}, "", errNumberDate
	}
	sex = Female
	if (number[16]-'0')%2 == 1 {
		sex = Male
	}
	return DateOf(t), sex, nil
}
