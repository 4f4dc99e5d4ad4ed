/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Headers of RoCEv2 packets. */

#ifndef ROCE_PACKET_H
#define ROCE_PACKET_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/types.h"
#include "openvswitch/util.h"

/* RoCEv2 packets
 * ==============
 *
 * A RoCEv2 packet is the payload of a UDP datagram to port 4791:
 *
 *     BTH (12) | extended headers | payload | padding (0 to 3) | ICRC (4)
 *
 * The Base Transport Header names an opcode, and the opcode alone says which
 * extended headers follow.  Here that knowledge is a table, 'roce_opcodes':
 * parsing, building and judging a packet read its columns and know no opcode
 * by name.
 *
 * roce_packet_parse() turns bytes into a struct roce_packet, which holds host
 * byte order and no reserved bits, and roce_packet_build() does the reverse.
 * Nothing else in the RoCE code sees the byte order of these headers.
 *
 * The parser trusts nothing: every length is checked before use, and whatever
 * does not fit is refused with a reason that has a name.  It does not check
 * the ICRC, which covers IP and UDP headers as well; see roce-icrc.h.
 *
 * Thread-safety: these are pure functions of their arguments. */

#define ROCE_UDP_PORT 4791

#define ROCE_BTH_LEN 12
#define ROCE_DETH_LEN 8
#define ROCE_AETH_LEN 4
#define ROCE_IMM_LEN 4
#define ROCE_ICRC_LEN 4
#define ROCE_MAX_HDR_LEN (ROCE_BTH_LEN + ROCE_DETH_LEN + ROCE_IMM_LEN)

#define ROCE_MIN_MTU 256
#define ROCE_MAX_MTU 4096
#define ROCE_MAX_UDP_LEN (ROCE_MAX_HDR_LEN + ROCE_MAX_MTU + ROCE_ICRC_LEN)

#define ROCE_PKEY_DEFAULT 0xffff

#define ROCE_QPN_MASK 0xffffff
#define ROCE_QPN_GSI 1          /* Carries management datagrams. */
#define ROCE_QPN_FIRST 16       /* Lower numbers are reserved. */

/* Packet sequence numbers
 * =======================
 *
 * They have 24 bits and wrap.  Two of them compare by their signed distance,
 * which is right as long as they are less than 2**23 apart. */

#define ROCE_PSN_MASK 0xffffff

static inline uint32_t
roce_psn_add(uint32_t psn, uint32_t n)
{
    return (psn + n) & ROCE_PSN_MASK;
}

/* Returns the signed distance from 'b' to 'a': positive if 'a' is later. */
static inline int32_t
roce_psn_diff(uint32_t a, uint32_t b)
{
    return (int32_t) ((a - b) << 8) / 256;
}

/* Opcodes
 * ======= */

/* The opcodes that this implementation sends. */
enum roce_opcode_value {
    ROCE_RC_SEND_FIRST = 0x00,
    ROCE_RC_SEND_MIDDLE = 0x01,
    ROCE_RC_SEND_LAST = 0x02,
    ROCE_RC_SEND_ONLY = 0x04,
    ROCE_RC_ACK = 0x11,
    ROCE_UD_SEND_ONLY = 0x64,
};

/* What a packet is for. */
enum roce_op_kind {
    ROCE_OP_UNKNOWN = 0,        /* Not an opcode, or not for us: ignore. */
    ROCE_OP_SEND,               /* RC request that we serve. */
    ROCE_OP_REFUSED,            /* RC request that gets an error reply. */
    ROCE_OP_ACK,                /* RC reply. */
    ROCE_OP_DATAGRAM,           /* UD request. */
    ROCE_OP_CNP,                /* Congestion notification. */
};

/* How long the payload must be. */
enum roce_op_payload {
    ROCE_PAYLOAD_NONE = 0,      /* No payload. */
    ROCE_PAYLOAD_ANY,           /* At most the path MTU. */
    ROCE_PAYLOAD_SOME,          /* Likewise, but not empty. */
    ROCE_PAYLOAD_FULL,          /* Exactly the path MTU. */
};

struct roce_opcode {
    const char *name;           /* Null only if 'kind' is unknown. */
    enum roce_op_kind kind;
    enum roce_op_payload payload;
    bool starts;                /* First packet of a message? */
    bool ends;                  /* Last packet of a message? */
    bool deth, aeth, imm;       /* Extended headers, in this order. */
};

extern const struct roce_opcode roce_opcodes[256];

/* Returns the length of the headers of 'op', BTH included. */
static inline size_t
roce_opcode_hdr_len(const struct roce_opcode *op)
{
    return ROCE_BTH_LEN + op->deth * ROCE_DETH_LEN + op->aeth * ROCE_AETH_LEN
           + op->imm * ROCE_IMM_LEN;
}

bool roce_opcode_fits(const struct roce_opcode *, size_t payload_len,
                      uint16_t mtu);

/* The syndrome of an acknowledgment
 * ================================= */

#define ROCE_SYN_ACK 0x1f       /* ACK that carries no credits. */
#define ROCE_SYN_RNR 0x20       /* Receiver not ready, plus a timer code. */
#define ROCE_SYN_NAK_SEQ 0x60
#define ROCE_SYN_NAK_INVALID 0x61
#define ROCE_SYN_NAK_ACCESS 0x62
#define ROCE_SYN_NAK_OPERATION 0x63

enum roce_syndrome_kind {
    ROCE_SYNDROME_ACK,
    ROCE_SYNDROME_RNR,
    ROCE_SYNDROME_RESERVED,
    ROCE_SYNDROME_NAK,
};

static inline enum roce_syndrome_kind
roce_syndrome_kind(uint8_t syndrome)
{
    return syndrome & 0x80 ? ROCE_SYNDROME_RESERVED : syndrome >> 5;
}

uint32_t roce_rnr_usec(uint8_t syndrome);

/* Packets
 * ======= */

struct roce_packet {
    const struct roce_opcode *op; /* Row 'opcode' of roce_opcodes. */
    uint8_t opcode;
    bool solicited;             /* Sender asks for an event. */
    bool ack_req;               /* Sender asks for an acknowledgment. */
    uint32_t dst_qpn;
    uint32_t psn;

    /* Datagram header, if 'op->deth'. */
    uint32_t qkey;
    uint32_t src_qpn;

    /* Acknowledgment header, if 'op->aeth'. */
    uint8_t syndrome;
    uint32_t msn;

    /* Immediate data, if 'op->imm'. */
    ovs_be32 imm;

    /* Without headers, padding and ICRC. */
    const uint8_t *payload;
    size_t payload_len;
};

/* Why a packet was refused. */
#define ROCE_PARSE_RESULTS                              \
    ROCE_PARSE_RESULT(OK, "ok")                         \
    ROCE_PARSE_RESULT(SHORT, "too short")               \
    ROCE_PARSE_RESULT(LONG, "too long")                 \
    ROCE_PARSE_RESULT(VERSION, "bad transport version") \
    ROCE_PARSE_RESULT(OPCODE, "unknown opcode")         \
    ROCE_PARSE_RESULT(PKEY, "bad partition key")        \
    ROCE_PARSE_RESULT(PADDING, "bad padding")           \
    ROCE_PARSE_RESULT(PAYLOAD, "unexpected payload")

enum roce_parse_result {
#define ROCE_PARSE_RESULT(NAME, TEXT) ROCE_PARSE_##NAME,
    ROCE_PARSE_RESULTS
#undef ROCE_PARSE_RESULT
    ROCE_PARSE_N
};

const char *roce_parse_result_to_string(enum roce_parse_result);

enum roce_parse_result roce_packet_parse(const void *udp_payload, size_t len,
                                         struct roce_packet *);

/* A packet that is ready to be sent, except for its ICRC.
 *
 * What goes into the datagram is 'hdr_len' bytes of 'hdr', 'payload_len' bytes
 * that 'payload' points to, which are not copied and must stay as they are
 * until the packet is sent, and 'trailer_len' bytes of 'trailer'.  The latter
 * is what roce_icrc_seal() fills in, last of all. */
struct roce_tx {
    uint8_t hdr[ROCE_MAX_HDR_LEN];
    uint8_t hdr_len;
    uint8_t trailer_len;
    uint16_t payload_len;
    const uint8_t *payload;
    uint8_t trailer[8];
};
BUILD_ASSERT_DECL(sizeof(struct roce_tx) <= 64);

void roce_packet_build(const struct roce_packet *, struct roce_tx *);

/* Returns the length of the UDP payload that 'tx' makes. */
static inline size_t
roce_tx_len(const struct roce_tx *tx)
{
    return tx->hdr_len + tx->payload_len + tx->trailer_len;
}

size_t roce_tx_copy(const struct roce_tx *, void *buf, size_t size);

/* Flows
 * ===== */

/* The addresses and ports of one direction of traffic.  An IPv4 address is
 * kept in its IPv4-mapped form. */
struct roce_flow {
    struct in6_addr src;
    struct in6_addr dst;
    ovs_be16 sport;
    ovs_be16 dport;
};

static inline bool
roce_flow_equals(const struct roce_flow *a, const struct roce_flow *b)
{
    return (a->sport == b->sport && a->dport == b->dport
            && IN6_ARE_ADDR_EQUAL(&a->src, &b->src)
            && IN6_ARE_ADDR_EQUAL(&a->dst, &b->dst));
}

ovs_be16 roce_flow_sport(uint32_t local_qpn, uint32_t remote_qpn);

#endif /* roce-packet.h */
