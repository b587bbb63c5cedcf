package tx

// Limits of transactions. They bound what one transaction may cost a node; each is far above what
// the uses in mind need.
const (
	MaxSize       = 64 << 10 // bytes of a whole transaction: 11,000 status changes, or a contract's text and room
	MaxSignatures = 8        // an author's threshold and a sponsor's, each at most MaxThreshold
	MaxThreshold  = 4        // signatures wanted of one identifier, so that two fit in MaxSignatures

	MaxControlKeys = 8   // of one identifier at a time: five officers and spares
	MaxMethods     = 16  // added or removed in one transaction
	MaxServices    = 8   // endpoints of one identifier
	MaxFragment    = 32  // bytes of a method's or service's fragment
	MaxServiceType = 64  // bytes
	MaxURI         = 256 // bytes of any URI: DNS allows a host 253, but real ones are below 100
	SaltLen        = 16  // bytes: 128 bits make an identifier unguessable from its keys

	// The time of blocks is what the validators say it is: with blocks counted as well, a jump of their clocks
	// alone does not end a recovery's delay, and under load, with 50 blocks a second, time does not.
	MaxGuardians           = 16         // of one identifier: a family, or an organisation's board
	MinRecoveryBlocks      = 10         // whoever reads block by block sees it coming
	MaxRecoveryBlocks      = 1 << 26    // two weeks of the fastest blocks, two years of one a second
	MaxRecoverySeconds     = 90 * 86400 // a longer wait is no recovery
	DefaultRecoverySeconds = 86400      // least delay of a network that says nothing else: a day to notice

	MaxActions = 16  // of one proposal: a consortium's founding round fits
	MaxTitle   = 200 // bytes of a proposal's title: some 60 Chinese characters
	MaxName    = 120 // bytes of a member's name

	MaxVCT         = 256          // bytes of a credential type's name, usually a URI
	MaxLanguages   = 32           // displays of one thing
	MaxLanguageTag = 35           // bytes (RFC 5646 §4.4.1 asks for room for 35)
	MaxLabel       = 200          // bytes of a display name or label
	MaxDescription = 1000         // bytes
	MaxClaims      = 128          // of one credential type: the largest known card has under 60
	MaxClaimDepth  = 8            // components of a claim's path
	MaxClaimName   = 64           // bytes of one component
	MaxGrantTypes  = 32           // credential types in one accreditation
	MaxDelegate    = 3            // further levels an accreditation may be passed on: a chain has at most 4 links
	MaxUnixTime    = 253402300799 // 9999-12-31T23:59:59Z, the last second that RFC 3339 can write

	MaxStatusSize    = 1 << 24 // entries of one list: 4 MiB of two-bit entries
	MaxStatusChanges = 16      // groups (status, reason) in one transaction

	MaxContractName = 64       // bytes
	MaxContractText = 32 << 10 // bytes of a contract's file
)
