/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The invariant CRC of RoCEv2 packets. */

#ifndef ROCE_ICRC_H
#define ROCE_ICRC_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "roce-packet.h"

/* The invariant CRC of RoCEv2
 * ===========================
 *
 * Every packet ends in a CRC-32 (the one of Ethernet) that covers eight bytes
 * of ones, the IP header, the UDP header and everything behind it.  Fields
 * that routers may change count as ones: the traffic class, the IPv6 flow
 * label, the hop limit, both checksums and byte 4 of the BTH.
 *
 *
 * Sending
 * -------
 *
 * The IPv4 identification is not masked, so a sender has to know what it will
 * be: 0 for a datagram with DF set from a socket that is not connected, and
 * the index of the segment for a datagram that the kernel segments.  Hence
 * the argument 'ip_id' below.
 *
 * The BTH costs one call of the CRC function and the payload another, in
 * place.  The masked IP and UDP headers are laid out once per flow, and their
 * CRC is that of the last packet if it had the same length, as in a train.
 *
 *
 * Receiving
 * ---------
 *
 * A UDP socket does not tell the identification of what it receives.  But a
 * CRC is linear: the difference that 16 unknown bits make, at a known place,
 * is one of 2**16 values out of 2**32.  roce_icrc_check() runs the difference
 * between the received ICRC and the one for identification 0 backward through
 * the CRC, to the place of the identification.  If the packet is intact, then
 * what comes out has nothing but those 16 bits.  So the remaining 16 bits
 * still verify: a corrupted packet passes with probability 2**-16, on top of
 * Ethernet's own CRC on every hop.  IPv6 has no identification, so there all
 * 32 bits verify.
 *
 *
 * Speed
 * -----
 *
 * The CRC function is ISA-L's, which DPDK depends on.  Cycles per byte at
 * 1024 and 4096 bytes on a 2.1 GHz Xeon: ISA-L .033 and .028, DPDK's
 * rte_net_crc with AVX-512 .030 and .026 (.175 and .224 with SSE 4.2, 4.9
 * before the EAL is up), zlib .67 and .48, memcpy() .017 and .016.  ISA-L's
 * takes a starting value, so that it runs over scattered data, and works
 * whether or not DPDK is initialized.
 *
 * All told, with 1024 bytes of payload, roce_icrc_seal() takes about 140
 * cycles, and roce_packet_parse() and roce_icrc_check() together 155.
 *
 * Thread-safety: one thread at a time uses a flow. */

/* Masked pseudo-headers of one flow.  Opaque. */
struct roce_icrc_flow {
    uint8_t hdr[8 + 40 + 8];    /* Ones, IP, UDP. */
    uint8_t len;                /* Bytes of 'hdr' in use. */
    uint8_t ip_len;             /* Length of the IP header. */
    uint16_t udp_len;           /* Bytes of UDP payload, as laid out, or 0. */
    uint32_t crc;               /* Of 'hdr', for identification 0. */
};

void roce_icrc_flow_init(struct roce_icrc_flow *, const struct roce_flow *);

void roce_icrc_seal(struct roce_icrc_flow *, uint16_t ip_id, struct roce_tx *);
bool roce_icrc_check(struct roce_icrc_flow *, const void *udp_payload,
                     size_t len);

#endif /* roce-icrc.h */
