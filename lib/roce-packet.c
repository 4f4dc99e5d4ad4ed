/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Headers of RoCEv2 packets: building and parsing. */

#include <config.h>

#include "roce-packet.h"

#include <string.h>

#include "byte-order.h"
#include "unaligned.h"
#include "util.h"

/* Bits of the Base Transport Header. */
#define BTH_SOLICITED 0x80      /* Byte 1. */
#define BTH_MIG_REQ 0x40        /* Byte 1.  Network adapters expect it set. */
#define BTH_PAD_SHIFT 4         /* Byte 1. */
#define BTH_PAD_MASK 0x3
#define BTH_VERSION_MASK 0xf    /* Byte 1. */
#define BTH_ACK_REQ 0x80        /* Byte 8. */

/* The top bit of a partition key only tells full members from limited ones. */
#define PKEY_MASK 0x7fff

#define SEND(NAME, PAYLOAD, STARTS, ENDS, IMM)                          \
    { NAME, ROCE_OP_SEND, ROCE_PAYLOAD_##PAYLOAD, STARTS, ENDS,         \
      false, false, IMM }
#define REFUSED(NAME)                                                   \
    { NAME, ROCE_OP_REFUSED, ROCE_PAYLOAD_ANY, true, true,              \
      false, false, false }
#define DATAGRAM(NAME, IMM)                                             \
    { NAME, ROCE_OP_DATAGRAM, ROCE_PAYLOAD_ANY, true, true,             \
      true, false, IMM }

/* Replies to what we never ask for (0x0d to 0x10, 0x12) and other transports
 * stay unknown. */
const struct roce_opcode roce_opcodes[256] = {
    /*                                       payload  start  end    imm  */
    [0x00] = SEND("RC_SEND_FIRST",           FULL,    true,  false, false),
    [0x01] = SEND("RC_SEND_MIDDLE",          FULL,    false, false, false),
    [0x02] = SEND("RC_SEND_LAST",            SOME,    false, true,  false),
    [0x03] = SEND("RC_SEND_LAST_IMM",        SOME,    false, true,  true),
    [0x04] = SEND("RC_SEND_ONLY",            ANY,     true,  true,  false),
    [0x05] = SEND("RC_SEND_ONLY_IMM",        ANY,     true,  true,  true),
    [0x06] = REFUSED("RC_WRITE_FIRST"),
    [0x07] = REFUSED("RC_WRITE_MIDDLE"),
    [0x08] = REFUSED("RC_WRITE_LAST"),
    [0x09] = REFUSED("RC_WRITE_LAST_IMM"),
    [0x0a] = REFUSED("RC_WRITE_ONLY"),
    [0x0b] = REFUSED("RC_WRITE_ONLY_IMM"),
    [0x0c] = REFUSED("RC_READ_REQUEST"),
    [0x11] = { "RC_ACK", ROCE_OP_ACK, ROCE_PAYLOAD_NONE, true, true,
               false, true, false },
    [0x13] = REFUSED("RC_COMPARE_SWAP"),
    [0x14] = REFUSED("RC_FETCH_ADD"),
    [0x16] = REFUSED("RC_SEND_LAST_INV"),
    [0x17] = REFUSED("RC_SEND_ONLY_INV"),
    [0x64] = DATAGRAM("UD_SEND_ONLY",                                false),
    [0x65] = DATAGRAM("UD_SEND_ONLY_IMM",                            true),
    [0x81] = { "CNP", ROCE_OP_CNP, ROCE_PAYLOAD_ANY, true, true,
               false, false, false },
};

/* Returns true if a packet of type 'op' may carry 'payload_len' bytes where
 * the path MTU is 'mtu'. */
bool
roce_opcode_fits(const struct roce_opcode *op, size_t payload_len,
                 uint16_t mtu)
{
    switch (op->payload) {
    case ROCE_PAYLOAD_NONE:
        return !payload_len;
    case ROCE_PAYLOAD_ANY:
        return payload_len <= mtu;
    case ROCE_PAYLOAD_SOME:
        return payload_len && payload_len <= mtu;
    case ROCE_PAYLOAD_FULL:
        return payload_len == mtu;
    }
    OVS_NOT_REACHED();
}

/* Returns how long the sender of an RNR NAK with 'syndrome' wants us to wait,
 * in microseconds. */
uint32_t
roce_rnr_usec(uint8_t syndrome)
{
    static const uint32_t usecs[32] = {
        655360, 10, 20, 30, 40, 60, 80, 120,
        160, 240, 320, 480, 640, 960, 1280, 1920,
        2560, 3840, 5120, 7680, 10240, 15360, 20480, 30720,
        40960, 61440, 81920, 122880, 163840, 245760, 327680, 491520,
    };

    return usecs[syndrome & 0x1f];
}

const char *
roce_parse_result_to_string(enum roce_parse_result result)
{
    static const char *const names[] = {
#define ROCE_PARSE_RESULT(NAME, TEXT) TEXT,
        ROCE_PARSE_RESULTS
#undef ROCE_PARSE_RESULT
    };

    return result < ROCE_PARSE_N ? names[result] : "unknown";
}

static uint32_t
get_be24(const uint8_t *p)
{
    return p[0] << 16 | p[1] << 8 | p[2];
}

static void
put_be24(uint8_t *p, uint32_t value)
{
    p[0] = value >> 16;
    p[1] = value >> 8;
    p[2] = value;
}

static uint16_t
get_be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t
get_be32(const uint8_t *p)
{
    return ntohl(get_unaligned_be32(ALIGNED_CAST(const ovs_be32 *, p)));
}

static void
put_be32(uint8_t *p, uint32_t value)
{
    put_unaligned_be32(ALIGNED_CAST(ovs_be32 *, p), htonl(value));
}

static void
parse_bth(const uint8_t *bth, struct roce_packet *packet)
{
    packet->opcode = bth[0];
    packet->op = &roce_opcodes[bth[0]];
    packet->solicited = bth[1] & BTH_SOLICITED;
    packet->dst_qpn = get_be24(bth + 5);
    packet->ack_req = bth[8] & BTH_ACK_REQ;
    packet->psn = get_be24(bth + 9);
}

/* Parses the extended headers that 'packet->op' calls for, which the caller
 * knows to be there, and returns the byte behind them. */
static const uint8_t *
parse_extended(const uint8_t *p, struct roce_packet *packet)
{
    const struct roce_opcode *op = packet->op;

    if (op->deth) {
        packet->qkey = get_be32(p);
        packet->src_qpn = get_be24(p + 5);
        p += ROCE_DETH_LEN;
    }
    if (op->aeth) {
        packet->syndrome = p[0];
        packet->msn = get_be24(p + 1);
        p += ROCE_AETH_LEN;
    }
    if (op->imm) {
        packet->imm = get_unaligned_be32(ALIGNED_CAST(const ovs_be32 *, p));
        p += ROCE_IMM_LEN;
    }
    return p;
}

/* Parses the 'len' bytes of 'udp_payload' into '*packet', whose members that
 * belong to absent headers are zero.  'packet->payload' points into
 * 'udp_payload'.  On any result but ROCE_PARSE_OK, '*packet' is undefined. */
enum roce_parse_result
roce_packet_parse(const void *udp_payload, size_t len,
                  struct roce_packet *packet)
{
    const uint8_t *bth = udp_payload;
    size_t hdr_len, body_len, pad;

    if (len < ROCE_BTH_LEN + ROCE_ICRC_LEN) {
        return ROCE_PARSE_SHORT;
    } else if (len > ROCE_MAX_UDP_LEN) {
        return ROCE_PARSE_LONG;
    } else if (bth[1] & BTH_VERSION_MASK) {
        return ROCE_PARSE_VERSION;
    } else if ((get_be16(bth + 2) & PKEY_MASK) != PKEY_MASK) {
        return ROCE_PARSE_PKEY;
    }

    memset(packet, 0, sizeof *packet);
    parse_bth(bth, packet);
    if (packet->op->kind == ROCE_OP_UNKNOWN) {
        return ROCE_PARSE_OPCODE;
    }

    hdr_len = roce_opcode_hdr_len(packet->op);
    if (len < hdr_len + ROCE_ICRC_LEN) {
        return ROCE_PARSE_SHORT;
    }

    body_len = len - hdr_len - ROCE_ICRC_LEN;
    pad = (bth[1] >> BTH_PAD_SHIFT) & BTH_PAD_MASK;
    if (body_len % 4 || pad > body_len) {
        return ROCE_PARSE_PADDING;
    } else if (body_len && packet->op->payload == ROCE_PAYLOAD_NONE) {
        return ROCE_PARSE_PAYLOAD;
    }
    packet->payload = parse_extended(bth + ROCE_BTH_LEN, packet);
    packet->payload_len = body_len - pad;
    return ROCE_PARSE_OK;
}

static void
build_bth(const struct roce_packet *packet, uint8_t pad, uint8_t *bth)
{
    bth[0] = packet->opcode;
    bth[1] = ((packet->solicited ? BTH_SOLICITED : 0)
              | BTH_MIG_REQ | pad << BTH_PAD_SHIFT);
    bth[2] = ROCE_PKEY_DEFAULT >> 8;
    bth[3] = ROCE_PKEY_DEFAULT & 0xff;
    bth[4] = 0;
    put_be24(bth + 5, packet->dst_qpn);
    bth[8] = packet->ack_req ? BTH_ACK_REQ : 0;
    put_be24(bth + 9, packet->psn);
}

static void
build_extended(const struct roce_packet *packet, uint8_t *p)
{
    const struct roce_opcode *op = &roce_opcodes[packet->opcode];

    if (op->deth) {
        put_be32(p, packet->qkey);
        p[4] = 0;
        put_be24(p + 5, packet->src_qpn);
        p += ROCE_DETH_LEN;
    }
    if (op->aeth) {
        p[0] = packet->syndrome;
        put_be24(p + 1, packet->msn);
        p += ROCE_AETH_LEN;
    }
    if (op->imm) {
        put_unaligned_be32(ALIGNED_CAST(ovs_be32 *, p), packet->imm);
    }
}

/* Builds 'packet', whose 'op' is ignored, into '*tx', complete but for the
 * ICRC.  'packet->payload_len' must not exceed ROCE_MAX_MTU. */
void
roce_packet_build(const struct roce_packet *packet, struct roce_tx *tx)
{
    uint8_t pad = PAD_SIZE(packet->payload_len, 4);

    tx->hdr_len = roce_opcode_hdr_len(&roce_opcodes[packet->opcode]);
    tx->trailer_len = pad + ROCE_ICRC_LEN;
    tx->payload = packet->payload;
    tx->payload_len = packet->payload_len;
    memset(tx->trailer, 0, sizeof tx->trailer);
    build_bth(packet, pad, tx->hdr);
    build_extended(packet, tx->hdr + ROCE_BTH_LEN);
}

/* Copies 'tx' as one UDP payload into the 'size' bytes of 'buf' and returns
 * its length, or 0 if there is not enough room. */
size_t
roce_tx_copy(const struct roce_tx *tx, void *buf_, size_t size)
{
    size_t len = roce_tx_len(tx);
    uint8_t *buf = buf_;

    if (len > size) {
        return 0;
    }
    memcpy(buf, tx->hdr, tx->hdr_len);
    buf += tx->hdr_len;
    if (tx->payload_len) {
        memcpy(buf, tx->payload, tx->payload_len);
        buf += tx->payload_len;
    }
    memcpy(buf, tx->trailer, tx->trailer_len);
    return len;
}

/* Returns the UDP source port for packets from 'local_qpn' to 'remote_qpn'.
 * It does not vary, to keep packets in order, and spreads connections over
 * paths and receive queues. */
ovs_be16
roce_flow_sport(uint32_t local_qpn, uint32_t remote_qpn)
{
    uint64_t v = (uint64_t) local_qpn * remote_qpn;
    uint32_t label;

    v ^= v >> 20;
    v ^= v >> 40;
    label = v & 0xfffff;
    return htons(0xc000 | ((label & 0x3fff) ^ (label >> 14)));
}
