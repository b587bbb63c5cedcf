#include "textflag.h"

// func set()
TEXT ·set(SB), NOSPLIT, $0-0
	MOVQ runtime·vdsoClockgettimeSym(SB), AX
	MOVQ AX, ·realClockGettime(SB)
	LEAQ ·skewed(SB), AX
	MOVQ AX, runtime·vdsoClockgettimeSym(SB)
	RET

// int clock_gettime(clockid_t DI, struct timespec *SI), by the C calling convention.
TEXT ·skewed(SB), NOSPLIT|NOFRAME, $0
	PUSHQ SI
	PUSHQ DI
	SUBQ  $8, SP
	MOVQ  ·realClockGettime(SB), AX
	CALL  AX
	ADDQ  $8, SP
	POPQ  DI
	POPQ  SI
	CMPL  DI, $0 // CLOCK_REALTIME
	JNE   done
	MOVQ  ·skewSeconds(SB), CX
	ADDQ  CX, 0(SI)

done:
	RET
