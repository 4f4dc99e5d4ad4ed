/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What PMD threads do to receive: messages to packets. */

#include <config.h>

#include <errno.h>
#include <rte_mbuf.h>

#include "netdev-rdma-private.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "rdma-compat.h"
#include "rdma-lane.h"
#include "rdma-offload.h"
#include "rdma-pool.h"

VLOG_DEFINE_THIS_MODULE(netdev_rdma_rx);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* Receiving: messages come from lanes, records out of messages, and each
 * record becomes a packet with tunnel metadata.
 *
 * A message with one record is handed up in the buffer in which it arrived,
 * whose headroom only grows by that.  The records of other messages are copied
 * to buffers of their own, because a packet needs headroom in front of it. */

/* Where packets go. */
struct rx_target {
    struct netdev_rdma *dev;
    struct ordma_stats *stats;
    struct dp_packet_batch *batch;
    const struct ordma_session *session;
    struct ordma_lane *lane;
};

/* Returns true if 'rec' has a key that the port receives. */
static bool
is_right_key(const struct ordma_session *session,
             const struct ordma_record *rec)
{
    return (session->in_key.mode == ORDMA_KEY_FLOW
            || session->in_key.key == rec->tun_id);
}

/* Initializes the metadata of 'packet' from 'rec'.  The datapath fills in the
 * input port. */
static void
set_metadata(struct dp_packet *packet, const struct ordma_session *session,
             const struct ordma_record *rec)
{
    struct flow_tnl *tnl = &packet->md.tunnel;

    pkt_metadata_init_tnl(&packet->md);
    tnl->ip_dst = in6_addr_get_mapped_ipv4(&session->local);
    if (tnl->ip_dst) {
        tnl->ip_src = in6_addr_get_mapped_ipv4(&session->remote);
    } else {
        tnl->ipv6_dst = session->local;
        tnl->ipv6_src = session->remote;
    }
    tnl->tun_id = rec->tun_id;
    tnl->ip_tos = rec->tos;
    tnl->ip_ttl = NETDEV_RDMA_DEFAULT_TTL;
    tnl->flags = (FLOW_TNL_F_UDPIF
                  | (rec->flags & ORDMA_REC_KEY ? FLOW_TNL_F_KEY : 0)
                  | (rec->flags & ORDMA_REC_OAM ? FLOW_TNL_F_OAM : 0));
    if (rec->opts_len) {
        memcpy(tnl->metadata.opts.gnv, rec->opts, rec->opts_len);
        tnl->metadata.present.len = rec->opts_len;
    }
}

/* Notes in 'packet' what its sender has left to others.  Returns false if that
 * is invalid. */
static bool
take_offload(const struct netdev_rdma *dev, const struct ordma_record *rec,
             struct dp_packet *packet)
{
    return (dev->has_offload
            ? ordma_offload_to_packet(rec, packet)
            : !(rec->flags & ORDMA_REC_PARTIAL));
}

/* Adds 'mbuf', which holds the frame of 'rec' and nothing else, to the
 * batch. */
static void
deliver(struct rx_target *target, struct rte_mbuf *mbuf,
        const struct ordma_record *rec)
{
    struct dp_packet *packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf);

    ordma_packet_init_fields(packet);
    set_metadata(packet, target->session, rec);
    if (OVS_UNLIKELY(!take_offload(target->dev, rec, packet))) {
        ordma_stats_add(target->stats, ORDMA_RX_INVALID_HWOL_DROPS, 1);
        dp_packet_delete(packet);
        return;
    }
    if (rec->flags & ORDMA_REC_HASH) {
        dp_packet_set_rss_hash(packet, rec->hash);
    }
    dp_packet_batch_add(target->batch, packet);
    ordma_stats_add(target->stats, ORDMA_RX_PACKETS, 1);
    ordma_stats_add(target->stats, ORDMA_RX_BYTES, rec->frame_len);
}

/* Returns true if the frame of 'rec' may pass, otherwise counts why not. */
static bool
admit(struct rx_target *target, const struct ordma_record *rec)
{
    enum ordma_counter reason;

    if (OVS_UNLIKELY(!is_right_key(target->session, rec))) {
        reason = ORDMA_RX_WRONG_KEY_DROPS;
    } else if (OVS_UNLIKELY(rec->frame_len
                            > netdev_rdma_max_frame(target->dev,
                                                    rec->gso_size))) {
        reason = ORDMA_RX_OVERSIZE_DROPS;
    } else if (OVS_UNLIKELY(!netdev_rdma_is_up(target->dev))) {
        reason = ORDMA_RX_ADMIN_DOWN_DROPS;
    } else {
        return true;
    }
    ordma_stats_add(target->stats, reason, 1);
    return false;
}

/* Delivers 'rec', the only record of the message 'mbuf', in place. */
static void
deliver_in_place(struct rx_target *target, struct rte_mbuf *mbuf,
                 const struct ordma_record *rec)
{
    if (admit(target, rec)) {
        rte_pktmbuf_adj(mbuf, ((const char *) rec->frame
                               - rte_pktmbuf_mtod(mbuf, const char *)));
        rte_pktmbuf_trim(mbuf, rte_pktmbuf_data_len(mbuf) - rec->frame_len);
        deliver(target, mbuf, rec);
    } else {
        rte_pktmbuf_free(mbuf);
    }
}

/* Delivers 'rec' in a buffer of its own. */
static void
deliver_copy(struct rx_target *target, const struct ordma_record *rec)
{
    const struct netdev_rdma *dev = target->dev;
    const struct ordma_pool *pool = (rec->frame_len <= dev->pools.tx->data_len
                                     ? dev->pools.tx : dev->pools.big);
    struct rte_mbuf *mbuf;

    if (!admit(target, rec)) {
        return;
    }
    mbuf = rte_pktmbuf_alloc(pool->mp);
    if (OVS_UNLIKELY(!mbuf)) {
        ordma_stats_add(target->stats, ORDMA_RX_NO_BUFFER_DROPS, 1);
        return;
    }
    memcpy(rte_pktmbuf_append(mbuf, rec->frame_len), rec->frame,
           rec->frame_len);
    ordma_stats_add(target->stats, ORDMA_RX_COPIED_PACKETS, 1);
    deliver(target, mbuf, rec);
}

/* Frees the first message that 'rxq' still has. */
static void
finish_message(struct netdev_rdma_rxq *rxq)
{
    rte_pktmbuf_free(rxq->msgs[rxq->next_msg++]);
    rxq->in_msg = false;
}

static bool
has_messages(const struct netdev_rdma_rxq *rxq)
{
    return rxq->next_msg < rxq->n_msgs;
}

/* Returns how many frames the first message that 'rxq' still has, has left. */
static unsigned int
count_left(const struct netdev_rdma_rxq *rxq)
{
    const struct rte_mbuf *mbuf = rxq->msgs[rxq->next_msg];
    struct ordma_cursor cursor;
    struct ordma_msg msg;

    if (rxq->in_msg) {
        return rxq->cursor.n_left;
    }
    return (ordma_msg_parse(rte_pktmbuf_mtod(mbuf, const void *),
                            rte_pktmbuf_data_len(mbuf), &msg, &cursor)
            ? 0 : msg.n_records);
}

/* Drops the messages that 'rxq' still has, because of 'reason'. */
static void
purge(struct netdev_rdma_rxq *rxq, enum ordma_counter reason)
{
    while (has_messages(rxq)) {
        ordma_stats_add(rxq->stats, reason, count_left(rxq));
        finish_message(rxq);
    }
}

void
netdev_rdma_rxq_purge(struct netdev_rdma_rxq *rxq)
{
    if (has_messages(rxq)) {
        purge(rxq, ORDMA_RX_TEARDOWN_DROPS);
        ordma_lane_hold(rxq->link->lane, false);
    }
}

/* Ends the connection of 'target' because its peer has sent nonsense, and
 * drops what else came from it. */
static void
fail_malformed(struct netdev_rdma_rxq *rxq, struct rx_target *target,
               const char *reason)
{
    VLOG_WARN_RL(&rl, "%s: malformed message: %s",
                 netdev_get_name(&target->dev->up), reason);
    ordma_stats_add(rxq->stats, ORDMA_RX_MALFORMED_MESSAGES, 1);
    ordma_lane_fail(target->lane, reason);
    purge(rxq, ORDMA_RX_MALFORMED_DROPS);
}

/* Takes the header of the next message of 'rxq'.  Returns false if it has no
 * records to deliver, which finishes it. */
static bool
begin_message(struct netdev_rdma_rxq *rxq, struct rx_target *target)
{
    struct rte_mbuf *mbuf = rxq->msgs[rxq->next_msg];
    enum ordma_msg_error error;
    struct ordma_msg msg;

    error = ordma_msg_parse(rte_pktmbuf_mtod(mbuf, const void *),
                            rte_pktmbuf_data_len(mbuf), &msg, &rxq->cursor);
    if (OVS_UNLIKELY(error)) {
        fail_malformed(rxq, target, ordma_msg_strerror(error));
        return false;
    }
    if (OVS_UNLIKELY(!ordma_lane_received(target->lane, &msg))) {
        fail_malformed(rxq, target, ordma_lane_failure(target->lane));
        return false;
    }
    if (!msg.n_records) {
        finish_message(rxq);
        return false;
    }
    ordma_stats_add(rxq->stats, ORDMA_RX_MESSAGES, 1);
    rxq->in_msg = true;
    return true;
}

/* Delivers the next record of the message that 'rxq' is in. */
static void
next_record(struct netdev_rdma_rxq *rxq, struct rx_target *target)
{
    unsigned int n_left = rxq->cursor.n_left;
    struct rte_mbuf *mbuf = rxq->msgs[rxq->next_msg];
    bool first = (rxq->cursor.p == rte_pktmbuf_mtod(mbuf, const uint8_t *)
                                   + ORDMA_MSG_HEADER_LEN);
    enum ordma_msg_error error;
    struct ordma_record rec;

    error = ordma_cursor_next(&rxq->cursor, &rec);
    if (OVS_UNLIKELY(error)) {
        rxq->cursor.n_left = n_left;    /* For purge(). */
        fail_malformed(rxq, target, ordma_msg_strerror(error));
    } else if (first && n_left == 1) {
        rxq->next_msg++;
        rxq->in_msg = false;
        deliver_in_place(target, mbuf, &rec);
    } else {
        deliver_copy(target, &rec);
        if (n_left == 1) {
            finish_message(rxq);
        }
    }
}

static bool
is_full(const struct rx_target *target)
{
    return dp_packet_batch_size(target->batch) >= NETDEV_MAX_BURST;
}

/* Delivers from the messages that 'rxq' has until they or the room in the
 * batch end. */
static void
deliver_messages(struct netdev_rdma_rxq *rxq, struct rx_target *target)
{
    while (has_messages(rxq) && !is_full(target)) {
        if (rxq->in_msg || begin_message(rxq, target)) {
            next_record(rxq, target);
        }
    }
}

static void
set_link(struct rx_target *target, const struct ordma_link *link)
{
    target->session = link->session;
    target->lane = link->lane;
}

/* Receives from 'link'. */
static void
poll_link(struct netdev_rdma_rxq *rxq, struct rx_target *target,
          const struct ordma_link *link)
{
    set_link(target, link);
    if (OVS_UNLIKELY(ordma_lane_failure(target->lane))) {
        return;                 /* The main thread takes care of the rest. */
    }
    rxq->next_msg = 0;
    rxq->n_msgs = ordma_lane_poll(target->lane, rxq->msgs, ORDMA_MAX_BURST);
    deliver_messages(rxq, target);
    ordma_lane_replenish(target->lane);
    if (has_messages(rxq)) {
        rxq->link = link;
        ordma_lane_hold(target->lane, true);
    }
}

/* Delivers what the last call left over. */
static void
deliver_leftover(struct netdev_rdma_rxq *rxq, struct rx_target *target)
{
    if (has_messages(rxq)) {
        set_link(target, rxq->link);
        deliver_messages(rxq, target);
        if (!has_messages(rxq)) {
            ordma_lane_hold(target->lane, false);
        }
    }
}

/* Polls the connections of 'cq' that have something, each once, until the
 * batch is full. */
static void
poll_cq(struct netdev_rdma_rxq *rxq, struct rx_target *target,
        struct ordma_cq *cq)
{
    struct ordma_conn *conn;

    while (!is_full(target) && (conn = cq->provider->poll_cq(cq))) {
        poll_link(rxq, target, conn->aux);
    }
    rxq->in_round = is_full(target);
}

/* Notes that this thread polls the receive queue that has 'queue'. */
static void
note_poller(struct netdev_rdma_queue *queue)
{
    unsigned int self = ovsthread_id_self();
    unsigned int poller;

    atomic_read_relaxed(&queue->poller, &poller);
    if (OVS_UNLIKELY(poller != self)) {
        atomic_store_relaxed(&queue->poller, self);
    }
}

int
netdev_rdma_rxq_recv(struct netdev_rxq *rxq_, struct dp_packet_batch *batch,
                     int *qfill)
{
    struct netdev_rdma_rxq *rxq = netdev_rdma_rxq_cast(rxq_);
    struct netdev_rdma *dev = netdev_rdma_cast(rxq_->netdev);
    struct netdev_rdma_queue *queue = &dev->rxqs[rxq_->queue_id];
    struct ordma_cq *cq = ovsrcu_get(struct ordma_cq *, &queue->cq);
    struct rx_target target = {
        .dev = dev,
        .stats = rxq->stats,
        .batch = batch,
    };
    bool was_in_round = rxq->in_round;

    if (qfill) {
        *qfill = -ENOTSUP;
    }
    note_poller(queue);
    deliver_leftover(rxq, &target);
    if (OVS_LIKELY(cq)) {
        poll_cq(rxq, &target, cq);
        if (was_in_round && dp_packet_batch_is_empty(batch)) {
            poll_cq(rxq, &target, cq);  /* That was only the end of one. */
        }
    }
    return dp_packet_batch_is_empty(batch) ? EAGAIN : 0;
}
