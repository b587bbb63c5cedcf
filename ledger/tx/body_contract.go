package tx

import "unicode/utf8"

// ContractPublish publishes the next version of one of the author's access contracts.
type ContractPublish struct {
	Name    string `cbor:"1,keyasint"`
	Version uint32 `cbor:"2,keyasint"` // from 1, consecutive
	Text    string `cbor:"3,keyasint"` // the contract's file (package contract)
}

// ContractRetire ends one of the author's contracts for good.
type ContractRetire struct {
	Name string `cbor:"1,keyasint"`
}

// Kind is [KindContractPublish].
func (*ContractPublish) Kind() Kind { return KindContractPublish }

// Kind is [KindContractRetire].
func (*ContractRetire) Kind() Kind { return KindContractRetire }

// Validate implements [Body].
func (b *ContractPublish) Validate() error {
	if err := checkContractName(b.Name); err != nil {
		return err
	}
	switch {
	case b.Version == 0:
		return invalid("versions count from 1")
	case b.Text == "" || len(b.Text) > MaxContractText:
		return invalid("a contract of %d bytes, not 1 to %d", len(b.Text), MaxContractText)
	case !utf8.ValidString(b.Text):
		return invalid("a contract that is not UTF-8")
	}
	return nil
}

// Validate implements [Body].
func (b *ContractRetire) Validate() error { return checkContractName(b.Name) }

func checkContractName(n string) error {
	if n == "" || len(n) > MaxContractName || n[0] == '-' || n[len(n)-1] == '-' {
		return invalid("a contract's name has 1 to %d characters and neither begins nor ends with -", MaxContractName)
	}
	for _, c := range []byte(n) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return invalid("a contract's name has a character other than a-z, 0-9 and -")
		}
	}
	return nil
}
