/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The invariant CRC of RoCEv2 packets. */

#include <config.h>

#include "roce-icrc.h"

#include <isa-l/crc.h>
#include <netinet/ip6.h>
#include <string.h>

#include "packets.h"
#include "util.h"

/* The generator polynomial, bits reversed as in all of this file: the most
 * significant bit is the coefficient of x**0. */
#define CRC_POLY UINT32_C(0xedb88320)

#define MASKED_LRH_LEN 8

/* From the IPv4 identification to the BTH. */
#define IP_ID_TO_BTH (IP_HEADER_LEN - 4 + UDP_HEADER_LEN)
BUILD_ASSERT_DECL(offsetof(struct ip_header, ip_id) == 4);

/* Byte 4 of the BTH is masked. */
#define BTH_MASKED_BYTE 4

/* ISA-L's CRC uses 512-bit registers where it can and leaves their upper parts
 * in use, for which the SSE instructions that follow, ours or anyone's, would
 * pay some 300 cycles. */
#ifdef __x86_64__
static bool has_avx;

static void
release_registers(void)
{
    if (has_avx) {
        asm volatile ("vzeroupper");
    }
}
#else
static void
release_registers(void)
{
}
#endif

/* Continues 'crc', which is 0 at the start, over the 'len' bytes of 'data'. */
static uint32_t
crc_update(uint32_t crc, const void *data, size_t len)
{
    crc = crc32_gzip_refl(crc, CONST_CAST(unsigned char *, data), len);
    release_registers();
    return crc;
}

/* Returns 'a' times x, modulo the polynomial. */
static uint32_t
crc_shift(uint32_t a)
{
    return a >> 1 ^ (-(a & 1) & CRC_POLY);
}

/* Returns 'a' divided by x, modulo the polynomial. */
static uint32_t
crc_unshift(uint32_t a)
{
    return a & (UINT32_C(1) << 31) ? (a ^ CRC_POLY) << 1 | 1 : a << 1;
}

/* Returns 'a' times 'b', modulo the polynomial. */
static uint32_t
crc_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (; a; a <<= 1) {
        product ^= -(a >> 31) & b;
        b = crc_shift(b);
    }
    return product;
}

/* x**(-32 * i), to run a CRC backward over 4 * i bytes. */
static uint32_t crc_backward[1 + (IP_ID_TO_BTH + ROCE_MAX_UDP_LEN) / 4];

/* What ones in the masked byte, instead of zeros, change in the CRC of 4 * i
 * bytes that begin with the BTH. */
static uint32_t crc_mask[1 + ROCE_MAX_UDP_LEN / 4];

/* What the value i of the first (second) byte of the IPv4 identification,
 * instead of 0, changes in the CRC of the headers up to the BTH. */
static uint32_t crc_ip_id[2][UINT8_MAX + 1];

/* Returns 'crc' after 4 * 'n' bytes of zeros. */
static uint32_t
crc_forward(uint32_t crc, int n)
{
    for (int i = 0; i < 32 * n; i++) {
        crc = crc_shift(crc);
    }
    return crc;
}

OVS_CONSTRUCTOR(roce_icrc_init)
{
    uint32_t power = UINT32_C(1) << 31;
    uint32_t mask = UINT8_MAX;

#ifdef __x86_64__
    has_avx = __builtin_cpu_supports("avx");
#endif
    for (size_t i = 0; i < ARRAY_SIZE(crc_backward); i++) {
        crc_backward[i] = power;
        for (int j = 0; j < 32; j++) {
            power = crc_unshift(power);
        }
    }
    for (size_t i = 1 + BTH_MASKED_BYTE / 4; i < ARRAY_SIZE(crc_mask); i++) {
        mask = crc_forward(mask, 1);
        crc_mask[i] = mask;
    }
    for (uint32_t i = 0; i <= UINT8_MAX; i++) {
        crc_ip_id[0][i] = crc_forward(i, IP_ID_TO_BTH / 4);
        crc_ip_id[1][i] = crc_forward(i << 8, IP_ID_TO_BTH / 4);
    }
}

static size_t
init_ipv4(struct ip_header *ip, ovs_be32 src, ovs_be32 dst)
{
    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_tos = UINT8_MAX;
    ip->ip_tot_len = 0;
    ip->ip_id = 0;
    ip->ip_frag_off = htons(IP_DONT_FRAGMENT);
    ip->ip_ttl = UINT8_MAX;
    ip->ip_proto = IPPROTO_UDP;
    ip->ip_csum = OVS_BE16_MAX;
    put_16aligned_be32(&ip->ip_src, src);
    put_16aligned_be32(&ip->ip_dst, dst);
    return sizeof *ip;
}

static size_t
init_ipv6(struct ovs_16aligned_ip6_hdr *ip, const struct roce_flow *flow)
{
    put_16aligned_be32(&ip->ip6_flow, htonl(0x6fffffff));
    ip->ip6_plen = 0;
    ip->ip6_nxt = IPPROTO_UDP;
    ip->ip6_hlim = UINT8_MAX;
    memcpy(&ip->ip6_src, &flow->src, sizeof ip->ip6_src);
    memcpy(&ip->ip6_dst, &flow->dst, sizeof ip->ip6_dst);
    return sizeof *ip;
}

/* Initializes 'icrc' for packets of 'flow', whose addresses must either both
 * be IPv4-mapped or both not. */
void
roce_icrc_flow_init(struct roce_icrc_flow *icrc, const struct roce_flow *flow)
{
    uint8_t *p = icrc->hdr + MASKED_LRH_LEN;
    struct udp_header *udp;

    memset(icrc->hdr, 0xff, MASKED_LRH_LEN);
    icrc->ip_len = (IN6_IS_ADDR_V4MAPPED(&flow->src)
                    ? init_ipv4(ALIGNED_CAST(struct ip_header *, p),
                                in6_addr_get_mapped_ipv4(&flow->src),
                                in6_addr_get_mapped_ipv4(&flow->dst))
                    : init_ipv6(ALIGNED_CAST(struct ovs_16aligned_ip6_hdr *,
                                             p), flow));
    p += icrc->ip_len;
    udp = ALIGNED_CAST(struct udp_header *, p);
    udp->udp_src = flow->sport;
    udp->udp_dst = flow->dport;
    udp->udp_len = 0;
    udp->udp_csum = OVS_BE16_MAX;
    icrc->len = MASKED_LRH_LEN + icrc->ip_len + UDP_HEADER_LEN;
    icrc->udp_len = 0;          /* No packet has that. */
}

static bool
is_ipv4(const struct roce_icrc_flow *icrc)
{
    return icrc->ip_len == IP_HEADER_LEN;
}

/* Returns the CRC of the masked headers in front of a UDP payload of 'udp_len'
 * bytes, ICRC included.  Packets of a train have it in common but for their
 * identification, which is 0 here. */
static uint32_t
crc_headers(struct roce_icrc_flow *icrc, size_t udp_len)
{
    if (icrc->udp_len != udp_len) {
        uint8_t *ip = icrc->hdr + MASKED_LRH_LEN;
        uint8_t *udp = ip + icrc->ip_len;
        ovs_be16 len = htons(UDP_HEADER_LEN + udp_len);

        memcpy(udp + offsetof(struct udp_header, udp_len), &len, sizeof len);
        if (is_ipv4(icrc)) {
            len = htons(IP_HEADER_LEN + UDP_HEADER_LEN + udp_len);
            memcpy(ip + offsetof(struct ip_header, ip_tot_len), &len,
                   sizeof len);
        } else {
            memcpy(ip + offsetof(struct ovs_16aligned_ip6_hdr, ip6_plen), &len,
                   sizeof len);
        }
        icrc->udp_len = udp_len;
        icrc->crc = crc_update(0, icrc->hdr, icrc->len);
    }
    return icrc->crc;
}

/* Continues 'crc' over the 'len' bytes of 'p', which begin with a BTH.  Its
 * masked byte is hardly ever anything but 0.  Then nothing is copied: what has
 * just been stored in pieces cannot be loaded as a whole before all stores
 * have left the core, those to cold receive buffers among them. */
static uint32_t
crc_bth(uint32_t crc, const uint8_t *p, size_t len)
{
    if (OVS_UNLIKELY(p[BTH_MASKED_BYTE])) {
        uint8_t bth[ROCE_BTH_LEN];

        memcpy(bth, p, sizeof bth);
        bth[BTH_MASKED_BYTE] = UINT8_MAX;
        crc = crc_update(crc, bth, sizeof bth);
        return crc_update(crc, p + sizeof bth, len - sizeof bth);
    }
    return crc_update(crc, p, len) ^ crc_mask[len / 4];
}

/* The ICRC goes onto the wire least significant byte first. */
static void
put_icrc(uint8_t *p, uint32_t crc)
{
    for (int i = 0; i < ROCE_ICRC_LEN; i++) {
        p[i] = crc >> 8 * i;
    }
}

static uint32_t
get_icrc(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
}

/* Puts the ICRC into 'tx', which will be sent along 'icrc' in an IP packet
 * that has identification 'ip_id', if it has one. */
void
roce_icrc_seal(struct roce_icrc_flow *icrc, uint16_t ip_id,
               struct roce_tx *tx)
{
    size_t pad = tx->trailer_len - ROCE_ICRC_LEN;
    size_t len = roce_tx_len(tx);
    uint32_t crc = crc_headers(icrc, len);

    if (is_ipv4(icrc)) {
        crc ^= crc_ip_id[0][ip_id >> 8] ^ crc_ip_id[1][ip_id & 0xff];
    }
    crc = crc_update(crc, tx->hdr, tx->hdr_len);
    if (tx->payload_len) {
        crc = crc_update(crc, tx->payload, tx->payload_len);
        crc = pad ? crc_update(crc, tx->trailer, pad) : crc;
    }
    put_icrc(tx->trailer + pad, crc ^ crc_mask[(len - ROCE_ICRC_LEN) / 4]);
}

/* Returns true if the 'len' bytes of 'udp_payload', received along 'icrc', end
 * in the right ICRC, as far as that can be told: see "Receiving" above.
 * roce_packet_parse() need not have approved of the packet before. */
bool
roce_icrc_check(struct roce_icrc_flow *icrc, const void *udp_payload,
                size_t len)
{
    const uint8_t *p = udp_payload;
    size_t body = len - ROCE_ICRC_LEN;
    uint32_t crc, diff;

    if (len < ROCE_BTH_LEN + ROCE_ICRC_LEN || len > ROCE_MAX_UDP_LEN
        || len % 4) {
        return false;
    }
    crc = crc_bth(crc_headers(icrc, len), p, body);
    diff = crc ^ get_icrc(p + body);
    if (!diff || !is_ipv4(icrc)) {
        return !diff;
    }
    diff = crc_multiply(diff, crc_backward[(IP_ID_TO_BTH + body) / 4]);
    return diff <= UINT16_MAX;
}
