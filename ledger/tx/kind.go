package tx

// Kind names what a transaction does, "<module>.<verb>".
type Kind string

// The kinds, each with its body's type.
const (
	KindDIDCreate       Kind = "did.create"       // [DIDCreate]
	KindDIDRotate       Kind = "did.rotate"       // [DIDRotate]
	KindDIDUpdate       Kind = "did.update"       // [DIDUpdate]
	KindDIDDeactivate   Kind = "did.deactivate"   // [DIDDeactivate]
	KindDIDRecover      Kind = "did.recover"      // [DIDRecover]
	KindDIDVeto         Kind = "did.veto"         // [DIDVeto]
	KindDIDFinish       Kind = "did.finish"       // [DIDFinish]
	KindGovPropose      Kind = "gov.propose"      // [GovPropose]
	KindGovVote         Kind = "gov.vote"         // [GovVote]
	KindTrustType       Kind = "trust.type"       // [TrustType]
	KindTrustAccredit   Kind = "trust.accredit"   // [TrustAccredit]
	KindTrustWithdraw   Kind = "trust.withdraw"   // [TrustWithdraw]
	KindStatusOpen      Kind = "status.open"      // [StatusOpen]
	KindStatusSet       Kind = "status.set"       // [StatusSet]
	KindContractPublish Kind = "contract.publish" // [ContractPublish]
	KindContractRetire  Kind = "contract.retire"  // [ContractRetire]
	KindAnchorCommit    Kind = "anchor.commit"    // [AnchorCommit]
	KindAnchorReport    Kind = "anchor.report"    // [AnchorReport]
)

// Kinds lists all kinds in a fixed order.
func Kinds() []Kind {
	return []Kind{
		KindDIDCreate, KindDIDRotate, KindDIDUpdate, KindDIDDeactivate,
		KindDIDRecover, KindDIDVeto, KindDIDFinish, KindGovPropose, KindGovVote,
		KindTrustType, KindTrustAccredit, KindTrustWithdraw, KindStatusOpen, KindStatusSet,
		KindContractPublish, KindContractRetire, KindAnchorCommit, KindAnchorReport,
	}
}

// Body is what a transaction of one kind says. Bodies are pointers to the types in this package.
type Body interface {
	// Kind is the kind whose body this is.
	Kind() Kind
	// Validate refuses, by [RuleBody], what can be seen to be wrong without the state.
	Validate() error
}

// NewBody returns an empty body for k, or nil when there is no such kind.
func NewBody(k Kind) Body {
	switch k {
	case KindDIDCreate:
		return new(DIDCreate)
	case KindDIDRotate:
		return new(DIDRotate)
	case KindDIDUpdate:
		return new(DIDUpdate)
	case KindDIDDeactivate:
		return new(DIDDeactivate)
	case KindDIDRecover:
		return new(DIDRecover)
	case KindDIDVeto:
		return new(DIDVeto)
	case KindDIDFinish:
		return new(DIDFinish)
	case KindGovPropose:
		return new(GovPropose)
	case KindGovVote:
		return new(GovVote)
	case KindTrustType:
		return new(TrustType)
	case KindTrustAccredit:
		return new(TrustAccredit)
	case KindTrustWithdraw:
		return new(TrustWithdraw)
	case KindStatusOpen:
		return new(StatusOpen)
	case KindStatusSet:
		return new(StatusSet)
	case KindContractPublish:
		return new(ContractPublish)
	case KindContractRetire:
		return new(ContractRetire)
	case KindAnchorCommit:
		return new(AnchorCommit)
	case KindAnchorReport:
		return new(AnchorReport)
	}
	return nil
}
