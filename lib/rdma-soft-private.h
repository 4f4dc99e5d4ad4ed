/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * What the files of the soft provider share. */

#ifndef RDMA_SOFT_PRIVATE_H
#define RDMA_SOFT_PRIVATE_H 1

#include "openvswitch/list.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "rdma-addr.h"
#include "rdma-provider.h"
#include "roce-demux.h"
#include "roce-gsi.h"
#include "roce-qp.h"
#include "roce-wire.h"

/* The soft provider
 * =================
 *
 * RoCEv2 without an RDMA device: queue pairs and the connection manager are
 * those of roce-qp.h and roce-gsi.h, which know no thread, and the wire is one
 * of roce-wire.h.  rdma-soft-data.c has what PMD threads do; of what the main
 * thread does, rdma-soft-dev.c has devices, and rdma-soft.c has connections.
 *
 * There is one device, which is UDP port 4791 of all addresses of this host.
 * It lives as long as any port listens or a connection has yet to end.  What
 * people take for the device of a connection is the network interface of its
 * route.
 *
 * Of addresses and routes, the kernel tells when they change, and then we ask
 * about those of our connections: one whose local address is gone, or whose
 * route has become too narrow for its path MTU, has failed.
 *
 *
 * Who receives
 * ------------
 *
 * The connections of a device share ROCE_WIRE_N_DATA sockets, by QPN: the
 * lanes of a peer, which have numbers in a row as a rule, each another one.
 * Whoever polls a connection also empties its socket, if nobody else is at it,
 * and hands each packet to the queue pair that it is for, whose own poller
 * finds the completions there.  So no core does anything but poll, packets
 * wait for the next poller, not for a certain one, and cores that poll
 * different lanes do not wait for each other.  Sockets that nobody has looked
 * at for SOFT_SWEEP_INTERVAL, because only strays go there, whoever polls
 * empties.
 *
 * A system call that finds nothing costs 100 times as much as all else in the
 * poll of an idle port.  So the longer it has been since messages came, the
 * longer we wait before the next look: a SOFT_PATIENCE-th of that time, at
 * most SOFT_MAX_PAUSE.  A message out of a conversation is found at once, and
 * an idle device costs up to 30,000 system calls a second for each socket in
 * use, whatever the number of its ports and of the cores that poll them: some
 * hundredths of a core.
 *
 * A poll takes the lock of its connection only if there is something to do
 * under it, see 'is_pollable' and 'tx_time'.  That is faster, and matters most
 * where a PMD thread shares its CPU with the main thread: a lock that it holds
 * most of the time when it is preempted would keep that thread spinning until
 * its time slice is over.
 *
 * The main thread receives MADs, which have a socket of their own, and nothing
 * else.
 *
 *
 * Who sends
 * ---------
 *
 * Whoever has posted, by transmit(), and whoever polls.  The system calls that
 * send are long, so they happen under a lock of their own, 'tx_lock', for
 * which nobody waits: while one thread sends, another may post, or receive
 * acknowledgments, and the poller sees to it that what was posted meanwhile
 * gets sent.
 *
 * A send does not complete while packets of it are about to be sent, see
 * roce_qp_sent(), because its buffer is used for something else then.  But
 * when the queue pair ends, all sends complete: then poll() waits until nobody
 * sends.
 *
 *
 * When to send
 * ------------
 *
 * The kernel's work for a system call and for the datagram that it sends is
 * that of a burst of small frames in the datapath, so a busy connection makes
 * few of them: SOFT_SEND_PAUSE after the last one, or when SOFT_ENOUGH bytes
 * wait.  What a connection that has been quiet for so long sends, goes out at
 * once.  An acknowledgment goes along with that, and by itself only
 * SOFT_REPLY_PAUSE after it was asked for, which is after the frames that came
 * have been delivered.  The peer needs it to give buffers back and is in no
 * hurry; for the same reason it looks for that, if nothing else arrives, only
 * every SOFT_MAX_PAUSE.
 *
 *
 * Locks
 * -----
 *
 *     'ordma_mutex'   The main thread's state: device, connection manager.
 *     lock            Of a receive queue: that queue of the wire.  All of
 *                     them: the table of queue pairs.  PMD threads wait for
 *                     none.
 *     tx_lock         Of a connection: its path and packets not sent yet.
 *     lock            Of a connection: its queue pair.
 *     lock            Of a shared receive queue: what is posted there.
 *
 * A thread takes them in this order.
 *
 *
 * Bounds
 * ------
 *
 * Memory is in proportion to connections.  What strangers can take up of them
 * is limited, see roce-gsi.h; and they can take up the kernel memory of all
 * receive queues.  A flood of MADs does not touch the queues for data.  The
 * main thread takes SOFT_MADS_PER_RUN of them at a time, a poll
 * SOFT_MAX_TRAINS datagrams. */

#define SOFT_MAX_HALF_OPEN 256  /* See roce-gsi.h. */
#define SOFT_REQ_RATE 100
#define SOFT_REQ_BURST 100
#define SOFT_MADS_PER_RUN 64
#define SOFT_ROUTES_PER_RUN 64  /* Looked up when something has changed. */

#define SOFT_MAX_PAUSE 32       /* In usec. */
#define SOFT_PATIENCE 1024      /* See "Who receives". */
#define SOFT_SWEEP_INTERVAL 1024    /* Likewise, in usec. */

/* Unacknowledged at most, per connection.  The receive queue of a peer that
 * is a socket like ours has room for that from several connections. */
#define SOFT_MAX_PACKETS 2048
#define SOFT_MAX_BYTES (2 * 1024 * 1024)

#define SOFT_MAX_TRAINS 32      /* Received by a poll. */

#define SOFT_TX_BATCH 64        /* Packets sent at once. */
#define SOFT_TX_ROUNDS 8        /* Batches sent in one go. */

#define SOFT_SEND_PAUSE 16      /* See "When to send", in usec. */
#define SOFT_REPLY_PAUSE 64
#define SOFT_ENOUGH (32 * 1024) /* In bytes. */

struct soft_conn;

/* A receive queue for data. */
struct soft_rxq {
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_spin lock;
    atomic_llong next_receive;  /* Do not look before, usec. */
    bool is_busy OVS_GUARDED;   /* Has this batch brought requests? */
    long long int last_busy OVS_GUARDED;    /* When one did, usec. */
    struct roce_flow flow OVS_GUARDED;      /* Of the last train. */
    struct roce_icrc_flow icrc OVS_GUARDED;
    struct roce_drops drops OVS_GUARDED;
};

struct soft_dev {
    struct ordma_dev up;

    /* Anyone's. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    atomic_llong next_sweep;    /* Look for neglected 'rxqs' then, usec. */
    struct roce_wire *wire;
    struct soft_rxq rxqs[ROCE_WIRE_N_DATA];

    /* Connections, by QPN.  Read with any of the locks of 'rxqs', written with
     * all of them: the kernel may put packets of one flow for several queue
     * pairs into the queue of the first. */
    struct roce_qpns qpns;

    /* The main thread's. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    unsigned int n_ports;       /* Being listened to. */
    unsigned int n_conns;       /* Connections that use the device. */
    uint64_t route_seq;         /* Routes are known as of ordma_route_seq(). */
    struct roce_gsi gsi;        /* The 'aux' of its connections is ours. */
};

struct soft_conn {
    struct ordma_conn up;

    /* The queue pair. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_spin lock;
    bool is_bound OVS_GUARDED;  /* Has 'qp' a peer, and 'path'? */
    bool is_busy OVS_GUARDED;   /* Does the poller of 'cq' know? */
    atomic_bool is_pollable;    /* Has 'qp' completions? */
    atomic_llong tx_time;       /* When 'qp' has something to send, usec. */
    long long int next_send OVS_GUARDED;    /* See "When to send", usec. */
    long long int next_reply OVS_GUARDED;
    struct roce_qp qp OVS_GUARDED;

    /* Sending. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_spin tx_lock;
    struct roce_path path OVS_GUARDED;
    struct roce_tx txs[SOFT_TX_BATCH] OVS_GUARDED;
    int n_txs OVS_GUARDED;      /* Elements of 'txs' in use. */
    int next_tx OVS_GUARDED;    /* First one not sent. */
    atomic_bool is_blocked;     /* Something in 'txs' waits for room. */

    /* The main thread's. */
    OVS_ALIGNED_VAR(CACHE_LINE_SIZE)
    struct ovs_list node;       /* In 'soft_conns'. */
    struct ordma_route route;   /* As of 'route_seq'. */
    uint64_t route_seq;
    struct roce_cm *cm;         /* Null before connect() and after the end. */
    struct roce_send_slot *send_slots;
    struct roce_recv_slot *recv_slots;
    uint32_t n_send_slots, n_recv_slots;
    struct ordma_srq *srq;      /* Feeds 'recv_slots', or null.  Constant while
                                 * packets can arrive, as is 'cq'. */
    struct ordma_cq *cq;        /* Where it is polled, or null. */
    bool in_cq;                 /* With the lock of 'cq': has it joined? */
    struct ovs_list cq_node;    /* Likewise: in a list of 'cq', or empty. */
    uint8_t tos, ttl;
    int max_mtu;                /* Of a path that we ask for. */
    uint8_t private_data[ROCE_REQ_PRIVATE_LEN]; /* Of what we ask. */
    uint8_t private_len;
};

/* What an idle poll reads is a line of the device and one of the receive
 * queue, which nobody writes without a system call, and two of the connection;
 * and what sending works on shares no line with what receiving does. */
BUILD_ASSERT_DECL(offsetof(struct soft_dev, rxqs) % CACHE_LINE_SIZE == 0);
BUILD_ASSERT_DECL(sizeof(struct soft_rxq) % CACHE_LINE_SIZE == 0);
BUILD_ASSERT_DECL(offsetof(struct soft_conn, qp)
                  <= offsetof(struct soft_conn, lock) + CACHE_LINE_SIZE);
BUILD_ASSERT_DECL(offsetof(struct soft_conn, tx_lock) % CACHE_LINE_SIZE == 0);

static inline struct soft_dev *
soft_dev_cast(const struct ordma_dev *dev)
{
    return CONTAINER_OF(dev, struct soft_dev, up);
}

static inline struct soft_conn *
soft_conn_cast(const struct ordma_conn *conn)
{
    return CONTAINER_OF(conn, struct soft_conn, up);
}

/* The device, null if it is closed, and all connections. */
extern struct soft_dev *soft_dev OVS_GUARDED_BY(ordma_mutex);
extern struct ovs_list soft_conns OVS_GUARDED_BY(ordma_mutex);

static inline uint64_t
soft_service_id(ovs_be16 port)
{
    return ROCE_CM_SERVICE_TCP + ntohs(port);
}

/* rdma-soft-dev.c. */

/* Returns the greatest path MTU on a way for IP packets of 'ip_mtu' bytes, 0
 * if it is too narrow. */
int soft_path_mtu(int ip_mtu);

/* Returns true if the device of 'guid' takes packets with a UDP checksum. */
bool soft_guid_takes_checksum(uint64_t guid);

/* Closes the device unless someone uses it or will. */
void soft_dev_close_unused(void) OVS_REQUIRES(ordma_mutex);

/* Sends the MADs that 'dev' has to send.  What cannot be sent now will be
 * repeated. */
void soft_dev_flush(struct soft_dev *dev) OVS_REQUIRES(ordma_mutex);

/* rdma-soft.c. */

/* Creates a connection without a device. */
struct soft_conn *soft_conn_create(void) OVS_REQUIRES(ordma_mutex);

/* The last error of a connection whose packets a firewall here drops. */
extern const char soft_firewall_text[];

/* Handles that a MAD along 'flow' was not sent due to 'error'. */
void soft_handle_unsent(const struct roce_flow *flow, int error)
    OVS_REQUIRES(ordma_mutex);

/* rdma-soft-cq.c: members of the provider, and what wakes its users. */
int soft_create_cq(struct ordma_cq **) OVS_REQUIRES(ordma_mutex);
void soft_destroy_cq(struct ordma_cq *) OVS_REQUIRES(ordma_mutex);
void soft_join_cq(struct ordma_conn *) OVS_REQUIRES(ordma_mutex);
struct ordma_conn *soft_poll_cq(struct ordma_cq *);

/* Takes 'conn' out of its completion queue, if it is there. */
void soft_leave_cq(struct soft_conn *) OVS_REQUIRES(ordma_mutex);

/* Has the completion queue of 'conn', if any, return it. */
void soft_cq_wake(struct soft_conn *conn) OVS_REQUIRES(conn->lock);

/* rdma-soft-data.c. */

/* Unlocks 'conn', whose queue pair may have something new to do. */
void soft_conn_unlock(struct soft_conn *conn) OVS_RELEASES(conn->lock);

/* Gives 'conn' a queue pair number, 0 if there are too many, and has packets
 * to it go to 'conn' until soft_conn_remove_qpn(): then no thread has to do
 * with the connection any more that does not poll it. */
void soft_conn_add_qpn(struct soft_conn *conn) OVS_REQUIRES(ordma_mutex);
void soft_conn_remove_qpn(struct soft_conn *conn) OVS_REQUIRES(ordma_mutex);

/* Receives a batch from each of the receive queues 'queues' of 'dev', bits by
 * number, unless it is too early for that or another thread is at it, and now
 * and then from those that nobody looks at.  Any thread. */
void soft_dev_receive(struct soft_dev *dev, unsigned int queues);

/* Members of the provider that are not in rdma-soft.c. */
void soft_enumerate(struct sset *names) OVS_REQUIRES(ordma_mutex);
bool soft_has_addr(const struct in6_addr *ip) OVS_REQUIRES(ordma_mutex);
int soft_listen(ovs_be16 port) OVS_REQUIRES(ordma_mutex);
void soft_unlisten(ovs_be16 port) OVS_REQUIRES(ordma_mutex);
int soft_create_srq(struct ordma_dev *, unsigned int n, struct ordma_srq **)
    OVS_REQUIRES(ordma_mutex);
void soft_destroy_srq(struct ordma_srq *) OVS_REQUIRES(ordma_mutex);
int soft_post_srq_recv(struct ordma_srq *, const struct ordma_recv_wr[],
                       int n);
int soft_reg_mr(struct ordma_dev *, void *addr, size_t len,
                struct ordma_mr **);
void soft_dereg_mr(struct ordma_dev *, struct ordma_mr *);
int soft_post_send(struct ordma_conn *, const struct ordma_send_wr[], int n);
int soft_post_recv(struct ordma_conn *, const struct ordma_recv_wr[], int n);
void soft_transmit(struct ordma_conn *);
int soft_poll(struct ordma_conn *, struct ordma_wc[], int n);

#endif /* rdma-soft-private.h */
