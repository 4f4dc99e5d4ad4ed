/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Shared receive queues of the soft provider. */

#include <config.h>

#include "rdma-soft-private.h"

#include "util.h"

/* Shared receive queues.  Queue pairs know nothing of them: just before the
 * packet in which a message begins, a receive is moved to the queue pair that
 * the packet is for.  So a queue pair has one that it does not use yet for no
 * longer than it takes the message to arrive. */
struct soft_srq {
    struct ordma_srq up;
    struct ovs_spin lock;
    struct ordma_recv_wr *wrs OVS_GUARDED;
    uint32_t mask;
    uint32_t head OVS_GUARDED;  /* Modulo 2**32: 'tail' to 'head' are there. */
    uint32_t tail OVS_GUARDED;
};

static struct soft_srq *
soft_srq_cast(const struct ordma_srq *srq)
{
    return CONTAINER_OF(srq, struct soft_srq, up);
}

int
soft_create_srq(struct ordma_dev *dev OVS_UNUSED, unsigned int n,
                struct ordma_srq **srqp)
{
    struct soft_srq *srq = xzalloc(sizeof *srq);

    srq->up.provider = &ordma_soft_provider;
    srq->mask = ROUND_UP_POW2(n) - 1;
    srq->wrs = xcalloc(srq->mask + 1, sizeof *srq->wrs);
    ovs_spin_init(&srq->lock);
    *srqp = &srq->up;
    return 0;
}

void
soft_destroy_srq(struct ordma_srq *srq_)
{
    struct soft_srq *srq = soft_srq_cast(srq_);

    ovs_spin_destroy(&srq->lock);
    free(srq->wrs);
    free(srq);
}

int
soft_post_srq_recv(struct ordma_srq *srq_, const struct ordma_recv_wr wrs[],
                   int n)
{
    struct soft_srq *srq = soft_srq_cast(srq_);
    int i;

    ovs_spin_lock(&srq->lock);
    for (i = 0; i < n && srq->head - srq->tail <= srq->mask; i++) {
        srq->wrs[srq->head++ & srq->mask] = wrs[i];
    }
    ovs_spin_unlock(&srq->lock);
    return i;
}

void
soft_srq_move(struct ordma_srq *srq_, struct roce_qp *qp)
{
    struct soft_srq *srq = soft_srq_cast(srq_);

    ovs_spin_lock(&srq->lock);
    if (srq->tail != srq->head) {
        const struct ordma_recv_wr *wr = &srq->wrs[srq->tail & srq->mask];

        if (!roce_qp_post_recv(qp, wr->addr, wr->len, wr->wr_id)) {
            srq->tail++;
        }
    }
    ovs_spin_unlock(&srq->lock);
}
