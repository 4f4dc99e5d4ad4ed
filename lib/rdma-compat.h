/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * All that differs between the versions of Open vSwitch that we build with. */

#ifndef RDMA_COMPAT_H
#define RDMA_COMPAT_H 1

#include "dp-packet.h"
#include "netdev-provider.h"
#include "rdma-offload.h"

/* Differences between the versions of Open vSwitch that we build against, all
 * of them in dp_packet's offload fields.  This header is the only place that
 * knows of them. */

/* Returns true if dp_packet_get_rss_hash(packet) is valid. */
static inline bool
ordma_packet_has_hash(const struct dp_packet *packet)
{
    return dp_packet_rss_valid(packet);
}

/* Initializes the fields of 'packet', whose mbuf is fresh from its pool, that
 * dp_packet_batch_init_packet_fields() would. */
static inline void
ordma_packet_init_fields(struct dp_packet *packet)
{
    dp_packet_reset_cutlen(packet);
    packet->packet_type = htonl(PT_ETH);
}

/* Lets 'netdev' be given packets whose segmentation or transport checksum is
 * left to it. */
static inline void
ordma_netdev_take_offloads(struct netdev *netdev)
{
    netdev->ol_flags |= (NETDEV_TX_OFFLOAD_TCP_TSO
                         | NETDEV_TX_OFFLOAD_TCP_CKSUM
                         | NETDEV_TX_OFFLOAD_UDP_CKSUM
                         | NETDEV_TX_OFFLOAD_SCTP_CKSUM
                         | NETDEV_TX_OFFLOAD_IPV4_CKSUM);
}

/* Returns true if 'packet' is to be cut to TCP segments. */
static inline bool
ordma_packet_is_tso(const struct dp_packet *packet)
{
    return dp_packet_hwol_is_tso(packet);
}

/* Returns the TCP payload of a segment of 'packet', 0 if unknown. */
static inline uint16_t
ordma_packet_tso_segsz(const struct dp_packet *packet)
{
    return packet->mbuf.tso_segsz;
}

/* Returns the protocol whose checksum in 'packet' is left to others, 0 if
 * none is. */
static inline uint8_t
ordma_packet_partial_proto(const struct dp_packet *packet)
{
    switch (dp_packet_hwol_l4_mask(packet)) {
    case DP_PACKET_OL_TX_TCP_CKSUM:
        return IPPROTO_TCP;
    case DP_PACKET_OL_TX_UDP_CKSUM:
        return IPPROTO_UDP;
    case DP_PACKET_OL_TX_SCTP_CKSUM:
        return IPPROTO_SCTP;
    default:
        return ordma_packet_is_tso(packet) ? IPPROTO_TCP : 0;
    }
}

/* Returns true if the transport checksum of 'packet' was found good. */
static inline bool
ordma_packet_l4_good(const struct dp_packet *packet)
{
    return dp_packet_l4_checksum_valid(packet);
}

/* Notes that the transport checksum of 'packet' was found good. */
static inline void
ordma_packet_set_l4_good(struct dp_packet *packet)
{
    packet->mbuf.ol_flags |= DP_PACKET_OL_RX_L4_CKSUM_GOOD;
}

/* Leaves the transport checksum of 'packet', which has 'headers', to others,
 * and cutting it to segments of 'gso_size' bytes of payload unless that is
 * 0. */
static inline void
ordma_packet_set_partial(struct dp_packet *packet,
                         const struct ordma_headers *headers,
                         uint16_t gso_size)
{
    struct rte_mbuf *mbuf = &packet->mbuf;

    mbuf->ol_flags |= (headers->ipv6 ? DP_PACKET_OL_TX_IPV6
                       : DP_PACKET_OL_TX_IPV4);
    mbuf->ol_flags |= (headers->l4_proto == IPPROTO_TCP
                       ? DP_PACKET_OL_TX_TCP_CKSUM
                       : headers->l4_proto == IPPROTO_UDP
                       ? DP_PACKET_OL_TX_UDP_CKSUM
                       : DP_PACKET_OL_TX_SCTP_CKSUM);
    if (gso_size) {
        mbuf->ol_flags |= DP_PACKET_OL_TX_TCP_SEG;
    }
    mbuf->tx_offload = rte_mbuf_tx_offload(headers->l2_len, headers->l3_len,
                                           headers->l4_len, gso_size, 0, 0,
                                           0);
}

#endif /* rdma-compat.h */
