/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Whose a RoCEv2 packet is. */

#include <config.h>

#include "roce-demux.h"

#include "coverage.h"
#include "roce-wire.h"
#include "util.h"

COVERAGE_DEFINE(rdma_soft_bad_icrc);
COVERAGE_DEFINE(rdma_soft_unknown_qp);

#define MIN_SLOTS 64

const char *
roce_drop_to_string(enum roce_drop drop)
{
    static const char *const names[] = {
#define ROCE_DROP(NAME, TEXT) TEXT,
        ROCE_DROPS
#undef ROCE_DROP
    };

    return drop < ROCE_DROP_N ? names[drop] : "unknown";
}

void
roce_qpns_init(struct roce_qpns *qpns)
{
    *qpns = (struct roce_qpns) {
        .slots = xcalloc(MIN_SLOTS, sizeof *qpns->slots),
        .mask = MIN_SLOTS - 1,
    };
}

void
roce_qpns_destroy(struct roce_qpns *qpns)
{
    free(qpns->slots);
}

static struct roce_qpn_slot *
slot_of(const struct roce_qpns *qpns, uint32_t qpn)
{
    return &qpns->slots[qpn & qpns->mask];
}

/* Doubles the number of slots.  Numbers that differ in their lower bits do so
 * in more of them as well. */
static void
expand(struct roce_qpns *qpns)
{
    struct roce_qpns old = *qpns;

    qpns->mask = 2 * old.mask + 1;
    qpns->slots = xcalloc(qpns->mask + 1, sizeof *qpns->slots);
    for (uint32_t i = 0; i <= old.mask; i++) {
        if (old.slots[i].qpn) {
            *slot_of(qpns, old.slots[i].qpn) = old.slots[i];
        }
    }
    free(old.slots);
}

/* Has packets to the number that this function returns go to 'owner', or
 * returns 0 if there are ROCE_MAX_QPS of them.  'random' must fill in bytes
 * that are hard to guess.  One number after the other is for the next receive
 * queue, so that the lanes of a peer are for different ones. */
uint32_t
roce_qpns_add(struct roce_qpns *qpns, void *owner,
              void (*random)(void *, size_t n))
{
    uint32_t queue = qpns->n_added++ % ROCE_WIRE_N_DATA;
    uint32_t qpn;

    if (qpns->n >= ROCE_MAX_QPS) {
        return 0;
    } else if (2 * ++qpns->n > qpns->mask) {
        expand(qpns);
    }
    do {
        random(&qpn, sizeof qpn);
        qpn = (qpn & ROCE_QPN_MASK & ~(ROCE_WIRE_N_DATA - 1)) | queue;
    } while (qpn < ROCE_QPN_FIRST || slot_of(qpns, qpn)->qpn);
    *slot_of(qpns, qpn) = (struct roce_qpn_slot) { qpn, owner };
    return qpn;
}

/* Forgets about 'qpn'. */
void
roce_qpns_remove(struct roce_qpns *qpns, uint32_t qpn)
{
    struct roce_qpn_slot *slot = slot_of(qpns, qpn);

    ovs_assert(qpn && slot->qpn == qpn);
    *slot = (struct roce_qpn_slot) { 0, NULL };
    qpns->n--;
}

/* Returns whose the 'len' bytes of 'udp_payload' are, which came along 'flow',
 * and parses them into '*packet'.  If they are nobody's, counts that in
 * 'drops' and returns null.
 *
 * The look at the ICRC, which takes longest, comes last. */
void *
roce_demux(const struct roce_qpns *qpns, struct roce_icrc_flow *flow,
           const void *udp_payload, size_t len, struct roce_packet *packet,
           struct roce_drops *drops)
{
    enum roce_parse_result result = roce_packet_parse(udp_payload, len,
                                                      packet);
    const struct roce_qpn_slot *slot;

    if (OVS_UNLIKELY(result)) {
        drops->refused[result]++;
        return NULL;
    }
    slot = slot_of(qpns, packet->dst_qpn);
    if (OVS_UNLIKELY(!slot->qpn || slot->qpn != packet->dst_qpn)) {
        COVERAGE_INC(rdma_soft_unknown_qp);
        drops->dropped[ROCE_DROP_UNKNOWN_QP]++;
        return NULL;
    } else if (OVS_UNLIKELY(!roce_icrc_check(flow, udp_payload, len))) {
        COVERAGE_INC(rdma_soft_bad_icrc);
        drops->dropped[ROCE_DROP_ICRC]++;
        return NULL;
    }
    return slot->owner;
}
