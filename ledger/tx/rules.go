package tx

import "github.com/hufu-id/hufu"

// Rules that the form of a transaction is refused by.
const (
	RuleTooLarge          hufu.Rule = "tx.too-large"
	RuleMalformed         hufu.Rule = "tx.malformed"          // not the deterministic CBOR of a COSE_Sign message
	RuleBodyHeader        hufu.Rule = "tx.body-header"        // the message's own protected header is not empty
	RuleUnprotectedHeader hufu.Rule = "tx.unprotected-header" // an unprotected header is not empty
	RuleSignatureHeader   hufu.Rule = "tx.signature-header"   // a signature's protected header is not {alg, kid}
	RuleSignatureCount    hufu.Rule = "tx.signature-count"
	RuleSignatureOrder    hufu.Rule = "tx.signature-order"   // a signer twice, or not the author first and by key
	RuleForeignSignature  hufu.Rule = "tx.foreign-signature" // by neither author nor sponsor
	RuleNetwork           hufu.Rule = "tx.wrong-network"
	RuleKind              hufu.Rule = "tx.unknown-kind"
	RuleBody              hufu.Rule = "tx.invalid-body"
	RuleInception         hufu.Rule = "tx.wrong-inception-id" // a new identifier is not the digest of its inception
	RuleSponsor           hufu.Rule = "tx.invalid-sponsor"    // the author sponsors itself
)
