/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of roce-packet and roce-icrc. */

#include <config.h>
#undef NDEBUG

#include "roce-icrc.h"
#include "roce-packet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ovstest.h"
#include "packets.h"
#include "random.h"
#include "util.h"

/* Golden packets, from the IP header through the ICRC.  The first is from a
 * network adapter, the second from Linux soft-RoCE, the others were computed
 * by a function that agrees with hundreds of captured packets. */
static const struct golden {
    const char *name;
    const char *hex;
    bool rebuild;               /* Do we send it exactly like this? */
    uint32_t dst_qpn;
    uint32_t psn;
    bool ack_req;
    bool solicited;
    uint8_t syndrome;
    uint32_t msn;
    const char *payload;
} goldens[] = {
    { "CNP",
      "45c2003c718c4000401191610a0011010a001201000012b7002800008100ffff"
      "40000118000000000000000000000000000000000000000082fd002a",
      false, 0x118, 0, false, false, 0, 0, NULL },
    { "RC_ACK",
      "450000300c8b400040111a1e0a0900010a090002de4312b7001c00001100ffff"
      "000010d700c751661f000001eaaae399",
      false, 0x10d7, 0xc75166, false, false, 0x1f, 1, "" },
    { "RC_SEND_ONLY",
      "45000034000040004011b6b5c0000201c0000202c00112b7002000000470ffff"
      "000000118012345668656c6c6f00000059d4fa63",
      true, 0x11, 0x123456, true, false, 0, 0, "hello" },
    { "RC_SEND_LAST_IMM",
      "45000034000040004011b6b5c0000201c0000202c00112b70020000003c0ffff"
      "0000001180ffffffdeadbeef616263643744c8e0",
      true, 0x11, 0xffffff, true, true, 0, 0, "abcd" },
    { "UD_SEND_ONLY",
      "45000038000040004011b6b1c0000201c0000202c00112b7002400006440ffff"
      "0000003300000000012345670000004461626364b72a17ef",
      true, 0x33, 0, false, false, 0, 0, "abcd" },
    { "RC_ACK",
      "60000000001c114020010db800000000000000000000000120010db800000000"
      "0000000000000002c00212b7001c00001140ffff00000022001234561f000001"
      "1706f0a5",
      true, 0x22, 0x123456, false, false, 0x1f, 1, "" },
};

static void
hex_to_bytes(const char *hex, uint8_t *bytes)
{
    bool ok = true;

    for (size_t i = 0; hex[2 * i]; i++) {
        bytes[i] = hexits_value(hex + 2 * i, 2, &ok);
        ovs_assert(ok);
    }
}

struct datagram {
    struct roce_flow flow;
    uint16_t ip_id;
    uint8_t *udp;               /* UDP payload, within 'buf'. */
    size_t len;
    uint8_t buf[128];
};

static uint16_t
be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* Splits an IP packet that is known to be well formed. */
static void
datagram_from_hex(struct datagram *d, const char *hex)
{
    size_t n = strlen(hex) / 2;
    const uint8_t *udp_header;
    ovs_be32 ip;

    hex_to_bytes(hex, d->buf);
    if (d->buf[0] >> 4 == 4) {
        memcpy(&ip, d->buf + 12, sizeof ip);
        in6_addr_set_mapped_ipv4(&d->flow.src, ip);
        memcpy(&ip, d->buf + 16, sizeof ip);
        in6_addr_set_mapped_ipv4(&d->flow.dst, ip);
        d->ip_id = be16(d->buf + 4);
        udp_header = d->buf + 20;
    } else {
        memcpy(&d->flow.src, d->buf + 8, sizeof d->flow.src);
        memcpy(&d->flow.dst, d->buf + 24, sizeof d->flow.dst);
        d->ip_id = 0;
        udp_header = d->buf + 40;
    }
    memcpy(&d->flow.sport, udp_header, sizeof d->flow.sport);
    memcpy(&d->flow.dport, udp_header + 2, sizeof d->flow.dport);
    d->len = be16(udp_header + 4) - 8;
    d->udp = d->buf + (udp_header + 8 - d->buf);
    ovs_assert(d->udp + d->len == d->buf + n);
}

static void
check_parsed(const struct golden *g, const struct roce_packet *packet)
{
    ovs_assert(!strcmp(packet->op->name, g->name));
    ovs_assert(packet->dst_qpn == g->dst_qpn);
    ovs_assert(packet->psn == g->psn);
    ovs_assert(packet->ack_req == g->ack_req);
    ovs_assert(packet->solicited == g->solicited);
    ovs_assert(packet->syndrome == g->syndrome);
    ovs_assert(packet->msn == g->msn);
    if (g->payload) {
        ovs_assert(packet->payload_len == strlen(g->payload));
        ovs_assert(!memcmp(packet->payload, g->payload, packet->payload_len));
    }
    if (packet->op->imm) {
        ovs_assert(packet->imm == htonl(0xdeadbeef));
    }
    if (packet->op->deth) {
        ovs_assert(packet->qkey == 0x01234567 && packet->src_qpn == 0x44);
    }
}

static void
check_rebuilt(const struct datagram *d, const struct roce_packet *packet)
{
    struct roce_icrc_flow icrc;
    uint8_t copy[128];
    struct roce_tx tx;

    roce_icrc_flow_init(&icrc, &d->flow);
    roce_packet_build(packet, &tx);
    roce_icrc_seal(&icrc, d->ip_id, &tx);
    ovs_assert(!roce_tx_copy(&tx, copy, d->len - 1));
    ovs_assert(roce_tx_copy(&tx, copy, sizeof copy) == d->len);
    ovs_assert(!memcmp(copy, d->udp, d->len));
}

/* Any one bit that is flipped breaks the ICRC, but in the masked byte. */
static void
check_bit_flips(struct datagram *d)
{
    struct roce_icrc_flow icrc;

    roce_icrc_flow_init(&icrc, &d->flow);
    ovs_assert(roce_icrc_check(&icrc, d->udp, d->len));
    for (size_t i = 0; i < 8 * d->len; i++) {
        d->udp[i / 8] ^= 1 << i % 8;
        ovs_assert(roce_icrc_check(&icrc, d->udp, d->len) == (i / 8 == 4));
        d->udp[i / 8] ^= 1 << i % 8;
    }
}

static void
test_golden(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(goldens); i++) {
        struct roce_packet packet;
        struct datagram d;

        datagram_from_hex(&d, goldens[i].hex);
        ovs_assert(!roce_packet_parse(d.udp, d.len, &packet));
        check_parsed(&goldens[i], &packet);
        if (goldens[i].rebuild) {
            check_rebuilt(&d, &packet);
        }
        check_bit_flips(&d);
    }
    printf("golden: %"PRIuSIZE" packets\n", ARRAY_SIZE(goldens));
}

/* Packets that must be refused, as UDP payloads. */
static const struct refusal {
    enum roce_parse_result result;
    const char *hex;
} refusals[] = {
    { ROCE_PARSE_OK,      "0440ffff0000001180000000" "00000000" },
    { ROCE_PARSE_OK,      "04407fff0000001180000000" "00000000" },
    { ROCE_PARSE_OK,      "0470ffff0000001180000000" "61000000" "00000000" },
    { ROCE_PARSE_OK,      "0640ffff0000001180000000" "61000000" "00000000" },
    { ROCE_PARSE_SHORT,   "" },
    { ROCE_PARSE_SHORT,   "04" },
    { ROCE_PARSE_SHORT,   "0440ffff0000001180000000" "000000" },
    { ROCE_PARSE_SHORT,   "0540ffff0000001180000000" "00000000" },
    { ROCE_PARSE_SHORT,   "1140ffff0000001180000000" "00000000" },
    { ROCE_PARSE_SHORT,   "6440ffff0000001180000000" "0000000000000000" },
    { ROCE_PARSE_VERSION, "0441ffff0000001180000000" "00000000" },
    { ROCE_PARSE_OPCODE,  "0d40ffff0000001180000000" "00000000" },
    { ROCE_PARSE_OPCODE,  "2440ffff0000001180000000" "00000000" },
    { ROCE_PARSE_OPCODE,  "ff40ffff0000001180000000" "00000000" },
    { ROCE_PARSE_PKEY,    "04400fff0000001180000000" "00000000" },
    { ROCE_PARSE_PADDING, "0450ffff0000001180000000" "00000000" },
    { ROCE_PARSE_PADDING, "0440ffff0000001180000000" "00" "00000000" },
    { ROCE_PARSE_PAYLOAD, "1140ffff0000001180000000"
                          "1f000001" "00000000" "00000000" },
};

static void
test_refusals(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const struct refusal *r = &refusals[i];
        size_t n = strlen(r->hex) / 2;
        uint8_t *buf = xmalloc(n + 1);  /* Checked by ASan. */
        struct roce_packet packet;

        hex_to_bytes(r->hex, buf);
        if (roce_packet_parse(buf, n, &packet) != r->result) {
            ovs_fatal(0, "%s: not \"%s\"", r->hex,
                      roce_parse_result_to_string(r->result));
        }
        free(buf);
    }
    printf("refusals: %"PRIuSIZE" packets\n", ARRAY_SIZE(refusals));
}

/* Too long for any opcode. */
static void
test_long(void)
{
    static uint8_t buf[ROCE_MAX_UDP_LEN + 4] = { 0x04, 0x40, 0xff, 0xff };
    struct roce_packet packet;

    ovs_assert(!roce_packet_parse(buf, ROCE_MAX_UDP_LEN, &packet));
    ovs_assert(roce_packet_parse(buf, sizeof buf, &packet) == ROCE_PARSE_LONG);
}

static const struct fit {
    uint8_t opcode;
    size_t len;
    bool fits;                  /* Where the path MTU is 1024. */
} fits[] = {
    { 0x00, 1023, false }, { 0x00, 1024, true }, { 0x00, 1025, false },
    { 0x01, 1023, false }, { 0x01, 1024, true }, { 0x01, 0, false },
    { 0x02, 0, false }, { 0x02, 1, true }, { 0x02, 1024, true },
    { 0x02, 1025, false }, { 0x03, 0, false }, { 0x03, 1, true },
    { 0x04, 0, true }, { 0x04, 1024, true }, { 0x04, 1025, false },
    { 0x05, 0, true }, { 0x11, 0, true }, { 0x11, 1, false },
};

static void
test_fits(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
        ovs_assert(roce_opcode_fits(&roce_opcodes[fits[i].opcode], fits[i].len,
                                1024) == fits[i].fits);
    }
}

static void
test_psn(void)
{
    ovs_assert(roce_psn_add(0xffffff, 1) == 0);
    ovs_assert(roce_psn_add(0, -1) == 0xffffff);
    ovs_assert(roce_psn_diff(0, 0xffffff) == 1);
    ovs_assert(roce_psn_diff(0xffffff, 0) == -1);
    ovs_assert(roce_psn_diff(0x7fffff, 0) == 0x7fffff);
    ovs_assert(roce_psn_diff(0x800000, 0) == -0x800000);
    ovs_assert(roce_psn_diff(0x123456, 0x123456) == 0);
}

/* Whatever the unknown identification is, an intact packet passes, and of the
 * broken ones not more than one in some ten thousand. */
static void
test_unknown_id(bool ipv6, int n)
{
    static uint8_t payload[ROCE_MAX_MTU];
    static uint8_t buf[ROCE_MAX_UDP_LEN];
    struct roce_flow flow = { .sport = htons(50000), .dport = htons(4791) };
    struct roce_icrc_flow icrc;
    int n_missed = 0;

    random_bytes(payload, sizeof payload);
    if (ipv6) {
        random_bytes(&flow.src, sizeof flow.src);
        random_bytes(&flow.dst, sizeof flow.dst);
    } else {
        in6_addr_set_mapped_ipv4(&flow.src, random_uint32());
        in6_addr_set_mapped_ipv4(&flow.dst, random_uint32());
    }
    roce_icrc_flow_init(&icrc, &flow);

    for (int i = 0; i < n; i++) {
        struct roce_packet packet = {
            .opcode = i % 2 ? ROCE_RC_SEND_ONLY : ROCE_UD_SEND_ONLY,
            .psn = i,
            .payload = payload,
            .payload_len = random_range(i % 16 ? 64 : ROCE_MAX_MTU + 1),
        };
        struct roce_tx tx;
        size_t len;

        roce_packet_build(&packet, &tx);
        roce_icrc_seal(&icrc, ipv6 ? 0 : random_uint32(), &tx);
        len = roce_tx_copy(&tx, buf, sizeof buf);
        ovs_assert(roce_icrc_check(&icrc, buf, len));

        uint32_t at = random_range(len);
        buf[at] ^= 1 + random_range(255);
        at = (at + 1 + random_range(len - 1)) % len;
        buf[at] ^= 1 + random_range(255);
        n_missed += roce_icrc_check(&icrc, buf, len);
    }
    printf("%s: %d of %d broken packets passed\n", ipv6 ? "IPv6" : "IPv4",
           n_missed, n);
    ovs_assert(n_missed <= (ipv6 ? 0 : n / 10000));
}

static void
test_roce_packet_main(int argc OVS_UNUSED, char *argv[])
{
    set_program_name(argv[0]);
    random_set_seed(argc > 1 ? atoi(argv[1]) : 1);
    test_golden();
    test_refusals();
    test_long();
    test_fits();
    test_psn();
    test_unknown_id(false, 200000);
    test_unknown_id(true, 200000);
}

OVSTEST_REGISTER("test-roce-packet", test_roce_packet_main);
