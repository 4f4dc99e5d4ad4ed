/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The contract between ports and implementations of RDMA. */

#ifndef RDMA_PROVIDER_H
#define RDMA_PROVIDER_H 1

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "openvswitch/list.h"
#include "openvswitch/thread.h"
#include "openvswitch/types.h"

struct ordma_mem;
struct sset;

/* RDMA providers
 * ==============
 *
 * A provider is an implementation of reliable connected queue pairs and of the
 * connection manager that brings them up.  The contract below is a small
 * subset of libibverbs and librdmacm; the terms are theirs (InfiniBand
 * Architecture Specification, volume 1).  Everything that providers share
 * (messages, credits, lanes, sessions, reconnection, statistics) stands above
 * this line, once.
 *
 *     struct ordma_provider   the implementation: constant, one per kind.
 *     struct ordma_dev        an RDMA device and its protection domain.
 *     struct ordma_conn       one queue pair, its completion queue and its
 *                             connection manager identity.
 *     struct ordma_srq        receive work requests that the queue pairs of
 *                             several connections share.
 *     struct ordma_cq         the connections that a thread polls.
 *
 * Errors are positive errno values, 0 is success.
 *
 * Threads
 * =======
 *
 * "Control" functions run under 'ordma_mutex', in the main thread with a few
 * exceptions, and may do short system calls but never wait for a peer.
 *
 * "Data" functions run in PMD threads.  They never block, allocate or log
 * without a rate limit.  On one connection, the caller makes sure that at most
 * one thread is in post_send(), and at most one, which can be another, in
 * post_recv() or poll(); any number may be in transmit().  On one shared
 * receive queue, at most one is in post_srq_recv(); poll() of the connections
 * that share it can be under way in others.
 *
 * Life cycle of a connection
 * ==========================
 *
 *     active side                            passive side
 *     -----------                            ------------
 *     dial()
 *     ORDMA_EV_RESOLVED: 'dev' is known      ORDMA_EV_REQUEST, likewise
 *     create_qp(), post_recv()               create_qp(), post_recv()
 *     connect()                              accept(), or reject()
 *     ORDMA_EV_ESTABLISHED                   ORDMA_EV_ESTABLISHED
 *
 * ORDMA_EV_REJECTED, on the active side, and ORDMA_EV_FAILED can come instead
 * of each of these events, and ORDMA_EV_DISCONNECTED or ORDMA_EV_FAILED after
 * REQUEST and ESTABLISHED.  The connection is of no use then, but more such
 * events can come until the user destroys it, which is allowed at any time
 * provided that no thread is or will be in a data function for it. */

/* Protects the state of providers, sessions and ports. */
extern struct ovs_mutex ordma_mutex;

/* The least path MTU that there is, in bytes of payload. */
#define ORDMA_MIN_PATH_MTU 256

/* What both providers ask of queue pairs, encoded as InfiniBand has it
 * (InfiniBand Architecture Specification, volume 1, sections 9.7.5.2.8 and
 * 11.6.2). */
#define ORDMA_RNR_TIMER_640_US 12 /* librdmacm would leave it at 655 ms. */
#define ORDMA_ACK_TIMEOUT_67_MS 14
#define ORDMA_RETRY_COUNT 7
#define ORDMA_RNR_RETRY_FOREVER 7 /* Who never receives fails otherwise. */

/* The most private data in any message of the connection manager. */
#define ORDMA_MAX_PRIVATE_DATA 196

/* An RDMA device.
 *
 * Providers embed it.  A device lives as long as it has connections, and
 * longer if its provider likes. */
struct ordma_dev {
    const struct ordma_provider *provider;
    char *name;                 /* For logs, for example "mlx5_0". */
    struct ordma_mem *mem;      /* Memory registered with the device. */
};

/* A memory region: registered memory that work requests may name. */
struct ordma_mr {
    uint32_t lkey;              /* Names the region in work requests. */
};

/* A connection.
 *
 * Providers embed it.  Its members other than 'aux' belong to the provider;
 * the user may read them under 'ordma_mutex', and 'provider', 'dev' and
 * 'max_inline', which do not change once there is a queue pair, from any
 * thread. */
struct ordma_conn {
    const struct ordma_provider *provider;
    void *aux;                  /* The user's. */
    struct ordma_dev *dev;      /* Null before RESOLVED or REQUEST. */
    struct in6_addr local;      /* Our address (IPv4: mapped), if resolved. */
    struct in6_addr remote;     /* Peer's address (IPv4: mapped). */
    ovs_be16 dst_port;          /* Connection manager port on passive side. */
    uint32_t max_inline;        /* Bytes that ORDMA_SEND_INLINE can send. */

    /* If nonzero, messages up to this many bytes cost less if they are as long
     * as the ones before and after them. */
    uint32_t train_len;

    /* What the connection goes through, from RESOLVED or REQUEST on: the RDMA
     * device, or the network interface of the route where there is none.  It
     * can change, see ORDMA_EV_MOVED. */
    char dev_name[64];
    int numa_id;                /* NUMA node, or OVS_NUMA_UNSPEC. */

    /* For people, once established. */
    struct in6_addr gid;        /* Own GID. */
    int path_mtu;               /* In bytes.  Also from connect() or REQUEST
                                 * on: what the dialing side wants, or 0. */
    uint32_t qpn, peer_qpn;     /* Queue pair numbers. */
};

/* A shared receive queue.  Providers embed it. */
struct ordma_srq {
    const struct ordma_provider *provider;
};

/* A completion queue: where the connections that one thread polls tell it that
 * they have something.  Providers embed it. */
struct ordma_cq {
    const struct ordma_provider *provider;
};

/* Parameters of ordma_provider's dial(). */
struct ordma_dial {
    struct in6_addr remote;     /* Whom to dial (IPv4: mapped). */
    struct in6_addr local;      /* From which address, or all zeros. */
    ovs_be16 port;              /* Connection manager port to dial. */
    uint8_t tos;                /* Traffic class of the connection. */
    int max_mtu;                /* Greatest path MTU, if the provider can
                                 * choose it, or 0 for no limit. */
};

/* What a queue pair is to be able to do. */
struct ordma_qp_cap {
    unsigned int n_send;        /* Send work requests outstanding. */
    unsigned int n_recv;        /* Receive work requests outstanding; with
                                 * 'srq', receives not polled yet. */
    struct ordma_srq *srq;      /* Null for a receive queue of its own. */
    struct ordma_cq *cq;        /* Where it is polled, or null. */
    unsigned int max_inline;    /* Inline bytes wanted; 0 is always granted. */
    uint8_t tos;                /* Of packets sent.  RDMA devices take that of
                                 * the side that dials. */
    uint8_t ttl;                /* Likewise, 0 for the system's.  The kernel
                                 * does not let RDMA devices choose: it takes
                                 * the hop limit of the route. */
};

enum ordma_event_type {
    ORDMA_EV_RESOLVED,          /* 'conn->dev' and 'conn->local' are set. */
    ORDMA_EV_REQUEST,           /* New connection: the user owns 'conn', which
                                 * has no 'aux' yet. */
    ORDMA_EV_ESTABLISHED,       /* Sending is possible. */
    ORDMA_EV_REJECTED,          /* The peer refused: 'private_data'. */
    ORDMA_EV_FAILED,            /* See 'reason'. */
    ORDMA_EV_DISCONNECTED,      /* The peer has disconnected. */
    ORDMA_EV_MOVED,             /* 'conn->dev_name' has changed. */
};

struct ordma_event {
    enum ordma_event_type type;
    struct ordma_conn *conn;
    const char *reason;         /* REJECTED, FAILED, DISCONNECTED: static text
                                 * that names the cause. */
    size_t private_data_len;    /* REQUEST, ESTABLISHED on the active side,
                                 * REJECTED.  Can include padding. */
    uint8_t private_data[ORDMA_MAX_PRIVATE_DATA];
};

/* Work requests.  Each has one buffer.  'addr' and 'len' must lie in the
 * region 'lkey' until completion, except that an inline send is copied. */
enum ordma_send_flags {
    ORDMA_SEND_SIGNALED = 1 << 0,   /* Generate a completion. */
    ORDMA_SEND_INLINE = 1 << 1,     /* Copy at once; 'lkey' is not used. */
};

struct ordma_send_wr {
    uint64_t wr_id;
    const void *addr;
    uint32_t len;
    uint32_t lkey;
    unsigned int flags;         /* ORDMA_SEND_*. */
};

struct ordma_recv_wr {
    uint64_t wr_id;
    void *addr;
    uint32_t len;
    uint32_t lkey;
};

/* A work completion.  Send completions come in the order of posting and also
 * complete the unsignaled requests before; receive completions come in the
 * order of posting, but from a shared receive queue in any.  After an error
 * every request outstanding completes with an error, signaled or not; of those
 * in a shared receive queue, only the one whose message has begun to
 * arrive. */
struct ordma_wc {
    uint64_t wr_id;
    uint32_t byte_len;          /* Bytes received; receives only. */
    const char *error;          /* Null for success, otherwise static text. */
};

struct ordma_provider {
    const char *name;           /* Value of options:provider. */

    /* Control functions, which require 'ordma_mutex' (Clang does not take
     * annotations here).
     * ================== */

    /* Does periodic work.  wait() arranges for poll_block() to wake up when
     * run() or next_event() has something to do. */
    void (*run)(void);
    void (*wait)(void);

    /* Returns true and fills in '*event' if there is one, otherwise false.
     * Does not block. */
    bool (*next_event)(struct ordma_event *event);

    /* Adds the names of the devices present to 'names'. */
    void (*enumerate)(struct sset *names);

    /* Returns true if 'ip' (IPv4: mapped), an address of this host, belongs to
     * a device of the provider. */
    bool (*has_addr)(const struct in6_addr *ip);

    /* Starts to take connection requests to 'port' on all addresses and
     * devices, including those to come.  Returns ENODEV if the system has no
     * RDMA support loaded, EADDRINUSE if another program has 'port', or what
     * the provider receives by.  The user listens at most once to a port and
     * calls unlisten() in the end, and dials only while it listens. */
    int (*listen)(ovs_be16 port);
    void (*unlisten)(ovs_be16 port);

    /* Starts a connection as 'dial' says, with 'aux' for its user.  On success
     * '*connp' is the connection, which the caller owns. */
    int (*dial)(const struct ordma_dial *dial, void *aux,
                struct ordma_conn **connp);

    /* Gives 'conn', which has a device, a queue pair of at least the capacity
     * 'cap' in the state in which receives can be posted.  EINVAL if the
     * device cannot do that much, ENOTCONN if the peer is gone; then
     * nothing refers to 'cap->srq'. */
    int (*create_qp)(struct ordma_conn *conn, const struct ordma_qp_cap *cap);

    /* Creates a shared receive queue for 'n' work requests on 'dev', for
     * connections of 'dev', or of any device of the provider if
     * 'srq_serves_all_devs' is true.  Null if the provider has none;
     * EOPNOTSUPP if the device has none, EINVAL if it cannot do that much. */
    int (*create_srq)(struct ordma_dev *dev, unsigned int n,
                      struct ordma_srq **srqp);
    bool srq_serves_all_devs;

    /* Frees 'srq', which no connection uses any more, and forgets what is
     * posted to it. */
    void (*destroy_srq)(struct ordma_srq *srq);

    /* Creates a completion queue. */
    int (*create_cq)(struct ordma_cq **cqp);

    /* Frees 'cq', which no connection uses any more. */
    void (*destroy_cq)(struct ordma_cq *cq);

    /* Has poll_cq() tell about 'conn', which is established and has a
     * completion queue, until disconnect(). */
    void (*join_cq)(struct ordma_conn *conn);

    /* Active side, after create_qp(): asks the peer to connect.  The 'len'
     * bytes at 'private_data', at most 56, go to it. */
    int (*connect)(struct ordma_conn *conn, const void *private_data,
                   size_t len);

    /* Passive side: accepts (after create_qp()) or rejects the request.  The
     * 'len' bytes at 'private_data' go to the peer: at most 196 to accept, 148
     * to reject.  reject() destroys 'conn'. */
    int (*accept)(struct ordma_conn *conn, const void *private_data,
                  size_t len);
    void (*reject)(struct ordma_conn *conn, const void *private_data,
                   size_t len);

    /* Tells the peer to disconnect, takes 'conn' out of its completion queue
     * and completes all work requests outstanding on it with an error.  May be
     * called in any state, more than once and while other threads are in data
     * functions. */
    void (*disconnect)(struct ordma_conn *conn);

    /* Frees 'conn' and everything outstanding on it. */
    void (*destroy)(struct ordma_conn *conn);

    /* Registers the 'len' bytes at 'addr' for local access, into '*mrp'.
     * Called under the mutex of rdma-mem only, from any thread. */
    int (*reg_mr)(struct ordma_dev *dev, void *addr, size_t len,
                  struct ordma_mr **mrp);
    void (*dereg_mr)(struct ordma_dev *dev, struct ordma_mr *mr);

    /* Data functions.
     * =============== */

    /* Post the 'n' requests at 'wrs', at most ORDMA_MAX_BURST, with one
     * doorbell.  Return how many were posted; less than 'n' means that the
     * queue is full or the queue pair has failed.  A send to a queue pair that
     * was connected and has failed since is accepted and completes with an
     * error: that tells how the sends before it fared. */
    int (*post_send)(struct ordma_conn *conn,
                     const struct ordma_send_wr wrs[], int n);
    int (*post_recv)(struct ordma_conn *conn,
                     const struct ordma_recv_wr wrs[], int n);

    /* Likewise, for all connections that share 'srq'.  A message that finds
     * nothing posted makes its sender wait and try again. */
    int (*post_srq_recv)(struct ordma_srq *srq,
                         const struct ordma_recv_wr wrs[], int n);

    /* Sends what post_send() has left for this function, because it takes
     * long: the caller has no lock.  May leave it to another thread that is at
     * it, or to poll().  Null if post_send() leaves nothing. */
    void (*transmit)(struct ordma_conn *conn);

    /* Moves up to 'n' completions, at most ORDMA_MAX_BURST, to 'wcs'.  Returns
     * how many. */
    int (*poll)(struct ordma_conn *conn, struct ordma_wc wcs[], int n);

    /* Returns a connection of 'cq' that should be polled, for completions or
     * because it has work to do, or null after each of those has been returned
     * once: then the next call begins a new round, and looks for what has come
     * meanwhile. */
    struct ordma_conn *(*poll_cq)(struct ordma_cq *cq);
};

/* The most work requests or completions in one call of a data function. */
#define ORDMA_MAX_BURST 32

/* All the providers, in order of preference, ending with null. */
extern const struct ordma_provider *const ordma_providers[];

extern const struct ordma_provider ordma_verbs_provider;
extern const struct ordma_provider ordma_soft_provider;

/* Returns the provider called 'name', or null. */
const struct ordma_provider *ordma_provider_lookup(const char *name);

/* Returns the provider to use for connections to 'remote', to any address if
 * that is all zeros, from 'local' unless
 * that is all zeros, through the device 'rdma_dev' unless that is null.
 * Stores in '*reason' static text that says why. */
const struct ordma_provider *ordma_provider_choose(
    const struct in6_addr *remote, const struct in6_addr *local,
    const char *rdma_dev, const char **reason) OVS_REQUIRES(ordma_mutex);

/* For providers only. */

/* Returns text for why the peer has rejected, which is 'reason', one of enum
 * roce_rej_reason. */
const char *ordma_rej_text(int reason);

int ordma_dev_init(struct ordma_dev *, const struct ordma_provider *,
                   const char *name) OVS_REQUIRES(ordma_mutex);
void ordma_dev_uninit(struct ordma_dev *) OVS_REQUIRES(ordma_mutex);

#endif /* rdma-provider.h */
