package demo

import (
	"github.com/hufu-id/hufu/roster"
)

// The names of the doors.
const (
	readingRoom = "reading-room"
	clinic      = "clinic"
	bank        = "bank"
)

// doorNames lists the doors in the order of the story.
var doorNames = []string{readingRoom, clinic, bank}

// mayEnter says whom a door must let in, straight from the register: plain code that shares nothing
// with the contracts, so that the two can disagree.
func mayEnter(door string, p *roster.Person, today roster.Date) bool {
	adult := p.BirthDate.AgeOn(today) >= 18
	switch door {
	case readingRoom:
		return adult
	case clinic:
		resident := p.Region == "110000" || p.Region == "310000"
		return resident && (adult || p.Guardian != "")
	case bank:
		return adult && p.AssuranceLevel == "high" && p.Nationality == "CHN"
	}
	return false
}
