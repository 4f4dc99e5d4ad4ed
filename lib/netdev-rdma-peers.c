/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The peers of a port, which come with frames or requests and go when idle. */

#include <config.h>

#include "netdev-rdma-peers.h"

#include <limits.h>
#include <rte_ring.h>

#include "dp-packet.h"
#include "hash.h"
#include "netdev-rdma-private.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "rdma-accept.h"
#include "rdma-addr.h"
#include "rdma-lane.h"
#include "rdma-stats.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

/* Frames under way to the main thread at most; a power of 2. */
#define QUEUE_SIZE 1024

#define SWEEP_INTERVAL 1000     /* In ms. */

static uint32_t
hash_addr(const struct in6_addr *addr)
{
    return hash_bytes(addr, sizeof *addr, 0);
}

/* Any thread. */

struct netdev_rdma_dest *
netdev_rdma_peers_find(const struct netdev_rdma_peers *peers,
                       const struct in6_addr *remote,
                       const struct in6_addr *local)
{
    bool any_local = !ipv6_addr_is_set(local);
    struct netdev_rdma_dest *dest;

    CMAP_FOR_EACH_WITH_HASH (dest, node, hash_addr(remote), &peers->by_addr) {
        if (ipv6_addr_equals(&dest->id.remote, remote)
            && (any_local || ipv6_addr_equals(&dest->id.local, local))) {
            return dest;
        }
    }
    return NULL;
}

static void
drop(struct ordma_stats *stats, enum ordma_counter reason,
     struct dp_packet *packets[], unsigned int n)
{
    ordma_stats_add(stats, reason, n);
    for (unsigned int i = 0; i < n; i++) {
        dp_packet_delete(packets[i]);
    }
}

/* Queues as many of the 'n' frames 'packets' as there is room for, and has the
 * main thread look.  Returns how many. */
static unsigned int
enqueue(struct netdev_rdma_peers *peers, struct dp_packet *packets[],
        unsigned int n)
{
    n = rte_ring_mp_enqueue_burst(peers->queue, (void **) packets, n, NULL);
    if (!atomic_exchange(&peers->woken, true)) {
        seq_change(ordma_seq());
    }
    return n;
}

void
netdev_rdma_peers_hold(struct netdev_rdma_peers *peers,
                       struct netdev_rdma_dest *dest,
                       struct ordma_stats *stats,
                       struct dp_packet *packets[], unsigned int n)
{
    bool hold = true, full = false;

    if (dest) {
        atomic_read_relaxed(&dest->hold, &hold);
    } else {
        atomic_read_relaxed(&peers->full, &full);
    }
    if (!hold) {
        atomic_store_relaxed(&dest->wanted, true);
        drop(stats, ORDMA_TX_NO_CARRIER_DROPS, packets, n);
    } else if (full) {
        drop(stats, ORDMA_TX_PEER_LIMIT_DROPS, packets, n);
    } else {
        unsigned int n_done = enqueue(peers, packets, n);

        drop(stats, ORDMA_TX_PENDING_DROPS, packets + n_done, n - n_done);
    }
}

/* Peers come and go. */

static struct netdev_rdma *
dev_from_port(struct ordma_port *port)
{
    return CONTAINER_OF(port, struct netdev_rdma, peers.port);
}

static void
set_full(struct netdev_rdma_peers *peers)
    OVS_REQUIRES(ordma_mutex)
{
    atomic_store_relaxed(&peers->full, peers->n_dests >= peers->max_peers);
}

/* Creates a peer as '*id' says: on demand, if that has no 'slot'. */
static struct netdev_rdma_dest *
dest_create(struct netdev_rdma_peers *peers, const struct ordma_peer_id *id)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_dest *dest = xzalloc(sizeof *dest);

    dest->id = *id;
    dest->last_used = time_msec();
    ovsrcu_init(&dest->session, NULL);
    atomic_init(&dest->hold, true);
    if (!id->slot) {
        dest->id.slot = &dest->session;
        dest->id.wanted = &dest->wanted;
    }
    dest->peer = ordma_peer_create(&peers->port, &dest->id);
    cmap_insert(&peers->by_addr, &dest->node, hash_addr(&id->remote));
    ovs_list_push_back(&peers->dests, &dest->list_node);
    peers->n_dests++;
    set_full(peers);
    return dest;
}

/* Creates a peer on demand, one of many.  Returns null if there are too
 * many. */
static struct netdev_rdma_dest *
dest_create_many(struct netdev_rdma_peers *peers,
                 const struct in6_addr *remote, const struct in6_addr *local)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_peer_id id = { .remote = *remote, .local = *local };

    return (peers->n_dests < peers->max_peers ? dest_create(peers, &id)
            : NULL);
}

static void
drop_held(struct netdev_rdma *dev, struct netdev_rdma_dest *dest)
    OVS_REQUIRES(ordma_mutex)
{
    drop(&dev->stats, ORDMA_TX_NO_CARRIER_DROPS, dest->held, dest->n_held);
    dev->peers.n_held -= dest->n_held;
    dest->n_held = 0;
}

static void
dest_free(struct netdev_rdma_dest *dest)
{
    free(dest->held);
    free(dest);
}

static void
dest_destroy(struct netdev_rdma *dev, struct netdev_rdma_dest *dest,
             const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_peers *peers = &dev->peers;

    ordma_peer_destroy(dest->peer, reason);
    drop_held(dev, dest);
    cmap_remove(&peers->by_addr, &dest->node, hash_addr(&dest->id.remote));
    ovs_list_remove(&dest->list_node);
    peers->n_dests--;
    set_full(peers);
    ovsrcu_postpone(dest_free, dest);
}

/* Called for a connection request from 'remote' to 'local'. */
static struct ordma_peer *
get_peer(struct ordma_port *port, const struct in6_addr *remote,
         const struct in6_addr *local)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_peers *peers = &dev_from_port(port)->peers;
    const struct in6_addr *from = peers->src_flow ? local : &port->local;
    struct netdev_rdma_dest *dest = netdev_rdma_peers_find(peers, remote,
                                                           from);

    if (!dest && netdev_rdma_peers_are_many(peers)) {
        dest = dest_create_many(peers, remote, from);
    }
    return dest ? dest->peer : NULL;
}

/* Frames that PMD threads have queued. */

/* Finds or creates the peer that 'packet' is for and stores it in '*destp'.
 * Returns 0 or what to count if that is not possible. */
static enum ordma_counter
get_dest(struct netdev_rdma_peers *peers, const struct dp_packet *packet,
         struct netdev_rdma_dest **destp)
    OVS_REQUIRES(ordma_mutex)
{
    struct in6_addr remote = flow_tnl_dst(&packet->md.tunnel);
    struct in6_addr local = flow_tnl_src(&packet->md.tunnel);
    struct netdev_rdma_dest *dest = netdev_rdma_peers_find(peers, &remote,
                                                           &local);

    if (!dest) {
        struct ordma_route route;

        if (!ordma_addr_is_remote(&remote)) {
            return ORDMA_TX_NO_CARRIER_DROPS;
        }
        /* With local_ip=flow, peers differ in both addresses. */
        if (peers->src_flow && !ipv6_addr_is_set(&local)
            && !ordma_route_lookup(&remote, &local, &route)) {
            local = route.src;
        }
        dest = dest_create_many(peers, &remote, &local);
        if (!dest) {
            return ORDMA_TX_PEER_LIMIT_DROPS;
        }
        atomic_store_relaxed(&dest->wanted, true);
    }
    *destp = dest;
    return 0;
}

/* Does with the frames held for 'dest' what its state allows. */
static void
flush_held(struct netdev_rdma *dev, struct netdev_rdma_dest *dest)
    OVS_REQUIRES(ordma_mutex)
{
    enum ordma_peer_state state = ordma_peer_get_state(dest->peer);

    if (state == ORDMA_PEER_UP) {
        struct ordma_session *session
            = ovsrcu_get_protected(struct ordma_session *, dest->id.slot);

        netdev_rdma_send_to_session(dev, &dev->stats, 0, session, dest->held,
                                    dest->n_held);
        dev->peers.n_held -= dest->n_held;
        dest->n_held = 0;
    } else if (state == ORDMA_PEER_BACKOFF) {
        drop_held(dev, dest);
    }
    if (!dest->n_held) {
        free(dest->held);
        dest->held = NULL;
    }
    atomic_store_relaxed(&dest->hold, state != ORDMA_PEER_BACKOFF);
}

/* Holds 'packet', which a PMD thread has queued, for its peer.  Returns 0 or
 * what to count if that is not possible. */
static enum ordma_counter
hold_packet(struct netdev_rdma *dev, struct dp_packet *packet)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_peers *peers = &dev->peers;
    struct netdev_rdma_dest *dest;
    enum ordma_counter reason;

    if (!netdev_rdma_peers_are_many(peers)) {
        return ORDMA_TX_NO_CARRIER_DROPS;
    }
    reason = get_dest(peers, packet, &dest);
    if (reason) {
        return reason;
    }
    if (dest->n_held >= NETDEV_RDMA_PEERS_MAX_HELD) {
        flush_held(dev, dest);
    }
    if (dest->n_held >= NETDEV_RDMA_PEERS_MAX_HELD
        || peers->n_held >= NETDEV_RDMA_PEERS_MAX_TOTAL) {
        return ORDMA_TX_PENDING_DROPS;
    }
    if (!dest->held) {
        dest->held = xcalloc(NETDEV_RDMA_PEERS_MAX_HELD, sizeof *dest->held);
    }
    dest->held[dest->n_held++] = packet;
    peers->n_held++;
    return 0;
}

static void
drain_queue(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    void *packet_;

    atomic_store(&dev->peers.woken, false);
    for (int i = 0; i < QUEUE_SIZE; i++) {
        struct dp_packet *packet;
        enum ordma_counter reason;

        if (rte_ring_sc_dequeue(dev->peers.queue, &packet_)) {
            return;
        }
        packet = packet_;
        reason = hold_packet(dev, packet);
        if (reason) {
            drop(&dev->stats, reason, &packet, 1);
        }
    }
}

/* Periodic work. */

/* Returns true if 'dest' has been of no use for long.  The side that has
 * dialed ends a connection: the other may be of a kind that dials for ever. */
static bool
is_unused(const struct netdev_rdma_peers *peers, struct netdev_rdma_dest *dest)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t n_messages = ordma_peer_n_messages(dest->peer);
    long long int now = time_msec();

    if (n_messages != dest->n_messages) {
        dest->n_messages = n_messages;
        dest->last_used = now;
    }
    return (now - dest->last_used >= peers->idle_timeout
            && ordma_peer_has_dialed(dest->peer));
}

static void
dest_run(struct netdev_rdma *dev, struct netdev_rdma_dest *dest, bool sweep)
    OVS_REQUIRES(ordma_mutex)
{
    flush_held(dev, dest);
    if (ordma_peer_get_state(dest->peer) == ORDMA_PEER_IDLE) {
        if (dest->n_held) {
            ordma_peer_reconnect(dest->peer);
        } else {
            dest_destroy(dev, dest, "idle");
        }
    } else if (sweep && is_unused(&dev->peers, dest)) {
        dest_destroy(dev, dest, "idle");
    }
}

void
netdev_rdma_peers_run(struct netdev_rdma *dev)
{
    struct netdev_rdma_peers *peers = &dev->peers;
    bool sweep = time_msec() >= peers->next_sweep;
    struct netdev_rdma_dest *dest;

    drain_queue(dev);
    if (!netdev_rdma_peers_are_many(peers)) {
        return;
    }
    set_full(peers);            /* 'max_peers' may have changed. */
    if (sweep) {
        peers->next_sweep = time_msec() + SWEEP_INTERVAL;
    }
    LIST_FOR_EACH_SAFE (dest, list_node, &peers->dests) {
        dest_run(dev, dest, sweep);
    }
}

void
netdev_rdma_peers_wait(struct netdev_rdma *dev)
{
    if (netdev_rdma_peers_are_many(&dev->peers) && dev->peers.n_dests) {
        poll_timer_wait_until(dev->peers.next_sweep);
    }
    if (!rte_ring_empty(dev->peers.queue)) {
        poll_immediate_wake();
    }
}

/* Life cycle. */

void
netdev_rdma_peers_init(struct netdev_rdma *dev)
{
    struct netdev_rdma_peers *peers = &dev->peers;

    cmap_init(&peers->by_addr);
    ovs_list_init(&peers->dests);
    peers->queue = xzalloc_cacheline(rte_ring_get_memsize(QUEUE_SIZE));
    rte_ring_init(peers->queue, "", QUEUE_SIZE, RING_F_SC_DEQ);
}

void
netdev_rdma_peers_destroy(struct netdev_rdma *dev)
{
    netdev_rdma_peers_stop(dev, "port deleted");
    drain_queue(dev);
    free_cacheline(dev->peers.queue);
    cmap_destroy(&dev->peers.by_addr);
}

void
netdev_rdma_peers_start(struct netdev_rdma *dev)
{
    struct netdev_rdma_peers *peers = &dev->peers;
    struct ordma_port *port = &peers->port;

    peers->in_use = true;
    port->get_peer = get_peer;
    ordma_port_add(port);
    if (ipv6_addr_is_set(&port->remote)) {
        struct ordma_peer_id id = {
            .remote = port->remote,
            .local = port->local,
            .slot = &dev->session,
        };

        dest_create(peers, &id);
    } else {
        port->n_send = MIN(port->n_send, NETDEV_RDMA_PEERS_N_SEND);
        port->n_recv = MIN(port->n_recv, NETDEV_RDMA_PEERS_N_RECV);
        set_full(peers);
        atomic_store_relaxed(&peers->flow, true);
    }
}

void
netdev_rdma_peers_stop(struct netdev_rdma *dev, const char *reason)
{
    struct netdev_rdma_peers *peers = &dev->peers;
    struct netdev_rdma_dest *dest;

    if (peers->in_use) {
        atomic_store_relaxed(&peers->flow, false);
        LIST_FOR_EACH_SAFE (dest, list_node, &peers->dests) {
            dest_destroy(dev, dest, reason);
        }
        ordma_port_remove(&peers->port);
        peers->in_use = false;
    }
}

/* State. */

const struct ordma_peer *
netdev_rdma_peers_only(const struct netdev_rdma_peers *peers)
{
    const struct netdev_rdma_dest *dest;

    if (!peers->in_use || netdev_rdma_peers_are_many(peers)) {
        return NULL;
    }
    dest = CONTAINER_OF(ovs_list_front(&peers->dests),
                        struct netdev_rdma_dest, list_node);
    return dest->peer;
}

bool
netdev_rdma_peers_carrier(const struct netdev_rdma_peers *peers)
{
    const struct ordma_peer *only = netdev_rdma_peers_only(peers);

    return (only ? ordma_peer_get_state(only) == ORDMA_PEER_UP
            : peers->in_use && !peers->port.error);
}
