/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of rdma-offload. */

#undef NDEBUG
#include <config.h>

#include <assert.h>
#include <string.h>

#include "csum.h"
#include "dp-packet.h"
#include "flow.h"
#include "ovstest.h"
#include "packets.h"
#include "random.h"
#include "rdma-compat.h"
#include "rdma-msg.h"
#include "rdma-offload.h"
#include "util.h"

#define MACS "0102030405060a0b0c0d0e0f"
#define IP4(LEN, PROTO) "4500" LEN "1234000040" PROTO "0000c0000201c0000202"
#define IP6(LEN, PROTO) "60000000" LEN PROTO "40"                       \
    "20010db8000000000000000000000001" "20010db8000000000000000000000002"
#define TCP "04d200500000000100000002" "501000000000" "0000"
#define UDP "04d2005000080000"
#define SCTP "04d200500000000000000000"

#define P ORDMA_REC_L4_PARTIAL
#define I ORDMA_REC_IP_PARTIAL
#define NOT_OK false, 0, 0, 0

/* Frames, and whether what a record says of them can be.  If so, where their
 * headers are. */
static const struct {
    const char *frame;
    uint8_t flags;
    uint16_t gso_size;
    bool ok;
    uint8_t l2_len, l3_len, l4_len;
} cases[] = {
    /* Everything that can be. */
    { MACS "0800" IP4("0028", "06") TCP, P, 0, true, 14, 20, 20 },
    { MACS "0800" IP4("0028", "06") TCP, P | I, 1448, true, 14, 20, 20 },
    { MACS "0800" IP4("001c", "11") UDP, P, 0, true, 14, 20, 8 },
    { MACS "0800" IP4("0020", "84") SCTP, P, 0, true, 14, 20, 12 },
    { MACS "86dd" IP6("0014", "06") TCP, P, 1428, true, 14, 40, 20 },
    { MACS "86dd" IP6("0008", "11") UDP, P, 0, true, 14, 40, 8 },
    { MACS "81000064" "0800" IP4("0028", "06") TCP, P, 8, true, 18, 20, 20 },
    { MACS "88a80064" "86dd" IP6("0014", "06") TCP, P, 0, true, 18, 40, 20 },
    { MACS "88a80064" "81000064" "0800" IP4("0028", "06") TCP, P, 1448, true,
      22, 20, 20 },
    { MACS "0800" "4600002c123400004006" "0000c0000201c0000202" "01010101" TCP,
      P, 0, true, 14, 24, 20 },
    { MACS "0800" IP4("0014", "01"), I, 0, true, 14, 20, 0 },
    { MACS "0800" IP4("001c", "11") UDP "0000", P, 0, true, 14, 20, 8 },

    /* No header where there should be one. */
    { MACS "0800", I, 0, NOT_OK },
    { MACS "8100", P, 0, NOT_OK },
    { MACS "81000064", P, 0, NOT_OK },
    { MACS "0806" IP4("0028", "06") TCP, P, 0, NOT_OK },
    { MACS "8847" IP4("0028", "06") TCP, P, 0, NOT_OK },
    { MACS "88a80064" "81000064" "81000064" "0800" IP4("0028", "06") TCP,
      P, 0, NOT_OK },
    { MACS "86dd" IP6("0014", "06") TCP, I, 0, NOT_OK },

    /* IP headers that lie: version, header length, length, fragment. */
    { MACS "0800" "6500002812340000" "40060000c0000201c0000202" TCP,
      P, 0, NOT_OK },
    { MACS "0800" "4400002812340000" "40060000c0000201c0000202" TCP,
      P, 0, NOT_OK },
    { MACS "0800" "4f00002812340000" "40060000c0000201c0000202" TCP,
      P, 0, NOT_OK },
    { MACS "0800" IP4("0029", "06") TCP, P, 0, NOT_OK },
    { MACS "0800" IP4("0013", "06") TCP, P, 0, NOT_OK },
    { MACS "0800" IP4("0027", "06") TCP, P, 0, NOT_OK },
    { MACS "0800" "4500002812342000" "40060000c0000201c0000202" TCP,
      P, 0, NOT_OK },
    { MACS "0800" "4500002812340001" "40060000c0000201c0000202" TCP,
      P, 0, NOT_OK },
    { MACS "86dd" IP6("0015", "06") TCP, P, 0, NOT_OK },
    { MACS "86dd" IP6("0013", "06") TCP, P, 0, NOT_OK },
    { MACS "86dd" "40000000" "0014" "0640"
      "20010db8000000000000000000000001" "20010db8000000000000000000000002"
      TCP, P, 0, NOT_OK },

    /* A transport that has no checksum to finish, or no whole header. */
    { MACS "0800" IP4("0028", "01") TCP, P, 0, NOT_OK },
    { MACS "86dd" IP6("0014", "00") TCP, P, 0, NOT_OK },
    { MACS "0800" IP4("0028", "06") "04d200500000000100000002" "401000000000"
      "0000", P, 0, NOT_OK },
    { MACS "0800" IP4("0028", "06") "04d200500000000100000002" "601000000000"
      "0000", P, 0, NOT_OK },
    { MACS "0800" IP4("001b", "11") UDP, P, 0, NOT_OK },
    { MACS "0800" IP4("001f", "84") SCTP, P, 0, NOT_OK },

    /* Segments: too short, too long, or not of TCP. */
    { MACS "0800" IP4("0028", "06") TCP, P, 7, NOT_OK },
    { MACS "0800" IP4("0028", "06") TCP, P, UINT16_MAX - 40, true,
      14, 20, 20 },
    { MACS "0800" IP4("0028", "06") TCP, P, UINT16_MAX - 39, NOT_OK },
    { MACS "0800" IP4("001c", "11") UDP, P, 1448, NOT_OK },
};

/* Stores the frame of case 'i' in 'packet', and a record that says what the
 * case does in '*rec'. */
static void
get_case(size_t i, struct dp_packet *packet, struct ordma_record *rec)
{
    dp_packet_init(packet, 0);
    assert(!*dp_packet_put_hex(packet, cases[i].frame, NULL));
    *rec = (struct ordma_record) {
        .frame = dp_packet_data(packet),
        .frame_len = dp_packet_size(packet),
        .flags = cases[i].flags,
        .gso_size = cases[i].gso_size,
    };
}

static void
test_cases(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ordma_headers headers;
        struct ordma_record rec;
        struct dp_packet packet;

        get_case(i, &packet, &rec);
        if (ordma_headers_parse(&rec, &headers) != cases[i].ok
            || (cases[i].ok && (headers.l2_len != cases[i].l2_len
                                || headers.l3_len != cases[i].l3_len
                                || headers.l4_len != cases[i].l4_len))) {
            ovs_fatal(0, "case %"PRIuSIZE, i);
        }
        dp_packet_uninit(&packet);
    }
}

/* What passes has its headers inside the frame, and where OVS finds them. */
static void
check_against_ovs(const struct ordma_record *rec)
{
    struct ordma_headers headers;
    struct dp_packet packet;
    struct flow flow;

    if (!ordma_headers_parse(rec, &headers)) {
        return;
    }
    assert(headers.l2_len + headers.l3_len + headers.l4_len
           <= rec->frame_len);
    dp_packet_use_const(&packet, rec->frame, rec->frame_len);
    flow_extract(&packet, &flow);
    assert(packet.l3_ofs == headers.l2_len);
    assert(packet.l4_ofs == headers.l2_len + headers.l3_len);
    assert(!headers.l4_proto || flow.nw_proto == headers.l4_proto);
    assert(!headers.l4_proto || !(flow.nw_frag & FLOW_NW_FRAG_LATER));
}

/* Frames that are cut short or damaged anywhere.  Each is at the end of a
 * block, so that a memory checker notices a read beyond it. */
static void
test_damage(void)
{
    enum { N_DAMAGES = 2000 };

    random_set_seed(1);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ordma_record rec;
        struct dp_packet packet;
        size_t len;

        get_case(i, &packet, &rec);
        len = rec.frame_len;
        for (int j = 0; j < N_DAMAGES; j++) {
            uint8_t *frame = xmemdup(dp_packet_data(&packet), len);

            rec.frame_len = ORDMA_MIN_FRAME_LEN
                            + random_range(len - ORDMA_MIN_FRAME_LEN + 1);
            rec.frame = xmemdup(frame, rec.frame_len);
            check_against_ovs(&rec);
            free(CONST_CAST(void *, rec.frame));

            frame[random_range(len)] = random_uint8();
            frame[random_range(len)] = random_uint8();
            rec.frame = frame;
            rec.frame_len = len;
            check_against_ovs(&rec);
            free(frame);
        }
        dp_packet_uninit(&packet);
    }
}

/* Sends 'packet' and returns what is received, or null if one of both ends
 * drops it.  The caller must free it. */
static struct dp_packet *
transfer(const struct dp_packet *packet, int mtu, struct ordma_record *rec)
{
    struct dp_packet *received;

    *rec = (struct ordma_record) { .frame_len = dp_packet_size(packet) };
    if (!ordma_offload_to_record(packet, mtu, rec)) {
        return NULL;
    }
    received = dp_packet_clone_data(dp_packet_data(packet),
                                    dp_packet_size(packet));
    rec->frame = dp_packet_data(received);
    if (!ordma_offload_to_packet(rec, received)) {
        dp_packet_delete(received);
        return NULL;
    }
    return received;
}

#define DROPPED 0, 0, 0

/* What OVS notes of packets, and whether it comes out of the other end. */
static const struct {
    const char *frame;
    uint64_t ol_flags;
    uint16_t segsz;
    uint8_t rec_flags;
    uint16_t gso_size;
    uint64_t received;          /* 0: dropped, because that cannot be. */
} transfers[] = {
    { MACS "0800" IP4("0028", "06") TCP, DP_PACKET_OL_RX_L4_CKSUM_GOOD, 0,
      ORDMA_REC_L4_GOOD, 0, DP_PACKET_OL_RX_L4_CKSUM_GOOD },
    { MACS "0800" IP4("0028", "06") TCP,
      DP_PACKET_OL_TX_TCP_CKSUM | DP_PACKET_OL_RX_L4_CKSUM_GOOD, 0,
      P, 0, DP_PACKET_OL_TX_IPV4 | DP_PACKET_OL_TX_TCP_CKSUM },
    { MACS "0800" IP4("001c", "11") UDP,
      DP_PACKET_OL_TX_IPV4 | DP_PACKET_OL_TX_UDP_CKSUM, 0,
      P, 0, DP_PACKET_OL_TX_IPV4 | DP_PACKET_OL_TX_UDP_CKSUM },
    { MACS "0800" IP4("0020", "84") SCTP,
      DP_PACKET_OL_TX_IPV4 | DP_PACKET_OL_TX_SCTP_CKSUM, 0,
      P, 0, DP_PACKET_OL_TX_IPV4 | DP_PACKET_OL_TX_SCTP_CKSUM },

    /* TSO: with the segments of the guest, without, and with those of a guest
     * that makes fun of us. */
    { MACS "0800" IP4("0028", "06") TCP,
      DP_PACKET_OL_TX_TCP_SEG | DP_PACKET_OL_TX_TCP_CKSUM, 1000, P, 1000,
      DP_PACKET_OL_TX_TCP_SEG | DP_PACKET_OL_TX_IPV4
      | DP_PACKET_OL_TX_TCP_CKSUM },
    { MACS "0800" IP4("0028", "06") TCP, DP_PACKET_OL_TX_TCP_SEG, 0, P, 1460,
      DP_PACKET_OL_TX_TCP_SEG | DP_PACKET_OL_TX_IPV4
      | DP_PACKET_OL_TX_TCP_CKSUM },
    { MACS "86dd" IP6("0014", "06") TCP, DP_PACKET_OL_TX_TCP_SEG, 0, P, 1440,
      DP_PACKET_OL_TX_TCP_SEG | DP_PACKET_OL_TX_IPV6
      | DP_PACKET_OL_TX_TCP_CKSUM },
    { MACS "0800" IP4("0028", "06") TCP, DP_PACKET_OL_TX_TCP_SEG, 1, P, 8,
      DP_PACKET_OL_TX_TCP_SEG | DP_PACKET_OL_TX_IPV4
      | DP_PACKET_OL_TX_TCP_CKSUM },
    { MACS "0800" IP4("0028", "06") TCP, DP_PACKET_OL_TX_TCP_SEG, UINT16_MAX,
      DROPPED },

    /* Not the protocol that the frame has. */
    { MACS "0800" IP4("001c", "11") UDP, DP_PACKET_OL_TX_TCP_SEG, 0,
      DROPPED },
    { MACS "0800" IP4("001c", "11") UDP, DP_PACKET_OL_TX_TCP_CKSUM, 0,
      DROPPED },
    { MACS "0800" IP4("0028", "06") TCP, DP_PACKET_OL_TX_UDP_CKSUM, 0,
      DROPPED },
    { MACS "0806" IP4("0028", "06") TCP, DP_PACKET_OL_TX_TCP_CKSUM, 0,
      DROPPED },
};

static void
test_transfers(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(transfers); i++) {
        struct dp_packet packet, *received;
        struct ordma_record rec;

        dp_packet_init(&packet, 0);
        dp_packet_put_hex(&packet, transfers[i].frame, NULL);
        packet.mbuf.ol_flags = transfers[i].ol_flags;
        packet.mbuf.tso_segsz = transfers[i].segsz;

        received = transfer(&packet, 1500, &rec);
        if (received
            ? (received->mbuf.ol_flags != transfers[i].received
               || rec.flags != transfers[i].rec_flags
               || rec.gso_size != transfers[i].gso_size
               || received->mbuf.tso_segsz != rec.gso_size)
            : transfers[i].received) {
            ovs_fatal(0, "transfer %"PRIuSIZE, i);
        }
        dp_packet_delete(received);
        dp_packet_uninit(&packet);
    }
}

/* OVS has no flag for an IP checksum yet to be computed: it is, on arrival. */
static void
test_ip_csum(void)
{
    struct ordma_record rec = { .flags = ORDMA_REC_IP_PARTIAL };
    const struct ip_header *ip;
    struct dp_packet packet;

    dp_packet_init(&packet, 0);
    dp_packet_put_hex(&packet, MACS "0800" IP4("0014", "01"), NULL);
    ip = dp_packet_at_assert(&packet, ETH_HEADER_LEN, sizeof *ip);
    assert(csum(ip, sizeof *ip));

    rec.frame = dp_packet_data(&packet);
    rec.frame_len = dp_packet_size(&packet);
    assert(ordma_offload_to_packet(&rec, &packet));
    assert(!csum(ip, sizeof *ip));
    assert(!packet.mbuf.ol_flags);
    dp_packet_uninit(&packet);
}

static void
test_rdma_offload_main(int argc OVS_UNUSED, char *argv[] OVS_UNUSED)
{
    test_cases();
    test_damage();
    test_transfers();
    test_ip_csum();
}

OVSTEST_REGISTER("test-rdma-offload", test_rdma_offload_main);
