/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Fuzz target: packets. */

#include <config.h>

#include "roce-demux.h"
#include "roce-icrc.h"
#include "roce-packet.h"

#include <string.h>

#include "fuzzer.h"
#include "packets.h"
#include "util.h"

/* Input: the payload of a UDP datagram.
 *
 * What the parser accepts must survive being built and parsed again, and the
 * ICRC that we compute must be one that we accept.  A packet has an owner, or
 * is dropped for one reason. */

static uint64_t
n_dropped(const struct roce_drops *drops)
{
    uint64_t n = 0;

    for (int i = 0; i < ROCE_PARSE_N; i++) {
        n += drops->refused[i];
    }
    for (int i = 0; i < ROCE_DROP_N; i++) {
        n += drops->dropped[i];
    }
    return n;
}

/* Only queue pair 0x10 has an owner. */
static void
check_owner(struct roce_icrc_flow *icrc, const uint8_t *data, size_t size)
{
    struct roce_packet packet;
    struct roce_qpn_slot slots[2] = { { 0x10, slots }, { 0, NULL } };
    struct roce_qpns qpns = { .slots = slots, .mask = 1, .n = 1 };
    struct roce_drops drops = { .refused = { 0 } };
    void *owner = roce_demux(&qpns, icrc, data, size, &packet, &drops);

    ovs_assert(n_dropped(&drops) == !owner);
    ovs_assert(!owner || (owner == slots && packet.dst_qpn == 0x10));
}

static void
check_icrc(struct roce_tx *tx, bool ipv6, uint16_t ip_id)
{
    struct roce_flow flow = { .sport = htons(4791), .dport = htons(4791) };
    uint8_t copy[ROCE_MAX_UDP_LEN];
    struct roce_icrc_flow icrc;
    size_t len;

    if (!ipv6) {
        in6_addr_set_mapped_ipv4(&flow.src, htonl(0xc0000201));
        in6_addr_set_mapped_ipv4(&flow.dst, htonl(0xc0000202));
    }
    roce_icrc_flow_init(&icrc, &flow);
    roce_icrc_seal(&icrc, ip_id, tx);
    len = roce_tx_copy(tx, copy, sizeof copy);
    ovs_assert(len == roce_tx_len(tx));
    ovs_assert(roce_icrc_check(&icrc, copy, len));
}

static void
check_rebuilt(const struct roce_packet *packet)
{
    uint8_t copy[ROCE_MAX_UDP_LEN];
    struct roce_packet again;
    struct roce_tx tx;
    size_t len;

    roce_packet_build(packet, &tx);
    len = roce_tx_copy(&tx, copy, sizeof copy);
    ovs_assert(!roce_packet_parse(copy, len, &again));
    ovs_assert(again.op == packet->op);
    ovs_assert(again.psn == packet->psn && again.msn == packet->msn);
    ovs_assert(again.dst_qpn == packet->dst_qpn);
    ovs_assert(again.src_qpn == packet->src_qpn);
    ovs_assert(again.qkey == packet->qkey && again.imm == packet->imm);
    ovs_assert(again.syndrome == packet->syndrome);
    ovs_assert(again.ack_req == packet->ack_req);
    ovs_assert(again.solicited == packet->solicited);
    ovs_assert(again.payload_len == packet->payload_len);
    ovs_assert(!memcmp(again.payload, packet->payload, packet->payload_len));
    check_icrc(&tx, packet->psn & 1, packet->psn);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct roce_flow flow = { .sport = 0 };
    struct roce_icrc_flow icrc;
    struct roce_packet packet;

    if (!roce_packet_parse(data, size, &packet)
        && packet.payload_len <= ROCE_MAX_MTU) {
        check_rebuilt(&packet);
    }
    roce_icrc_flow_init(&icrc, &flow);
    check_owner(&icrc, data, size);
    in6_addr_set_mapped_ipv4(&flow.src, 0);
    roce_icrc_flow_init(&icrc, &flow);
    check_owner(&icrc, data, size);
    return 0;
}
