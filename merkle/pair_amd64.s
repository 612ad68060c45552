#include "textflag.h"

// Two SHA-256 compressions with the SHA extensions, interleaved. One alone waits
// most of the time: SHA256RNDS2 takes the state of the one before it, 4 cycles
// later, while the unit could begin another one every other cycle.
//
// Each lane keeps its state and its window of 16 words in six registers; X0 is
// what SHA256RNDS2 takes its words from without being told, so both lanes use
// it in turn (the processor renames it).
//
//	      ABEF  CDGH  words        scratch
//	lane a  X1    X2    X3 X4 X5 X6    X13
//	lane b  X7    X8    X9 X10 X11 X12 X14
//
// X15 turns the words of a block into the order of the processor.

// ROUNDS4 does four rounds of both lanes on their words.
#define ROUNDS4(i, wa, wb) \
	MOVO wa, X13; \
	MOVO wb, X14; \
	PADDD (i*16)(AX), X13; \
	PADDD (i*16)(AX), X14; \
	MOVO X13, X0; \
	SHA256RNDS2 X0, X1, X2; \
	MOVO X14, X0; \
	SHA256RNDS2 X0, X7, X8; \
	PSHUFD $0x0e, X13, X0; \
	SHA256RNDS2 X0, X2, X1; \
	PSHUFD $0x0e, X14, X0; \
	SHA256RNDS2 X0, X8, X7

// SCHEDULE completes the next four words of one lane, which SHA256MSG1 began:
// the words seven before them, and what follows from w, the last four.
#define SCHEDULE(last, w, next, scratch) \
	MOVO w, scratch; \
	PALIGNR $4, last, scratch; \
	PADDD scratch, next; \
	SHA256MSG2 w, next

// LOAD reads four words of a block.
#define LOAD(i, p, w) \
	MOVOU (i*16)(p), w; \
	PSHUFB X15, w

// FIRST does the rounds 4i to 4i+3 on words that come from the block, and begins
// those that replace the words before them.
#define FIRST(i, a, alast, b, blast) \
	LOAD(i, SI, a); \
	LOAD(i, DI, b); \
	ROUNDS4(i, a, b); \
	SHA256MSG1 a, alast; \
	SHA256MSG1 b, blast

// MIDDLE does the rounds 4i to 4i+3, completes the words after them and begins
// those that replace the words before them.
#define MIDDLE(i, alast, a, anext, blast, b, bnext) \
	ROUNDS4(i, a, b); \
	SCHEDULE(alast, a, anext, X13); \
	SCHEDULE(blast, b, bnext, X14); \
	SHA256MSG1 a, alast; \
	SHA256MSG1 b, blast

// LATE is MIDDLE where no words begin any more.
#define LATE(i, alast, a, anext, blast, b, bnext) \
	ROUNDS4(i, a, b); \
	SCHEDULE(alast, a, anext, X13); \
	SCHEDULE(blast, b, bnext, X14)

// func compressPair(a, b *state, p, q *byte, blocks int)
TEXT ·compressPair(SB), NOSPLIT, $64-40
	MOVQ a+0(FP), R8
	MOVQ b+8(FP), R9
	MOVQ p+16(FP), SI
	MOVQ q+24(FP), DI
	MOVQ blocks+32(FP), CX
	LEAQ sha256K<>(SB), AX
	MOVOU wordOrder<>(SB), X15
	MOVOU 0(R8), X1
	MOVOU 16(R8), X2
	MOVOU 0(R9), X7
	MOVOU 16(R9), X8
	TESTQ CX, CX
	JZ done

block:
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	LOAD(0, SI, X3)
	LOAD(0, DI, X9)
	ROUNDS4(0, X3, X9)
	FIRST(1, X4, X3, X10, X9)
	FIRST(2, X5, X4, X11, X10)
	LOAD(3, SI, X6)
	LOAD(3, DI, X12)
	MIDDLE(3, X5, X6, X3, X11, X12, X9)
	MIDDLE(4, X6, X3, X4, X12, X9, X10)
	MIDDLE(5, X3, X4, X5, X9, X10, X11)
	MIDDLE(6, X4, X5, X6, X10, X11, X12)
	MIDDLE(7, X5, X6, X3, X11, X12, X9)
	MIDDLE(8, X6, X3, X4, X12, X9, X10)
	MIDDLE(9, X3, X4, X5, X9, X10, X11)
	MIDDLE(10, X4, X5, X6, X10, X11, X12)
	MIDDLE(11, X5, X6, X3, X11, X12, X9)
	MIDDLE(12, X6, X3, X4, X12, X9, X10)
	LATE(13, X3, X4, X5, X9, X10, X11)
	LATE(14, X4, X5, X6, X10, X11, X12)
	ROUNDS4(15, X6, X12)

	MOVOU 0(SP), X3
	MOVOU 16(SP), X4
	MOVOU 32(SP), X9
	MOVOU 48(SP), X10
	PADDD X3, X1
	PADDD X4, X2
	PADDD X9, X7
	PADDD X10, X8

	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ block

	MOVOU X1, 0(R8)
	MOVOU X2, 16(R8)
	MOVOU X7, 0(R9)
	MOVOU X8, 16(R9)

done:
	RET

DATA wordOrder<>+0(SB)/8, $0x0405060700010203
DATA wordOrder<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL wordOrder<>(SB), RODATA|NOPTR, $16

// The constants of the rounds (FIPS 180-4, section 4.2.2).
DATA sha256K<>+0(SB)/8, $0x71374491428a2f98
DATA sha256K<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA sha256K<>+16(SB)/8, $0x59f111f13956c25b
DATA sha256K<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA sha256K<>+32(SB)/8, $0x12835b01d807aa98
DATA sha256K<>+40(SB)/8, $0x550c7dc3243185be
DATA sha256K<>+48(SB)/8, $0x80deb1fe72be5d74
DATA sha256K<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA sha256K<>+64(SB)/8, $0xefbe4786e49b69c1
DATA sha256K<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA sha256K<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA sha256K<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA sha256K<>+96(SB)/8, $0xa831c66d983e5152
DATA sha256K<>+104(SB)/8, $0xbf597fc7b00327c8
DATA sha256K<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA sha256K<>+120(SB)/8, $0x1429296706ca6351
DATA sha256K<>+128(SB)/8, $0x2e1b213827b70a85
DATA sha256K<>+136(SB)/8, $0x53380d134d2c6dfc
DATA sha256K<>+144(SB)/8, $0x766a0abb650a7354
DATA sha256K<>+152(SB)/8, $0x92722c8581c2c92e
DATA sha256K<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA sha256K<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA sha256K<>+176(SB)/8, $0xd6990624d192e819
DATA sha256K<>+184(SB)/8, $0x106aa070f40e3585
DATA sha256K<>+192(SB)/8, $0x1e376c0819a4c116
DATA sha256K<>+200(SB)/8, $0x34b0bcb52748774c
DATA sha256K<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA sha256K<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA sha256K<>+224(SB)/8, $0x78a5636f748f82ee
DATA sha256K<>+232(SB)/8, $0x8cc7020884c87814
DATA sha256K<>+240(SB)/8, $0xa4506ceb90befffa
DATA sha256K<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL sha256K<>(SB), RODATA|NOPTR, $256
