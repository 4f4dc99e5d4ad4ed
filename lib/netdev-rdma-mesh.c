/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The peers of a port, which come with frames or requests and go when idle. */

#include <config.h>

#include "netdev-rdma-mesh.h"

#include <limits.h>
#include <rte_ring.h>

#include "dp-packet.h"
#include "hash.h"
#include "netdev-rdma-private.h"
#include "openvswitch/poll-loop.h"
#include "packets.h"
#include "rdma-lane.h"
#include "rdma-listener.h"
#include "rdma-route.h"
#include "rdma-stats.h"
#include "seq.h"
#include "smap.h"
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
netdev_rdma_mesh_find(const struct netdev_rdma_mesh *mesh,
                      const struct in6_addr *remote,
                      const struct in6_addr *local)
{
    bool any_local = !ipv6_addr_is_set(local);
    struct netdev_rdma_dest *dest;

    CMAP_FOR_EACH_WITH_HASH (dest, node, hash_addr(remote), &mesh->by_addr) {
        if (ipv6_addr_equals(&dest->remote, remote)
            && (any_local || ipv6_addr_equals(&dest->local, local))) {
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
enqueue(struct netdev_rdma_mesh *mesh, struct dp_packet *packets[],
        unsigned int n)
{

    n = rte_ring_mp_enqueue_burst(mesh->queue, (void **) packets, n, NULL);
    if (!atomic_exchange(&mesh->woken, true)) {
        seq_change(ordma_seq());
    }
    return n;
}

void
netdev_rdma_mesh_hold(struct netdev_rdma_mesh *mesh,
                      struct netdev_rdma_dest *dest,
                      struct ordma_stats *stats,
                      struct dp_packet *packets[], unsigned int n)
{
    bool hold = true, full = false;

    if (dest) {
        atomic_read_relaxed(&dest->hold, &hold);
    } else {
        atomic_read_relaxed(&mesh->full, &full);
    }
    if (!hold) {
        atomic_store_relaxed(&dest->wanted, true);
        drop(stats, ORDMA_TX_NO_CARRIER_DROPS, packets, n);
    } else if (full) {
        drop(stats, ORDMA_TX_PEER_LIMIT_DROPS, packets, n);
    } else {
        unsigned int n_done = enqueue(mesh, packets, n);

        drop(stats, ORDMA_TX_PENDING_DROPS, packets + n_done, n - n_done);
    }
}

/* Peers come and go. */

/* Has receive queues poll the 'dests' of 'mesh' as they are now, or none if
 * 'mesh' is about to get out of use. */
static void
publish_dests(struct netdev_rdma_mesh *mesh, bool in_use)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_dests *old
        = ovsrcu_get_protected(struct netdev_rdma_dests *, &mesh->dests);
    struct netdev_rdma_dests *new = NULL;

    if (in_use) {
        size_t n = cmap_count(&mesh->by_addr);
        struct netdev_rdma_dest *dest;

        new = xmalloc(sizeof *new + n * sizeof new->dests[0]);
        new->n = 0;
        CMAP_FOR_EACH (dest, node, &mesh->by_addr) {
            new->dests[new->n++] = dest;
        }
        atomic_store_relaxed(&mesh->full, n >= mesh->max_peers);
    }
    ovsrcu_set(&mesh->dests, new);
    if (old) {
        ovsrcu_postpone(free, old);
    }
}

/* Creates a peer at 'remote'.  Returns null if there are too many. */
static struct netdev_rdma_dest *
dest_create(struct netdev_rdma *dev, const struct in6_addr *remote,
            const struct in6_addr *local, bool wanted)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    struct ordma_peer_config config = mesh->acceptor.config;
    struct netdev_rdma_dest *dest;

    if (cmap_count(&mesh->by_addr) >= mesh->max_peers) {
        return NULL;
    }
    dest = xzalloc(sizeof *dest);
    dest->remote = *remote;
    dest->local = *local;
    dest->last_used = time_msec();
    ovsrcu_init(&dest->session, NULL);
    atomic_init(&dest->hold, true);
    atomic_init(&dest->wanted, wanted);

    config.remote = *remote;
    config.local = *local;
    config.slot = &dest->session;
    config.wanted = &dest->wanted;
    dest->peer = ordma_peer_create(netdev_get_name(&dev->up), &config);

    cmap_insert(&mesh->by_addr, &dest->node, hash_addr(remote));
    publish_dests(mesh, true);
    return dest;
}

static void
drop_held(struct netdev_rdma *dev, struct netdev_rdma_dest *dest)
    OVS_REQUIRES(ordma_mutex)
{
    drop(&dev->stats, ORDMA_TX_NO_CARRIER_DROPS, dest->held, dest->n_held);
    dev->mesh.n_held -= dest->n_held;
    dest->n_held = 0;
}

static void
dest_destroy(struct netdev_rdma *dev, struct netdev_rdma_dest *dest,
             const char *reason)
    OVS_REQUIRES(ordma_mutex)
{
    ordma_peer_destroy(dest->peer, reason);
    drop_held(dev, dest);
    cmap_remove(&dev->mesh.by_addr, &dest->node, hash_addr(&dest->remote));
    publish_dests(&dev->mesh, true);
    ovsrcu_postpone(free, dest);
}

/* Called for a connection request from 'remote' to 'local'. */
static struct ordma_peer *
mesh_accept(struct ordma_acceptor *acceptor, const struct in6_addr *remote,
            const struct in6_addr *local)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_mesh *mesh
        = CONTAINER_OF(acceptor, struct netdev_rdma_mesh, acceptor);
    struct netdev_rdma *dev = CONTAINER_OF(mesh, struct netdev_rdma, mesh);
    struct netdev_rdma_dest *dest
        = dest_create(dev, remote,
                      mesh->src_flow ? local : &acceptor->config.local, false);

    return dest ? dest->peer : NULL;
}

/* Frames that PMD threads have queued. */

/* Finds or creates the peer that 'packet' is for. */
static struct netdev_rdma_dest *
get_dest(struct netdev_rdma *dev, const struct dp_packet *packet)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    struct in6_addr remote = flow_tnl_dst(&packet->md.tunnel);
    struct in6_addr local = flow_tnl_src(&packet->md.tunnel);
    struct netdev_rdma_dest *dest = netdev_rdma_mesh_find(mesh, &remote,
                                                          &local);

    if (!dest) {
        struct ordma_route route;

        /* With local_ip=flow, peers differ in both addresses. */
        if (mesh->src_flow && !ipv6_addr_is_set(&local)
            && !ordma_route_lookup(&remote, &local, &route)) {
            local = route.src;
        }
        dest = dest_create(dev, &remote, &local, true);
    }
    return dest;
}

/* Does with the frames held for 'dest' what its state allows. */
static void
flush_held(struct netdev_rdma *dev, struct netdev_rdma_dest *dest)
    OVS_REQUIRES(ordma_mutex)
{
    enum ordma_peer_state state = ordma_peer_get_state(dest->peer);

    if (state == ORDMA_PEER_UP) {
        struct ordma_session *session
            = ovsrcu_get_protected(struct ordma_session *, &dest->session);

        netdev_rdma_send_to_session(dev, &dev->stats, 0, session, dest->held,
                                    dest->n_held);
        dev->mesh.n_held -= dest->n_held;
        dest->n_held = 0;
    } else if (state == ORDMA_PEER_BACKOFF) {
        drop_held(dev, dest);
    }
    atomic_store_relaxed(&dest->hold, state != ORDMA_PEER_BACKOFF);
}

/* Holds 'packet', which a PMD thread has queued, for its peer. */
static void
hold_packet(struct netdev_rdma *dev, struct dp_packet *packet)
    OVS_REQUIRES(ordma_mutex)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    struct netdev_rdma_dest *dest;

    if (!netdev_rdma_mesh_dests(mesh)) {
        drop(&dev->stats, ORDMA_TX_NO_CARRIER_DROPS, &packet, 1);
        return;
    }
    dest = get_dest(dev, packet);
    if (!dest) {
        drop(&dev->stats, ORDMA_TX_PEER_LIMIT_DROPS, &packet, 1);
        return;
    }
    if (dest->n_held >= NETDEV_RDMA_MESH_MAX_HELD) {
        flush_held(dev, dest);
    }
    if (dest->n_held >= NETDEV_RDMA_MESH_MAX_HELD
        || mesh->n_held >= NETDEV_RDMA_MESH_MAX_TOTAL) {
        drop(&dev->stats, ORDMA_TX_PENDING_DROPS, &packet, 1);
        return;
    }
    dest->held[dest->n_held++] = packet;
    mesh->n_held++;
}

static void
drain_queue(struct netdev_rdma *dev)
    OVS_REQUIRES(ordma_mutex)
{
    void *packet;

    atomic_store(&dev->mesh.woken, false);
    for (int i = 0; i < QUEUE_SIZE; i++) {
        if (rte_ring_sc_dequeue(dev->mesh.queue, &packet)) {
            return;
        }
        hold_packet(dev, packet);
    }
}

/* Periodic work. */

/* Returns true if 'dest' has been of no use for long.  The side that has
 * dialed ends a connection: the other may be of a kind that dials for ever. */
static bool
is_unused(const struct netdev_rdma_mesh *mesh, struct netdev_rdma_dest *dest,
          long long int now)
    OVS_REQUIRES(ordma_mutex)
{
    uint64_t n_messages = ordma_peer_n_messages(dest->peer);

    if (n_messages != dest->n_messages) {
        dest->n_messages = n_messages;
        dest->last_used = now;
    }
    return (now - dest->last_used >= mesh->idle_timeout
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
    } else if (sweep && is_unused(&dev->mesh, dest, time_msec())) {
        dest_destroy(dev, dest, "idle");
    }
}

/* Has peers find us at all addresses that they may connect to. */
static void
listen_at(struct netdev_rdma_mesh *mesh)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = &mesh->acceptor.config;

    mesh->listen_error = (netdev_rdma_mesh_dests(mesh)
                          && config->provider->listen_at
                          ? config->provider->listen_at(&config->local)
                          : NULL);
}

void
netdev_rdma_mesh_run(struct netdev_rdma *dev)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    bool sweep = time_msec() >= mesh->next_sweep;
    const struct netdev_rdma_dests *dests;

    if (sweep) {
        mesh->next_sweep = time_msec() + SWEEP_INTERVAL;
        listen_at(mesh);
    }
    drain_queue(dev);
    dests = netdev_rdma_mesh_dests(mesh);
    for (size_t i = 0; dests && i < dests->n; i++) {
        dest_run(dev, dests->dests[i], sweep);
    }
}

void
netdev_rdma_mesh_wait(struct netdev_rdma *dev)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;

    if (netdev_rdma_mesh_dests(mesh)) {
        poll_timer_wait_until(mesh->next_sweep);
    }
    if (!rte_ring_empty(mesh->queue)) {
        poll_immediate_wake();
    }
}

/* Life cycle. */

void
netdev_rdma_mesh_init(struct netdev_rdma *dev)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;

    ovsrcu_init(&mesh->dests, NULL);
    cmap_init(&mesh->by_addr);
    atomic_init(&mesh->woken, false);
    atomic_init(&mesh->full, false);
    mesh->queue = xzalloc_cacheline(rte_ring_get_memsize(QUEUE_SIZE));
    rte_ring_init(mesh->queue, "", QUEUE_SIZE, RING_F_SC_DEQ);
}

void
netdev_rdma_mesh_destroy(struct netdev_rdma *dev)
{
    netdev_rdma_mesh_stop(dev);
    drain_queue(dev);
    free_cacheline(dev->mesh.queue);
    cmap_destroy(&dev->mesh.by_addr);
}

void
netdev_rdma_mesh_start(struct netdev_rdma *dev,
                       const struct ordma_peer_config *config)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    struct ordma_peer_config *peer = &mesh->acceptor.config;

    *peer = *config;
    peer->n_txq_desc = MIN(config->n_txq_desc, NETDEV_RDMA_MESH_N_SEND);
    mesh->acceptor.create = mesh_accept;
    ordma_acceptor_add(&mesh->acceptor);
    ordma_listener_ref(peer->provider, peer->dst_port);
    publish_dests(mesh, true);
    mesh->next_sweep = LLONG_MIN;
}

void
netdev_rdma_mesh_stop(struct netdev_rdma *dev)
{
    struct netdev_rdma_mesh *mesh = &dev->mesh;
    const struct netdev_rdma_dests *dests = netdev_rdma_mesh_dests(mesh);

    if (dests) {
        for (size_t i = 0; i < dests->n; i++) {
            dest_destroy(dev, dests->dests[i], "port changed or deleted");
        }
        ordma_acceptor_remove(&mesh->acceptor);
        ordma_listener_unref(mesh->acceptor.config.provider,
                             mesh->acceptor.config.dst_port);
        publish_dests(mesh, false);
    }
}

/* For people. */

/* Returns why 'mesh', which is in use, cannot be connected to, or null. */
static const char *
mesh_error(const struct netdev_rdma_mesh *mesh)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_peer_config *config = &mesh->acceptor.config;

    return (ordma_listener_is_open(config->provider, config->dst_port)
            ? mesh->listen_error
            : ordma_listener_error(config->provider, config->dst_port));
}

bool
netdev_rdma_mesh_is_open(const struct netdev_rdma *dev)
{
    return (netdev_rdma_mesh_dests(&dev->mesh)
            && !mesh_error(&dev->mesh));
}

void
netdev_rdma_mesh_get_status(const struct netdev_rdma *dev, struct smap *smap)
{
    const struct ordma_peer_config *config = &dev->mesh.acceptor.config;
    const struct netdev_rdma_dest *dest;
    unsigned int n_up = 0;

    CMAP_FOR_EACH (dest, node, &dev->mesh.by_addr) {
        n_up += ordma_peer_is_up(dest->peer);
    }
    smap_add(smap, "provider", config->provider->name);
    smap_add_format(smap, "peers", "%"PRIuSIZE,
                    cmap_count(&dev->mesh.by_addr));
    smap_add_format(smap, "peers_up", "%u", n_up);
    if (netdev_rdma_mesh_is_open(dev)) {
        smap_add(smap, "state", "up");
    } else {
        smap_add(smap, "state", "down");
        smap_add(smap, "last_error", mesh_error(&dev->mesh));
    }
}
