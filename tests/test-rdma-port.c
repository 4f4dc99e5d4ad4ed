/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Unit test of what moves frames: netdev-rdma-tx, -rx, rdma-lane and -rq. */

#undef NDEBUG
#include <config.h>

#include <errno.h>
#include <rte_mempool.h>

#include "openvswitch/vlog.h"
#include "ovstest.h"
#include "random.h"
#include "rdma-mem.h"
#include "rdma-rq.h"
#include "tests/rdma-loop.h"

/* Two ports, 'a' and 'b', that are connected to each other.  What goes between
 * them does so when the test says so. */

#define MAX_PENDING 65536
#define GUEST_BUFFERS 16384

/* A frame under way, as it must arrive. */
struct frame {
    uint16_t len;
    uint8_t seed;               /* Of its contents. */
    uint8_t tos, opts_len;
    uint16_t flags;             /* FLOW_TNL_F_*. */
    ovs_be64 tun_id;
    uint32_t hash;
};

struct end {
    struct loop *loop;
    struct netdev_rdma *port;
    struct netdev_rdma_rxq *rxq;

    /* Frames that it has sent and that have not arrived. */
    struct frame *pending;
    uint32_t head, tail;
};

static struct ordma_dev *dev;
static struct ordma_pool *guest_pool;

static uint64_t
counter(struct end *end, enum ordma_counter which)
{
    uint64_t totals[ORDMA_N_COUNTERS];

    ovs_mutex_lock(&ordma_mutex);
    netdev_rdma_sum_counters(end->port, totals);
    ovs_mutex_unlock(&ordma_mutex);
    return totals[which];
}

/* Returns all the frames that 'end' has dropped instead of sending or
 * delivering. */
static uint64_t
n_drops(struct end *end)
{
    uint64_t n = 0;

#define ORDMA_COUNTER(NAME) n += counter(end, ORDMA_##NAME);
    ORDMA_TX_DROPS
    ORDMA_RX_DROPS
#undef ORDMA_COUNTER
    return n;
}

static void
end_init(struct end *end, struct loop *peer, int n_desc)
{
    memset(end, 0, sizeof *end);
    end->loop = loop_create(dev, peer);
    end->port = loop_create_port(end->loop, n_desc);
    end->rxq = loop_create_rxq(end->port);
    end->pending = xcalloc(MAX_PENDING, sizeof *end->pending);
}

static void
pair_init(struct end *a, struct end *b, int a_desc, int b_desc)
{
    end_init(a, NULL, a_desc);
    end_init(b, a->loop, b_desc);
    loop_start(a->loop);
    loop_start(b->loop);
}

static void
end_destroy(struct end *end)
{
    struct ordma_lane *lane = loop_lane(end->loop);

    netdev_rdma_rxq_purge(end->rxq);
    assert(!ordma_lane_is_held(lane));
    ovs_mutex_lock(&ordma_mutex);
    ordma_lane_destroy(lane, &end->port->stats);
    ovs_mutex_unlock(&ordma_mutex);
    netdev_rdma_pools_unref(&end->port->pools);
    free(end->pending);
    free_cacheline(end->rxq);
}

/* Nothing is left of 'a' and 'b', nor has a buffer been lost. */
static void
pair_destroy(struct end *a, struct end *b)
{
    const struct rte_mempool *pools[] = {
        a->port->pools.rx->mp, b->port->pools.rx->mp,
        a->port->pools.tx->mp, b->port->pools.tx->mp, guest_pool->mp,
    };

    end_destroy(a);
    end_destroy(b);
    for (size_t i = 0; i < ARRAY_SIZE(pools); i++) {
        assert(rte_mempool_full(pools[i]));
    }
}

/* Frames. */

static uint8_t
content(const struct frame *frame, unsigned int i)
{
    return frame->seed + i * 7 + (i >> 8);
}

/* Where frames come from. */
enum source { GUEST, SHARED, HEAP, TIGHT, N_SOURCES };

static struct dp_packet *
alloc_packet(enum source source, const struct frame *frame)
{
    struct dp_packet *packet;
    struct rte_mbuf *mbuf;

    if (source == HEAP) {
        packet = dp_packet_new(frame->len);
        pkt_metadata_init(&packet->md, u32_to_odp(0));
        dp_packet_put_zeros(packet, frame->len);
        return packet;
    }
    mbuf = rte_pktmbuf_alloc(guest_pool->mp);
    assert(mbuf);
    if (source == TIGHT) {
        rte_pktmbuf_prepend(mbuf, RTE_PKTMBUF_HEADROOM);
        rte_pktmbuf_trim(mbuf, RTE_PKTMBUF_HEADROOM);
    } else if (source == SHARED) {
        rte_mbuf_refcnt_update(mbuf, 1);
    }
    packet = CONTAINER_OF(mbuf, struct dp_packet, mbuf);
    ordma_packet_init_fields(packet);
    assert(rte_pktmbuf_append(mbuf, frame->len));
    return packet;
}

static struct dp_packet *
make_packet(const struct frame *frame, enum source source)
{
    struct dp_packet *packet = alloc_packet(source, frame);
    uint8_t *data = dp_packet_data(packet);
    struct flow_tnl *tnl;

    for (unsigned int i = 0; i < frame->len; i++) {
        data[i] = content(frame, i);
    }
    pkt_metadata_init_tnl(&packet->md);
    tnl = &packet->md.tunnel;
    tnl->ip_dst = htonl(0xc0000202);
    tnl->flags = frame->flags;
    tnl->tun_id = frame->tun_id;
    tnl->ip_tos = frame->tos;
    tnl->metadata.present.len = frame->opts_len;
    for (unsigned int i = 0; i < frame->opts_len; i += 4) {
        memset(&tnl->metadata.opts.gnv[i / 4], 0, 4);
    }
    if (frame->hash) {
        dp_packet_set_rss_hash(packet, frame->hash);
    }
    return packet;
}

static void
check_packet(const struct dp_packet *packet, const struct frame *frame)
{
    const struct flow_tnl *tnl = &packet->md.tunnel;
    const uint8_t *data = dp_packet_data(packet);

    assert(dp_packet_size(packet) == frame->len);
    for (unsigned int i = 0; i < frame->len; i++) {
        assert(data[i] == content(frame, i));
    }
    assert(dp_packet_headroom(packet) >= RTE_PKTMBUF_HEADROOM);
    assert(tnl->ip_dst == htonl(0xc0000201));
    assert(tnl->ip_src == htonl(0xc0000202));
    assert(tnl->tun_id == frame->tun_id);
    assert(tnl->ip_tos == frame->tos);
    assert(tnl->ip_ttl == NETDEV_RDMA_DEFAULT_TTL);
    assert((tnl->flags & (FLOW_TNL_F_KEY | FLOW_TNL_F_OAM))
           == (frame->flags & (FLOW_TNL_F_KEY | FLOW_TNL_F_OAM)));
    assert(tnl->flags & FLOW_TNL_F_UDPIF);
    assert(tnl->metadata.present.len == frame->opts_len);
    assert(ordma_packet_has_hash(packet) == (frame->hash != 0));
    assert(!frame->hash || dp_packet_get_rss_hash(packet) == frame->hash);
}

static struct frame
plain_frame(uint16_t len)
{
    return (struct frame) { .len = len, .seed = random_uint32() };
}

static uint16_t
random_len(void)
{
    static const uint16_t lens[] = { 14, 15, 60, 64, 511, 512, 513, 1499, 1500,
                                     1514, 1522 };

    return (random_range(2) ? lens[random_range(ARRAY_SIZE(lens))]
            : 14 + random_range(1509));
}

static struct frame
random_frame(void)
{
    struct frame frame = plain_frame(random_len());

    if (random_range(2)) {
        frame.flags |= FLOW_TNL_F_KEY;
        frame.tun_id = htonll(random_uint32());
    }
    if (!random_range(4)) {
        frame.flags |= FLOW_TNL_F_OAM;
    }
    if (random_range(2)) {
        frame.flags |= FLOW_TNL_F_UDPIF;
        frame.opts_len = 4 * random_range(6);
    }
    frame.tos = random_range(256);
    frame.hash = random_range(2) ? random_uint32() | 1 : 0;
    return frame;
}

/* Sends the 'n' 'frames'.  Returns how many were taken. */
static int
send_frames(struct end *end, const struct frame frames[], int n,
            enum source source)
{
    uint64_t before = counter(end, ORDMA_TX_PACKETS);
    uint64_t drops = n_drops(end);
    struct rte_mbuf *shared[NETDEV_MAX_BURST];
    struct dp_packet_batch batch;
    int n_sent;

    dp_packet_batch_init(&batch);
    for (int i = 0; i < n; i++) {
        struct dp_packet *packet = make_packet(&frames[i], source);

        shared[i] = &packet->mbuf;
        dp_packet_batch_add(&batch, packet);
    }
    assert(!netdev_rdma_send(&end->port->up, 0, &batch, random_range(2)));
    for (int i = 0; i < n && source == SHARED; i++) {
        rte_pktmbuf_free(shared[i]);
    }

    n_sent = counter(end, ORDMA_TX_PACKETS) - before;
    assert(n_sent + n_drops(end) - drops == n);
    for (int i = 0; i < n_sent; i++) {
        assert(end->head - end->tail < MAX_PENDING);
        end->pending[end->head++ % MAX_PENDING] = frames[i];
    }
    return n_sent;
}

static int
send_plain(struct end *end, uint16_t len, int n)
{
    struct frame frames[NETDEV_MAX_BURST];

    for (int i = 0; i < n; i++) {
        frames[i] = plain_frame(len);
    }
    return send_frames(end, frames, n, GUEST);
}

/* Polls 'end' once, for frames that 'from' has sent.  Returns how many. */
static int
poll_end(struct end *end, struct end *from)
{
    struct dp_packet_batch batch;
    struct dp_packet *packet;
    int n;

    dp_packet_batch_init(&batch);
    n = netdev_rdma_rxq_recv(&end->rxq->up, &batch, NULL);
    assert(n == (dp_packet_batch_is_empty(&batch) ? EAGAIN : 0));
    assert(ordma_lane_is_held(loop_lane(end->loop))
           == (end->rxq->next_msg < end->rxq->n_msgs));
    n = dp_packet_batch_size(&batch);
    DP_PACKET_BATCH_FOR_EACH (i, packet, &batch) {
        assert(from->tail != from->head);
        check_packet(packet, &from->pending[from->tail++ % MAX_PENDING]);
    }
    dp_packet_delete_batch(&batch, true);
    return n;
}

/* Delivers all that is under way in both directions. */
static void
settle(struct end *a, struct end *b)
{
    bool busy;

    do {
        busy = loop_run(a->loop, INT_MAX) + loop_run(b->loop, INT_MAX);
        busy |= poll_end(a, b) + poll_end(b, a);
        busy |= a->loop->wc_head != a->loop->wc_tail;
        busy |= b->loop->wc_head != b->loop->wc_tail;
        busy |= a->rxq->next_msg < a->rxq->n_msgs;
        busy |= b->rxq->next_msg < b->rxq->n_msgs;
    } while (busy);
    assert(a->head == a->tail && b->head == b->tail);
}

/* Tests. */

static void
random_burst(struct end *end)
{
    struct frame frames[NETDEV_MAX_BURST];
    int n = 1 + random_range(NETDEV_MAX_BURST);
    bool alike = random_range(2);

    for (int i = 0; i < n; i++) {
        frames[i] = i && alike ? frames[0] : random_frame();
    }
    send_frames(end, frames, n, random_range(N_SOURCES));
}

/* Frames of any kind from any source in both directions: each arrives, once
 * and as it was, in order, or is counted. */
static void
test_random(bool has_srq)
{
    struct end a, b;

    loop_has_srq = has_srq;
    pair_init(&a, &b, 64, 256);
    a.loop->up.train_len = 1024;
    b.loop->up.max_inline = 128;
    for (int i = 0; i < 4000; i++) {
        switch (random_range(6)) {
        case 0: random_burst(&a); break;
        case 1: random_burst(&b); break;
        case 2: loop_run(a.loop, random_range(8)); break;
        case 3: loop_run(b.loop, random_range(8)); break;
        case 4: poll_end(&a, &b); break;
        case 5: poll_end(&b, &a); break;
        }
    }
    settle(&a, &b);
    assert(counter(&a, ORDMA_TX_PACKETS) == counter(&b, ORDMA_RX_PACKETS));
    assert(counter(&b, ORDMA_TX_PACKETS) == counter(&a, ORDMA_RX_PACKETS));
    assert(counter(&a, ORDMA_TX_BYTES) == counter(&b, ORDMA_RX_BYTES));
    assert(counter(&a, ORDMA_TX_MESSAGES) == counter(&b, ORDMA_RX_MESSAGES));
    assert(counter(&a, ORDMA_TX_PACKETS) > 1000);
    assert(!ordma_lane_failure(loop_lane(a.loop)));
    assert(!ordma_lane_failure(loop_lane(b.loop)));
    pair_destroy(&a, &b);
}

/* What shares a message: small frames, also with options; large ones in guest
 * memory are not copied. */
static void
test_messages(void)
{
    struct frame frames[32];
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 256, 256);
    assert(send_plain(&a, 64, 32) == 32);
    assert(counter(&a, ORDMA_TX_MESSAGES) == 1);
    assert(counter(&a, ORDMA_TX_COPIED_PACKETS) == 32);
    assert(send_plain(&a, 511, 2) == 2);
    assert(counter(&a, ORDMA_TX_MESSAGES) == 2);
    assert(send_plain(&a, 512, 2) == 2);
    assert(counter(&a, ORDMA_TX_MESSAGES) == 4);
    assert(counter(&a, ORDMA_TX_COPIED_PACKETS) == 34);
    settle(&a, &b);

    /* Equal parts, where the connection likes that. */
    a.loop->up.train_len = 1024;
    for (int i = 0; i < 32; i++) {
        frames[i] = plain_frame(64);
        frames[i].flags = FLOW_TNL_F_UDPIF;
        frames[i].opts_len = 8;
    }
    assert(send_frames(&a, frames, 32, GUEST) == 32);
    assert(counter(&a, ORDMA_TX_MESSAGES) == 4 + 4);
    for (uint32_t i = a.loop->sent_tail; i != a.loop->sent_head; i++) {
        assert(a.loop->sent[i % LOOP_RING].len == 8 + 8 * (20 + 8 + 64));
    }
    settle(&a, &b);
    frames[31].opts_len = 0;
    assert(send_frames(&a, frames, 32, GUEST) == 32);
    assert(counter(&a, ORDMA_TX_MESSAGES) == 4 + 4 + 1);
    settle(&a, &b);
    assert(!n_drops(&a) && !n_drops(&b));
    pair_destroy(&a, &b);
}

/* A receiver that does not poll gets as many messages as it has allowed, and
 * more when it has polled. */
static void
test_credits(bool has_srq)
{
    struct end a, b;

    loop_has_srq = has_srq;
    pair_init(&a, &b, 256, 64);
    for (int round = 0; round < 20; round++) {
        uint64_t before = counter(&a, ORDMA_TX_MESSAGES);
        uint64_t n;

        while (send_plain(&a, 1000, 5) == 5) {
            loop_run(a.loop, INT_MAX);
        }
        n = counter(&a, ORDMA_TX_MESSAGES) - before;
        assert(round ? n >= 28 && n <= 56 : n == 56);
        assert(counter(&a, ORDMA_TX_NO_CREDIT_DROPS) == n_drops(&a));
        settle(&a, &b);
    }
    assert(!n_drops(&b));
    pair_destroy(&a, &b);
}

/* A device that does not complete sends gets as many as the queue has. */
static void
test_queue_full(void)
{
    struct end a, b;
    int n = 0;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 256);
    while (send_plain(&a, 1000, 4) == 4) {
        n += 4;
    }
    assert(n == 56);
    assert(counter(&a, ORDMA_TX_QUEUE_FULL_DROPS) == 4);
    settle(&a, &b);
    assert(send_plain(&a, 1000, 4) == 4);
    settle(&a, &b);
    pair_destroy(&a, &b);
}

/* Lanes that share buffers have a part of them each, of what they send and of
 * what they may receive. */
static void
test_shares(void)
{
    struct end ends[8];
    struct ordma_share *share;

    loop_has_srq = true;
    for (int i = 0; i < 8; i += 2) {
        end_init(&ends[i], NULL, 256);
        end_init(&ends[i + 1], ends[i].loop, 256);
    }
    share = &loop_lane(ends[0].loop)->rq->share;
    assert(share->n_users == 8 && ordma_share_get(share) == 32);
    assert(loop_lane(ends[7].loop)->rq == loop_lane(ends[0].loop)->rq);
    ovs_mutex_lock(&ordma_mutex);
    assert(ordma_lane_initial_credits(loop_lane(ends[7].loop)) == 32);
    ovs_mutex_unlock(&ordma_mutex);

    share = &loop_lane(ends[0].loop)->tx_pool->share;
    assert(share->n_users == 8);
    assert(ordma_share_get(share) == share->total / 8);
    ordma_share_add(share, share->total / 40 - 8);
    for (int i = 0; i < 2; i++) {
        ovs_mutex_lock(&ordma_mutex);
        ordma_lane_start(loop_lane(ends[i].loop), 1000);
        ovs_mutex_unlock(&ordma_mutex);
        while (send_plain(&ends[i], 1000, 8) == 8) {
            /* Nothing. */
        }
        assert(counter(&ends[i], ORDMA_TX_PACKETS) == ordma_share_get(share));
        assert(counter(&ends[i], ORDMA_TX_QUEUE_FULL_DROPS));
    }
    ordma_share_add(share, -(share->total / 40 - 8));
    for (int i = 0; i < 6; i++) {
        end_destroy(&ends[i]);
        assert(share->n_users == 7 - i);
    }
    pair_destroy(&ends[6], &ends[7]);
}

/* Many lanes: what the peer has acknowledged does not stay in the send queue,
 * and the peer gets credits though its share is much less than what a single
 * lane could have. */
static void
test_many(void)
{
    struct ordma_share *tx, *rx;
    struct end a, b;

    loop_has_srq = true;
    pair_init(&a, &b, 256, 256);
    tx = &loop_lane(a.loop)->tx_pool->share;
    rx = &loop_lane(b.loop)->rq->share;
    ordma_share_add(tx, tx->total);
    ordma_share_add(rx, 1000);
    for (int i = 0; i < 100; i++) {
        struct ordma_lane_info info = { .rtt = 0 };

        assert(send_plain(&a, 600, 10) == 10);
        settle(&a, &b);
        ovs_mutex_lock(&ordma_mutex);
        ordma_lane_add_info(loop_lane(a.loop), &info);
        ovs_mutex_unlock(&ordma_mutex);
        assert(!info.n_queued);
    }
    ordma_share_add(tx, -tx->total);
    ordma_share_add(rx, -1000);
    pair_destroy(&a, &b);
}

/* What cannot be sent is counted by its reason. */
static void
test_tx_drops(void)
{
    struct frame frame = plain_frame(100);
    struct dp_packet_batch batch;
    struct ordma_session *session;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    assert(!send_plain(&a, 13, 1));
    assert(counter(&a, ORDMA_TX_RUNT_DROPS) == 1);
    assert(send_plain(&a, 14, 1));
    assert(!send_plain(&a, 1523, 1));
    assert(counter(&a, ORDMA_TX_MTU_EXCEEDED_DROPS) == 1);
    assert(send_plain(&a, 1522, 1));

    dp_packet_batch_init(&batch);
    dp_packet_batch_add(&batch, make_packet(&frame, GUEST));
    batch.packets[0]->md.tunnel.ip_dst = 0;
    netdev_rdma_send(&a.port->up, 0, &batch, false);
    assert(counter(&a, ORDMA_TX_NO_TUNNEL_DROPS) == 1);

    session = ovsrcu_get_protected(struct ordma_session *, &a.port->session);
    session->max_msg = ORDMA_MSG_HEADER_LEN + ORDMA_RECORD_HEADER_LEN + 100;
    assert(send_plain(&a, 100, 1));
    assert(!send_plain(&a, 101, 1));
    assert(counter(&a, ORDMA_TX_MTU_EXCEEDED_DROPS) == 2);

    atomic_store_relaxed(&a.port->is_up, false);
    assert(!send_plain(&a, 100, 3));
    assert(counter(&a, ORDMA_TX_ADMIN_DOWN_DROPS) == 3);
    atomic_store_relaxed(&a.port->is_up, true);
    settle(&a, &b);

    ovsrcu_set_hidden(&a.port->session, NULL);
    assert(!send_plain(&a, 100, 2));
    assert(counter(&a, ORDMA_TX_NO_CARRIER_DROPS) == 2);
    assert(n_drops(&a) == 9 && !n_drops(&b));
    pair_destroy(&a, &b);
}

/* What is not to be delivered is counted by its reason. */
static void
test_rx_drops(void)
{
    struct ordma_session *session;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 256, 256);
    session = ovsrcu_get_protected(struct ordma_session *, &b.port->session);
    session->in_key = (struct ordma_key) { ORDMA_KEY_FIXED, htonll(7) };
    send_plain(&a, 64, 3);
    send_plain(&a, 600, 1);
    loop_run(a.loop, INT_MAX);
    assert(!poll_end(&b, &a));
    assert(counter(&b, ORDMA_RX_WRONG_KEY_DROPS) == 4);
    session->in_key.mode = ORDMA_KEY_FLOW;

    b.port->max_frame = 1000;
    send_plain(&a, 1001, 2);
    loop_run(a.loop, INT_MAX);
    assert(!poll_end(&b, &a));
    assert(counter(&b, ORDMA_RX_OVERSIZE_DROPS) == 2);

    atomic_store_relaxed(&b.port->is_up, false);
    send_plain(&a, 64, 5);
    loop_run(a.loop, INT_MAX);
    assert(!poll_end(&b, &a));
    assert(counter(&b, ORDMA_RX_ADMIN_DOWN_DROPS) == 5);
    atomic_store_relaxed(&b.port->is_up, true);

    a.tail = a.head;
    send_plain(&a, 1000, 2);
    settle(&a, &b);
    assert(n_drops(&b) == 11 && !n_drops(&a));
    pair_destroy(&a, &b);
}

/* Puts a DATA message with the sequence number 'sequence' and one frame into
 * 'dst'.  Returns its length. */
static uint32_t
make_message(uint8_t *dst, uint16_t sequence)
{
    struct ordma_msg msg = { .n_records = 1, .sequence = sequence };
    struct ordma_record rec = { .frame_len = 64 };

    ordma_msg_put(dst, &msg);
    ordma_record_put(dst + ORDMA_MSG_HEADER_LEN, &rec);
    memset(dst + ORDMA_MSG_HEADER_LEN + ORDMA_RECORD_HEADER_LEN, 0, 64);
    return ORDMA_MSG_HEADER_LEN + ORDMA_RECORD_HEADER_LEN + 64;
}

/* A message that is not as it must be ends the connection, and what comes
 * behind it is dropped and counted. */
static void
test_malformed(const char *what)
{
    uint8_t message[128];
    struct end a, b;
    uint32_t len;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    send_plain(&a, 64, 2);
    settle(&a, &b);
    len = make_message(message, 1);
    if (!strcmp(what, "header")) {
        message[0] ^= 0x80;
    } else if (!strcmp(what, "record")) {
        message[ORDMA_MSG_HEADER_LEN + 7] = 1;
    } else if (!strcmp(what, "sequence")) {
        message[7]++;
    } else if (!strcmp(what, "short")) {
        len = ORDMA_MSG_HEADER_LEN - 1;
    }
    loop_inject(a.loop, message, len);
    loop_inject(a.loop, message, make_message(message, 2));
    assert(!poll_end(&b, &a));
    assert(counter(&b, ORDMA_RX_MALFORMED_MESSAGES) == 1);
    assert(counter(&b, ORDMA_RX_MALFORMED_DROPS)
           == 1 + (!strcmp(what, "record") || !strcmp(what, "sequence")));
    assert(ordma_lane_failure(loop_lane(b.loop)));
    assert(!poll_end(&b, &a));
    assert(!send_plain(&b, 64, 1));
    assert(counter(&b, ORDMA_TX_NO_CARRIER_DROPS) == 1);
    pair_destroy(&a, &b);
}

/* A peer that sends more than it may is disconnected. */
static void
test_no_credit(void)
{
    uint8_t message[128];
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    for (int i = 0; i < 57; i++) {
        loop_inject(a.loop, message, make_message(message, i));
    }
    for (int i = 0; i < 56; i++) {
        a.pending[a.head++] = (struct frame) { .len = 64 };
    }
    b.rxq->in_round = false;
    for (int i = 0; i < 4; i++) {
        struct dp_packet_batch batch;

        dp_packet_batch_init(&batch);
        netdev_rdma_rxq_recv(&b.rxq->up, &batch, NULL);
        dp_packet_delete_batch(&batch, true);
    }
    /* Credits that it has sent meanwhile have not arrived, but count. */
    assert(!ordma_lane_failure(loop_lane(b.loop)));
    for (int i = 57; i < 57 + 64; i++) {
        struct dp_packet_batch batch;

        loop_inject(a.loop, message, make_message(message, i));
        dp_packet_batch_init(&batch);
        atomic_store_relaxed(&loop_lane(b.loop)->rx_granted, 57);
        netdev_rdma_rxq_recv(&b.rxq->up, &batch, NULL);
        dp_packet_delete_batch(&batch, true);
        if (ordma_lane_failure(loop_lane(b.loop))) {
            break;
        }
    }
    assert(!strcmp(ordma_lane_failure(loop_lane(b.loop)),
                   "message without credit"));
    pair_destroy(&a, &b);
}

/* Sends that have not completed when the connection ends are counted. */
static void
test_flush(void)
{
    struct ordma_stats stats;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    send_plain(&a, 64, 30);
    send_plain(&a, 600, 3);
    loop_run(a.loop, 1);
    loop_fail(a.loop);
    poll_end(&a, &b);
    assert(!strcmp(ordma_lane_failure(loop_lane(a.loop)), "flushed"));
    assert(!send_plain(&a, 64, 1));

    memset(&stats, 0, sizeof stats);
    ovs_mutex_lock(&ordma_mutex);
    while (!ordma_lane_drain(loop_lane(a.loop), &stats)) {
        /* Nothing. */
    }
    ovs_mutex_unlock(&ordma_mutex);
    assert(poll_end(&b, &a) == 30);
    a.tail = a.head;
    end_destroy(&a);
    assert(counter(&a, ORDMA_TX_FLUSHED_DROPS) == 3);
    end_destroy(&b);
}

/* Messages that have arrived and that nobody polls any more are counted. */
static void
test_teardown(void)
{
    struct ordma_stats stats;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    send_plain(&a, 64, 32);
    send_plain(&a, 64, 32);
    send_plain(&a, 64, 5);
    loop_run(a.loop, 2);
    poll_end(&b, &a);
    assert(ordma_lane_is_held(loop_lane(b.loop)));
    loop_run(a.loop, 1);
    netdev_rdma_rxq_purge(b.rxq);
    assert(counter(&b, ORDMA_RX_TEARDOWN_DROPS) == 32);
    memset(&stats, 0, sizeof stats);
    loop_fail(b.loop);
    ovs_mutex_lock(&ordma_mutex);
    while (!ordma_lane_drain(loop_lane(b.loop), &stats)) {
        /* Nothing. */
    }
    ovs_mutex_unlock(&ordma_mutex);
    assert(stats.n[ORDMA_RX_TEARDOWN_DROPS] == 5);
    pair_destroy(&a, &b);
}

/* What people see of a lane is what the port has counted. */
static void
test_info(void)
{
    struct ordma_lane_info info = { .rtt = 0 };
    struct ordma_lane *lane;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 128);
    lane = loop_lane(a.loop);
    send_plain(&b, 600, 3);
    loop_run(b.loop, INT_MAX);
    poll_end(&a, &b);
    send_plain(&a, 64, 32);
    send_plain(&a, 600, 2);
    loop_run(a.loop, INT_MAX);
    for (int i = 0; i < 2; i++) {
        ovs_mutex_lock(&ordma_mutex);
        ordma_lane_add_info(lane, &info);
        ovs_mutex_unlock(&ordma_mutex);
    }
    assert(info.tx_messages == 2 * 3 && info.tx_frames == 2 * 34);
    assert(info.rx_messages == 2 * 3 && info.rx_frames == 2 * 3);
    assert(info.tx_bytes == 2 * (8 + 32 * 84 + 2 * 628));
    assert(info.rx_bytes == 2 * (3 * 628));
    assert(info.n_queued == 2 * 3 && info.n_send == 2 * 56);
    assert(info.tx_credits == 2 * (120 - 3));
    assert(info.rx_credits == 2 * 53);
    assert(!info.tx_drops && !info.rtt);
    assert(ordma_lane_n_messages(lane) == 6);
    while (send_plain(&a, 600, 5) == 5) {
        /* Nothing. */
    }
    ovs_mutex_lock(&ordma_mutex);
    ordma_lane_add_info(lane, &info);
    ovs_mutex_unlock(&ordma_mutex);
    assert(info.tx_drops == n_drops(&a) && info.tx_drops);
    settle(&a, &b);
    pair_destroy(&a, &b);
}

/* PINGs of any length are answered, and the time is taken. */
static void
test_ping(void)
{
    struct ordma_lane_info info;
    struct end a, b;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    for (unsigned int i = 0; i < 3; i++) {
        struct ordma_lane *lane = loop_lane(a.loop);
        static const uint32_t lens[] = { 0, 3000, 4096 };

        assert(ordma_lane_n_pongs(lane) == i);
        assert(ordma_lane_ping(lane, lens[i]));
        assert(a.loop->sent[a.loop->sent_tail % LOOP_RING].len
               == MAX(lens[i], ORDMA_MSG_HEADER_LEN));
        settle(&a, &b);
        assert(ordma_lane_n_pongs(lane) == i + 1);
        memset(&info, 0, sizeof info);
        ovs_mutex_lock(&ordma_mutex);
        ordma_lane_add_info(lane, &info);
        ovs_mutex_unlock(&ordma_mutex);
        assert(info.rtt > 0);
        assert(!info.tx_messages && !info.rx_messages && info.tx_bytes);
        assert(info.tx_credits == 56 && info.rx_credits == 56);
    }
    pair_destroy(&a, &b);
}

/* Memory that is not registered is copied, if there is any that is. */
static void
test_memory(void)
{
    struct end a, b;
    unsigned int n_chunks;

    loop_has_srq = false;
    pair_init(&a, &b, 64, 64);
    atomic_read(&dev->mem->n_chunks, &n_chunks);
    atomic_store(&dev->mem->n_chunks, 0);
    assert(!send_plain(&a, 1000, 1));
    assert(counter(&a, ORDMA_TX_COPIED_PACKETS) == 1);
    assert(!strcmp(ordma_lane_failure(loop_lane(a.loop)),
                   "DPDK gave memory back while in use"));
    atomic_store(&dev->mem->n_chunks, n_chunks);
    pair_destroy(&a, &b);
}

static void
test_rdma_port_main(int argc, char *argv[])
{
    char *eal_args[] = { "", "", "", "--no-huge", "--no-shconf" };
    static const char *const malformed[] = { "header", "record", "sequence",
                                             "short" };

    set_program_name(argv[0]);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_EMER);
    random_set_seed(argc > 1 ? atoi(argv[1]) : 1);
    loop_init_eal(ARRAY_SIZE(eal_args), eal_args);
    dev = loop_create_dev();
    assert(!ordma_pool_get(ORDMA_POOL_TX, GUEST_BUFFERS, 2048, 0,
                           &guest_pool));

    test_random(false);
    test_random(true);
    test_messages();
    test_credits(false);
    test_credits(true);
    test_queue_full();
    test_shares();
    test_many();
    test_tx_drops();
    test_rx_drops();
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        test_malformed(malformed[i]);
    }
    test_no_credit();
    test_flush();
    test_teardown();
    test_info();
    test_ping();
    test_memory();
}

OVSTEST_REGISTER("test-rdma-port", test_rdma_port_main);
