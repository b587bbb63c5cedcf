package contract

import (
	"maps"
	"slices"
)

// valueType is the type of a Cedar expression, as far as contracts use Cedar's types.
type valueType struct {
	kind    valueKind
	element *valueType       // of a Set
	entity  string           // type name of an entity
	fields  map[string]field // of a Record
	unasked *Type            // of a credential's record: the type whose other claims exist but were not asked for
}

type valueKind uint8

const (
	kindAny valueKind = iota // after a problem that was reported already
	kindBool
	kindLong
	kindString
	kindDatetime
	kindDuration
	kindSet
	kindRecord
	kindEntity
)

type field struct {
	typ      *valueType
	optional bool
}

// plain is a type without parts.
func plain(k valueKind) *valueType { return &valueType{kind: k} }

func newRecord() *valueType {
	return &valueType{kind: kindRecord, fields: make(map[string]field)}
}

// String is Cedar's word for the type.
func (t *valueType) String() string {
	switch t.kind {
	case kindBool:
		return "Bool"
	case kindLong:
		return "Long"
	case kindString:
		return "String"
	case kindDatetime:
		return "datetime"
	case kindDuration:
		return "duration"
	case kindSet:
		return "Set of " + t.element.String()
	case kindRecord:
		return "Record"
	case kindEntity:
		return t.entity
	}
	return "unknown"
}

func (t *valueType) same(o *valueType) bool {
	switch {
	case t.kind == kindAny || o.kind == kindAny:
		return true
	case t.kind != o.kind:
		return false
	case t.kind == kindSet:
		return t.element.same(o.element)
	}
	return t.entity == o.entity
}

func (t *valueType) names() []string { return slices.Sorted(maps.Keys(t.fields)) }

// insert adds a claim to a record, with the records it lies in. What holds a required claim is
// required itself.
func (t *valueType) insert(path []string, v *valueType, required bool) {
	for i, name := range path {
		f, ok := t.fields[name]
		if i == len(path)-1 {
			if !ok || f.typ.kind != kindRecord {
				f.typ = v
			}
		} else if !ok || f.typ.kind != kindRecord {
			f.typ = newRecord()
		}
		f.optional = !required && (!ok || f.optional)
		t.fields[name] = f
		t = f.typ
	}
}

// claimType is the Cedar type of a claim's value, nil for one that is unknown.
func claimType(typ string) *valueType {
	switch typ {
	case TypeString:
		return plain(kindString)
	case TypeBool:
		return plain(kindBool)
	case TypeInt:
		return plain(kindLong)
	case TypeDate:
		return plain(kindDatetime)
	case TypeObject:
		return newRecord()
	case TypeStrings:
		return &valueType{kind: kindSet, element: plain(kindString)}
	}
	return nil
}
