/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Checksums and segmentation that a frame's sender leaves to others. */

#ifndef RDMA_OFFLOAD_H
#define RDMA_OFFLOAD_H 1

#include <stdbool.h>
#include <stdint.h>

struct dp_packet;
struct ordma_record;

/* Frames that are not finished
 * ============================
 *
 * A guest can leave it to others to cut a frame to TCP segments and to compute
 * its checksums.  Whoever does that believes in the headers of the frame, so
 * that they are checked where such a frame leaves and where it arrives.
 *
 * What passes is also what OVS's flow extraction finds a transport header in:
 * a port of OVS that such a frame goes to computes offsets from that.
 *
 * Thread-safety
 * =============
 *
 * The functions are pure, except that they obey 'flow_vlan_limit', and trust
 * nothing in their input. */

/* The least TCP payload for a segment, as in Linux. */
#define ORDMA_MIN_GSO_SIZE 8

/* Where the headers of a frame are. */
struct ordma_headers {
    uint8_t l2_len;             /* Ethernet header and VLAN tags. */
    uint8_t l3_len;             /* IPv4 or IPv6 header. */
    uint8_t l4_len;             /* TCP, UDP or SCTP header, or 0. */
    uint8_t l4_proto;           /* IPPROTO_TCP, _UDP or _SCTP, or 0. */
    bool ipv6;
};

/* Stores in '*headers' where the headers of the frame of 'rec' are.  Returns
 * false, '*headers' being indeterminate, if what 'rec' says is not finished
 * yet cannot be finished: then the frame must not be passed on.
 *
 * 'l4_len' and 'l4_proto' are 0 unless 'rec' has ORDMA_REC_L4_PARTIAL. */
bool ordma_headers_parse(const struct ordma_record *rec,
                         struct ordma_headers *headers);

/* Adds to 'rec', whose 'frame_len' is that of 'packet', what 'packet' leaves
 * to others.  'mtu' says how long segments are if 'packet' does not.  Returns
 * false if the headers of 'packet' do not fit that. */
bool ordma_offload_to_record(const struct dp_packet *packet, int mtu,
                             struct ordma_record *rec);

/* Makes 'packet', which has the frame of 'rec', leave to others what 'rec'
 * says.  Returns false if the headers of the frame do not fit that. */
bool ordma_offload_to_packet(const struct ordma_record *rec,
                             struct dp_packet *packet);

#endif /* rdma-offload.h */
