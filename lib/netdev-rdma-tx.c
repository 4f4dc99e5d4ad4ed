/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What PMD threads do to send: packets to messages. */

#include <config.h>

#include <rte_mbuf.h>

#include "netdev-rdma-private.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "rdma-compat.h"
#include "rdma-lane.h"
#include "rdma-mem.h"
#include "rdma-offload.h"
#include "rdma-pool.h"

/* Sending: frames become records, records become messages, messages go to
 * lanes.
 *
 * The frames of a burst that go to one lane share messages while they are
 * small: one message as a rule, or several of the same length, which the soft
 * provider sends as one datagram.  A large frame in registered memory is a
 * message by itself and is not copied.  Nothing is held back: when
 * netdev_rdma_send() returns, every frame has been given to a send queue or
 * dropped. */

BUILD_ASSERT_DECL(NETDEV_MAX_BURST <= ORDMA_MAX_BURST);

/* The messages for one lane under construction. */
struct tx_burst {
    struct netdev_rdma *dev;
    struct ordma_stats *stats;
    struct ordma_lane *lane;
    uint32_t max_msg;           /* Longest message to send. */
    uint32_t max_shared;        /* Longest for more than one frame. */
    unsigned int mem_hint;

    int n_msgs;
    bool open;                  /* May the last message take more records? */
    struct ordma_tx_msg msgs[NETDEV_MAX_BURST];
};

static void
drop(struct ordma_stats *stats, enum ordma_counter reason,
     struct dp_packet *packet)
{
    ordma_stats_add(stats, reason, 1);
    dp_packet_delete(packet);
}

/* Returns the bytes of Geneve options that go along with a packet. */
static uint16_t
opts_len(const struct flow_tnl *tnl)
{
    return (tnl->flags & FLOW_TNL_F_UDPIF
            ? ROUND_DOWN(tnl->metadata.present.len, 4) : 0);
}

/* Fills in '*rec' for 'packet'. */
static void
packet_to_record(const struct dp_packet *packet, struct ordma_record *rec)
{
    const struct flow_tnl *tnl = &packet->md.tunnel;
    bool has_hash = ordma_packet_has_hash(packet);
    bool has_key = tnl->flags & FLOW_TNL_F_KEY;

    *rec = (struct ordma_record) {
        .frame_len = dp_packet_size(packet),
        .flags = ((has_key ? ORDMA_REC_KEY : 0)
                  | (tnl->flags & FLOW_TNL_F_OAM ? ORDMA_REC_OAM : 0)
                  | (has_hash ? ORDMA_REC_HASH : 0)),
        .tos = tnl->ip_tos,
        .hash = has_hash ? dp_packet_get_rss_hash(packet) : 0,
        .tun_id = has_key ? tnl->tun_id : 0,
        .opts_len = opts_len(tnl),
        .opts = tnl->metadata.opts.gnv,
    };
}

/* Turns 'packet' into a message of its own, without copying the frame.
 * Returns false if it is in the wrong place for that. */
static bool
burst_add_in_place(struct tx_burst *burst, struct dp_packet *packet,
                   const struct ordma_record *rec)
{
    struct rte_mbuf *mbuf = &packet->mbuf;
    size_t headers = (ORDMA_MSG_HEADER_LEN + ORDMA_RECORD_HEADER_LEN
                      + rec->opts_len);
    size_t pad = ordma_record_pad(rec->frame_len);
    uint32_t lkey;
    char *data;

    if (packet->source != DPBUF_DPDK || rec->frame_len < NETDEV_RDMA_COPY_BREAK
        || rte_mbuf_refcnt_read(mbuf) != 1 || mbuf->nb_segs != 1
        || rte_pktmbuf_headroom(mbuf) < headers
        || rte_pktmbuf_tailroom(mbuf) < pad
        || !ordma_mem_lookup(burst->lane->conn->dev->mem,
                             (char *) dp_packet_data(packet) - headers,
                             headers + rec->frame_len + pad,
                             &burst->mem_hint, &lkey)) {
        return false;
    }

    data = rte_pktmbuf_prepend(mbuf, headers);
    ordma_record_put(data + ORDMA_MSG_HEADER_LEN, rec);
    memset(rte_pktmbuf_append(mbuf, pad), 0, pad);
    burst->msgs[burst->n_msgs++] = (struct ordma_tx_msg) {
        .mbuf = mbuf,
        .n_records = 1,
        .n_bytes = rec->frame_len,
    };
    burst->open = false;
    return true;
}

/* Returns the message of 'burst' that takes a record of 'size' bytes, or null
 * if there is no buffer. */
static struct ordma_tx_msg *
burst_get_open(struct tx_burst *burst, size_t size)
{
    struct ordma_tx_msg *msg = &burst->msgs[burst->n_msgs - 1];

    if (!burst->open
        || rte_pktmbuf_data_len(msg->mbuf) + size > burst->max_shared) {
        const struct ordma_pool *pool
            = (ORDMA_MSG_HEADER_LEN + size <= burst->max_shared
               ? burst->dev->pools.tx : burst->dev->pools.big);
        struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pool->mp);

        if (!mbuf) {
            return NULL;
        }
        rte_pktmbuf_append(mbuf, ORDMA_MSG_HEADER_LEN);
        msg = &burst->msgs[burst->n_msgs++];
        *msg = (struct ordma_tx_msg) { .mbuf = mbuf };
        burst->open = true;
    }
    return msg;
}

/* Copies 'packet' to the end of the last message, or to a new one.  Returns
 * false if there is no buffer. */
static bool
burst_add_copy(struct tx_burst *burst, const struct dp_packet *packet,
               const struct ordma_record *rec)
{
    size_t size = ordma_record_size(rec->opts_len, rec->frame_len);
    struct ordma_tx_msg *msg = burst_get_open(burst, size);
    size_t pad = ordma_record_pad(rec->frame_len);
    char *data;

    if (!msg) {
        return false;
    }
    data = rte_pktmbuf_append(msg->mbuf, size);
    ordma_record_put(data, rec);
    memcpy(data + ORDMA_RECORD_HEADER_LEN + rec->opts_len,
           dp_packet_data(packet), rec->frame_len);
    memset(data + size - pad, 0, pad);
    msg->n_records++;
    msg->n_bytes += rec->frame_len;
    return true;
}

/* Adds 'packet' to 'burst', or drops it. */
static void
burst_add(struct tx_burst *burst, struct dp_packet *packet)
{
    struct ordma_stats *stats = burst->stats;
    uint32_t len = dp_packet_size(packet);
    struct ordma_record rec;

    if (OVS_UNLIKELY(len < ORDMA_MIN_FRAME_LEN)) {
        drop(stats, ORDMA_TX_RUNT_DROPS, packet);
        return;
    }
    if (OVS_UNLIKELY(!flow_tnl_dst_is_set(&packet->md.tunnel))) {
        drop(stats, ORDMA_TX_NO_TUNNEL_DROPS, packet);
        return;
    }
    if (OVS_UNLIKELY(len > netdev_rdma_max_frame(
                               burst->dev, ordma_packet_is_tso(packet)))) {
        drop(stats, ORDMA_TX_MTU_EXCEEDED_DROPS, packet);
        return;
    }
    packet_to_record(packet, &rec);
    if (burst->dev->has_offload
        && OVS_UNLIKELY(!ordma_offload_to_record(
                            packet, burst->dev->max_frame - NETDEV_RDMA_L2_LEN,
                            &rec))) {
        drop(stats, ORDMA_TX_INVALID_HWOL_DROPS, packet);
        return;
    }
    if (OVS_UNLIKELY(ORDMA_MSG_HEADER_LEN
                     + ordma_record_size(rec.opts_len, len)
                     > burst->max_msg)) {
        drop(stats, ORDMA_TX_MTU_EXCEEDED_DROPS, packet);
        return;
    }

    if (burst_add_in_place(burst, packet, &rec)) {
        /* The message owns the packet. */
    } else if (burst_add_copy(burst, packet, &rec)) {
        ordma_stats_add(stats, ORDMA_TX_COPIED_PACKETS, 1);
        dp_packet_delete(packet);
    } else {
        drop(stats, ORDMA_TX_NO_BUFFER_DROPS, packet);
    }
}

static enum ordma_counter
result_to_counter(enum ordma_tx_result result)
{
    switch (result) {
    case ORDMA_TX_NO_CREDIT:
        return ORDMA_TX_NO_CREDIT_DROPS;
    case ORDMA_TX_QUEUE_FULL:
        return ORDMA_TX_QUEUE_FULL_DROPS;
    case ORDMA_TX_OK:
    case ORDMA_TX_FAILED:
    default:
        return ORDMA_TX_NO_CARRIER_DROPS;
    }
}

/* Sends the messages of 'burst'. */
static void
burst_flush(struct tx_burst *burst)
{
    enum ordma_counter reason;
    int n = burst->n_msgs;

    if (!n) {
        return;
    }
    reason = result_to_counter(ordma_lane_send(burst->lane, burst->msgs, &n));
    for (int i = 0; i < burst->n_msgs; i++) {
        const struct ordma_tx_msg *msg = &burst->msgs[i];

        if (OVS_LIKELY(i < n)) {
            ordma_stats_add(burst->stats, ORDMA_TX_PACKETS, msg->n_records);
            ordma_stats_add(burst->stats, ORDMA_TX_BYTES, msg->n_bytes);
        } else {
            ordma_stats_add(burst->stats, reason, msg->n_records);
            rte_pktmbuf_free(msg->mbuf);
        }
    }
    ordma_stats_add(burst->stats, ORDMA_TX_MESSAGES, n);
}

static uint32_t
record_size(const struct dp_packet *packet)
{
    return ordma_record_size(opts_len(&packet->md.tunnel),
                             dp_packet_size(packet));
}

/* Returns the length of the messages that the 'n' packets 'packets' should
 * share, at most 'max'.  If their records are all of a size, and the
 * connection prefers messages of the same length, then that is a power-of-2
 * part of them. */
static uint32_t
shared_len(const struct ordma_conn *conn, struct dp_packet *packets[], int n,
           uint32_t max)
{
    uint32_t size = record_size(packets[0]);

    if (ORDMA_MSG_HEADER_LEN + n * size <= conn->train_len
        || ORDMA_MSG_HEADER_LEN + size > MIN(conn->train_len, max)) {
        return max;
    }
    for (int i = 1; i < n; i++) {
        if (record_size(packets[i]) != size) {
            return max;
        }
    }
    while (ORDMA_MSG_HEADER_LEN + n * size > conn->train_len) {
        n = DIV_ROUND_UP(n, 2);
    }
    return MIN(ORDMA_MSG_HEADER_LEN + n * size, max);
}

/* Sends the 'n' packets 'packets' to lane 'lane' of 'session'. */
static void
send_to_lane(struct netdev_rdma *dev, struct ordma_stats *stats,
             const struct ordma_session *session, unsigned int lane,
             struct dp_packet *packets[], int n)
{
    struct tx_burst burst;

    burst.dev = dev;
    burst.stats = stats;
    burst.lane = session->links[lane].lane;
    burst.max_msg = MIN(session->max_msg, dev->pools.big->data_len);
    burst.max_shared = shared_len(burst.lane->conn, packets, n,
                                  MIN(session->max_msg,
                                      dev->pools.tx->data_len));
    burst.mem_hint = 0;
    burst.n_msgs = 0;
    burst.open = false;
    for (int i = 0; i < n; i++) {
        burst_add(&burst, packets[i]);
    }
    burst_flush(&burst);
}

/* Lanes of a session to send to. */
struct lane_set {
    uint8_t lanes[ORDMA_MAX_LANES];
    unsigned int n;
};

/* Stores in '*set' which lanes of 'session' this thread, which has transmit
 * queue 'qid' of 'dev', sends to: those that it polls, so that what belongs to
 * a lane stays with one core, and a burst makes few messages.  A thread that
 * polls none has to share one. */
static void
get_lanes(const struct netdev_rdma *dev, unsigned int qid,
          const struct ordma_session *session, struct lane_set *set)
{
    unsigned int self = ovsthread_id_self();
    int rxq = 0;

    set->n = 0;
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        unsigned int poller;

        atomic_read_relaxed(&dev->rxqs[rxq].poller, &poller);
        if (poller == self) {
            set->lanes[set->n++] = i;
        }
        if (++rxq >= dev->up.n_rxq) {
            rxq = 0;
        }
    }
    if (!set->n) {
        set->lanes[set->n++] = qid % session->n_lanes;
    }
}

/* Returns the lane in 'set' for 'packet': the same for all packets of a flow,
 * so that they stay in order. */
static unsigned int
packet_lane(const struct lane_set *set, const struct dp_packet *packet)
{
    uint32_t hash = (ordma_packet_has_hash(packet)
                     ? dp_packet_get_rss_hash(packet) : 0);

    return set->lanes[(uint64_t) hash * set->n >> 32];
}

/* Sends the 'n' packets 'packets', at most NETDEV_MAX_BURST, to the lanes in
 * 'set' of 'session', lane by lane. */
static void
send_to_lanes(struct netdev_rdma *dev, struct ordma_stats *stats,
              const struct ordma_session *session, const struct lane_set *set,
              struct dp_packet *packets[], unsigned int n)
{
    uint8_t lanes[NETDEV_MAX_BURST];
    uint64_t todo = 0;

    for (unsigned int i = 0; i < n; i++) {
        lanes[i] = packet_lane(set, packets[i]);
        todo |= UINT64_C(1) << lanes[i];
    }
    for (; todo; todo = zero_rightmost_1bit(todo)) {
        unsigned int lane = raw_ctz(todo);
        struct dp_packet *mine[NETDEV_MAX_BURST];
        int n_mine = 0;

        for (unsigned int i = 0; i < n; i++) {
            if (lanes[i] == lane) {
                mine[n_mine++] = packets[i];
            }
        }
        send_to_lane(dev, stats, session, lane, mine, n_mine);
    }
}

/* Sends the 'n' packets 'packets', at most NETDEV_MAX_BURST. */
static void
send_burst(struct netdev_rdma *dev, struct ordma_stats *stats,
           unsigned int qid, const struct ordma_session *session,
           struct dp_packet *packets[], unsigned int n)
{
    struct lane_set set;

    if (OVS_LIKELY(session->n_lanes == 1)) {
        send_to_lane(dev, stats, session, 0, packets, n);
        return;
    }
    get_lanes(dev, qid, session, &set);
    if (OVS_LIKELY(set.n == 1)) {
        send_to_lane(dev, stats, session, set.lanes[0], packets, n);
    } else {
        send_to_lanes(dev, stats, session, &set, packets, n);
    }
}

void
netdev_rdma_send_to_session(struct netdev_rdma *dev,
                            struct ordma_stats *stats, unsigned int qid,
                            const struct ordma_session *session,
                            struct dp_packet *packets[], unsigned int n)
{
    for (unsigned int i = 0; i < n; i += NETDEV_MAX_BURST) {
        send_burst(dev, stats, qid, session, &packets[i],
                   MIN(n - i, NETDEV_MAX_BURST));
    }
}

static void
drop_batch(struct ordma_stats *stats, enum ordma_counter reason,
           struct dp_packet_batch *batch)
{
    ordma_stats_add(stats, reason, dp_packet_batch_size(batch));
    dp_packet_delete_batch(batch, true);
}

/* Sends the 'n' packets 'packets', whose metadata say the same addresses, to
 * one of many peers. */
static void
send_to_dest(struct netdev_rdma *dev, struct ordma_stats *stats,
             unsigned int qid, struct dp_packet *packets[], unsigned int n)
{
    struct in6_addr remote = flow_tnl_dst(&packets[0]->md.tunnel);
    struct in6_addr local = flow_tnl_src(&packets[0]->md.tunnel);
    struct netdev_rdma_dest *dest
        = netdev_rdma_peers_find(&dev->peers, &remote, &local);
    const struct ordma_session *session
        = dest ? ovsrcu_get(struct ordma_session *, &dest->session) : NULL;

    if (OVS_LIKELY(session)) {
        netdev_rdma_send_to_session(dev, stats, qid, session, packets, n);
    } else {
        netdev_rdma_peers_hold(&dev->peers, dest, stats, packets, n);
    }
}

static bool
has_same_dest(const struct dp_packet *a, const struct dp_packet *b)
{
    const struct flow_tnl *x = &a->md.tunnel;
    const struct flow_tnl *y = &b->md.tunnel;

    return (x->ip_dst == y->ip_dst && x->ip_src == y->ip_src
            && (x->ip_dst || (ipv6_addr_equals(&x->ipv6_dst, &y->ipv6_dst)
                              && ipv6_addr_equals(&x->ipv6_src,
                                                  &y->ipv6_src))));
}

/* Sends 'batch' to many peers, one after the other. */
static void
send_to_dests(struct netdev_rdma *dev, struct ordma_stats *stats,
              unsigned int qid, struct dp_packet_batch *batch)
{
    unsigned int n = dp_packet_batch_size(batch);
    uint64_t todo = (UINT64_C(1) << n) - 1;

    while (todo) {
        struct dp_packet *first = batch->packets[raw_ctz(todo)];
        struct dp_packet *packets[NETDEV_MAX_BURST];
        unsigned int n_packets = 0;

        for (unsigned int i = raw_ctz(todo); i < n; i++) {
            if (todo & (UINT64_C(1) << i)
                && has_same_dest(batch->packets[i], first)) {
                packets[n_packets++] = batch->packets[i];
                todo &= ~(UINT64_C(1) << i);
            }
        }
        if (OVS_LIKELY(flow_tnl_dst_is_set(&first->md.tunnel))) {
            send_to_dest(dev, stats, qid, packets, n_packets);
        } else {
            ordma_stats_add(stats, ORDMA_TX_NO_TUNNEL_DROPS, n_packets);
            for (unsigned int i = 0; i < n_packets; i++) {
                dp_packet_delete(packets[i]);
            }
        }
    }
}

static void
send_batch(struct netdev_rdma *dev, struct ordma_stats *stats,
           unsigned int qid, struct dp_packet_batch *batch)
{
    const struct ordma_session *session = netdev_rdma_session(dev);

    if (OVS_UNLIKELY(!netdev_rdma_is_up(dev))) {
        drop_batch(stats, ORDMA_TX_ADMIN_DOWN_DROPS, batch);
    } else if (OVS_LIKELY(session)) {
        netdev_rdma_send_to_session(dev, stats, qid, session, batch->packets,
                                    dp_packet_batch_size(batch));
    } else if (netdev_rdma_peers_are_many(&dev->peers)) {
        send_to_dests(dev, stats, qid, batch);
    } else {
        drop_batch(stats, ORDMA_TX_NO_CARRIER_DROPS, batch);
    }
}

int
netdev_rdma_send(struct netdev *netdev, int qid,
                 struct dp_packet_batch *batch, bool concurrent_txq)
{
    struct netdev_rdma *dev = netdev_rdma_cast(netdev);
    struct netdev_rdma_queue *txq = &dev->txqs[qid];

    if (OVS_UNLIKELY(concurrent_txq)) {
        ovs_spin_lock(&txq->lock);
        send_batch(dev, &txq->stats, qid, batch);
        ovs_spin_unlock(&txq->lock);
    } else {
        send_batch(dev, &txq->stats, qid, batch);
    }
    return 0;
}
