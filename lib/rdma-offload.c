/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Checksums and segmentation that a frame's sender leaves to others. */

#include <config.h>

#include "rdma-offload.h"

#include <netinet/ip6.h>

#include "csum.h"
#include "flow.h"
#include "packets.h"
#include "rdma-compat.h"
#include "rdma-msg.h"
#include "unaligned.h"

/* Bytes of a frame, from a header on. */
struct rest {
    const uint8_t *p;
    size_t len;
};

static void
pull(struct rest *rest, size_t n)
{
    rest->p += n;
    rest->len -= n;
}

/* Pulls the Ethernet header and the VLAN tags that OVS looks behind.  Stores
 * the Ethernet type behind them in '*type'. */
static bool
pull_l2(struct rest *rest, ovs_be16 *type)
{
    int n_tags = 0;

    pull(rest, 2 * ETH_ADDR_LEN);   /* Every record has that. */
    for (;;) {
        if (rest->len < sizeof *type) {
            return false;
        }
        *type = get_unaligned_be16(ALIGNED_CAST(const ovs_be16 *, rest->p));
        if (!eth_type_vlan(*type) || n_tags++ >= flow_vlan_limit) {
            pull(rest, sizeof *type);
            return true;
        }
        if (rest->len < VLAN_HEADER_LEN) {
            return false;
        }
        pull(rest, VLAN_HEADER_LEN);
    }
}

/* Pulls the IPv4 header, and the padding behind the packet.  Stores the number
 * of the next protocol in '*proto'. */
static bool
pull_ipv4(struct rest *rest, uint8_t *proto)
{
    const struct ip_header *ip = ALIGNED_CAST(const struct ip_header *,
                                              rest->p);
    size_t header_len, total_len;

    if (rest->len < IP_HEADER_LEN) {
        return false;
    }
    header_len = IP_IHL(ip->ip_ihl_ver) * 4;
    total_len = ntohs(ip->ip_tot_len);
    if (IP_VER(ip->ip_ihl_ver) != 4 || header_len < IP_HEADER_LEN
        || total_len < header_len || total_len > rest->len
        || IP_IS_FRAGMENT(ip->ip_frag_off)) {
        return false;
    }
    *proto = ip->ip_proto;
    rest->len = total_len;
    pull(rest, header_len);
    return true;
}

/* The same for IPv6.  OVS has no offloads behind extension headers. */
static bool
pull_ipv6(struct rest *rest, uint8_t *proto)
{
    const struct ovs_16aligned_ip6_hdr *ip6
        = ALIGNED_CAST(const struct ovs_16aligned_ip6_hdr *, rest->p);
    size_t payload_len;

    if (rest->len < IPV6_HEADER_LEN || rest->p[0] >> 4 != 6) {
        return false;
    }
    payload_len = ntohs(ip6->ip6_plen);
    if (payload_len > rest->len - IPV6_HEADER_LEN) {
        return false;
    }
    *proto = ip6->ip6_nxt;
    pull(rest, IPV6_HEADER_LEN);
    rest->len = payload_len;
    return true;
}

/* Returns the length of the header of protocol 'proto' at 'rest', or 0 if it
 * is not whole or has a checksum that OVS does not know. */
static size_t
l4_header_len(const struct rest *rest, uint8_t proto)
{
    size_t len;

    switch (proto) {
    case IPPROTO_TCP:
        if (rest->len < TCP_HEADER_LEN) {
            return 0;
        }
        len = (rest->p[offsetof(struct tcp_header, tcp_ctl)] >> 4) * 4;
        if (len < TCP_HEADER_LEN) {
            return 0;
        }
        break;
    case IPPROTO_UDP:
        len = UDP_HEADER_LEN;
        break;
    case IPPROTO_SCTP:
        len = SCTP_HEADER_LEN;
        break;
    default:
        return 0;
    }
    return len <= rest->len ? len : 0;
}

/* Returns true if the frame of 'rec' can be cut to segments, if 'rec' says
 * so. */
static bool
is_gso_ok(const struct ordma_record *rec, const struct ordma_headers *headers)
{
    return (!rec->gso_size
            || (headers->l4_proto == IPPROTO_TCP
                && rec->gso_size >= ORDMA_MIN_GSO_SIZE
                && (headers->l3_len + headers->l4_len + rec->gso_size
                    <= UINT16_MAX)));
}

bool
ordma_headers_parse(const struct ordma_record *rec,
                    struct ordma_headers *headers)
{
    struct rest rest = { rec->frame, rec->frame_len };
    const uint8_t *l3;
    uint8_t proto;
    ovs_be16 type;

    if (!pull_l2(&rest, &type)) {
        return false;
    }
    l3 = rest.p;
    headers->l2_len = l3 - (const uint8_t *) rec->frame;
    headers->ipv6 = type == htons(ETH_TYPE_IPV6);
    if (headers->ipv6
        ? rec->flags & ORDMA_REC_IP_PARTIAL || !pull_ipv6(&rest, &proto)
        : type != htons(ETH_TYPE_IP) || !pull_ipv4(&rest, &proto)) {
        return false;
    }
    headers->l3_len = rest.p - l3;
    headers->l4_len = 0;
    headers->l4_proto = 0;
    if (rec->flags & ORDMA_REC_L4_PARTIAL) {
        headers->l4_proto = proto;
        headers->l4_len = l4_header_len(&rest, proto);
        return headers->l4_len && is_gso_ok(rec, headers);
    }
    return true;
}

bool
ordma_offload_to_record(const struct dp_packet *packet, int mtu,
                        struct ordma_record *rec)
{
    uint8_t l4_proto = ordma_packet_partial_proto(packet);
    struct ordma_headers headers;

    if (!l4_proto) {
        rec->flags |= ordma_packet_l4_good(packet) ? ORDMA_REC_L4_GOOD : 0;
        return true;
    }
    rec->flags |= ORDMA_REC_L4_PARTIAL;
    rec->frame = dp_packet_data(packet);
    if (!ordma_headers_parse(rec, &headers) || headers.l4_proto != l4_proto) {
        return false;
    }
    if (ordma_packet_is_tso(packet)) {
        int segsz = ordma_packet_tso_segsz(packet);

        segsz = segsz ? segsz : mtu - headers.l3_len - headers.l4_len;
        rec->gso_size = MAX(segsz, ORDMA_MIN_GSO_SIZE);
        return is_gso_ok(rec, &headers);
    }
    return true;
}

/* Computes the checksum of the IPv4 header of 'packet'. */
static void
finish_ip_csum(struct dp_packet *packet, const struct ordma_headers *headers)
{
    struct ip_header *ip = ALIGNED_CAST(struct ip_header *,
                                        ((char *) dp_packet_data(packet)
                                         + headers->l2_len));

    ip->ip_csum = 0;
    ip->ip_csum = csum(ip, headers->l3_len);
}

bool
ordma_offload_to_packet(const struct ordma_record *rec,
                        struct dp_packet *packet)
{
    struct ordma_headers headers;

    if (!(rec->flags & ORDMA_REC_PARTIAL)) {
        if (rec->flags & ORDMA_REC_L4_GOOD) {
            ordma_packet_set_l4_good(packet);
        }
        return true;
    }
    if (!ordma_headers_parse(rec, &headers)) {
        return false;
    }
    if (rec->flags & ORDMA_REC_IP_PARTIAL) {
        finish_ip_csum(packet, &headers);
    }
    if (rec->flags & ORDMA_REC_L4_PARTIAL) {
        ordma_packet_set_partial(packet, &headers, rec->gso_size);
    }
    return true;
}
