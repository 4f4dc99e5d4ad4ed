/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * A set of lanes, from the first attempt to the last buffer returned. */

#include <config.h>

#include "rdma-session.h"

#include <errno.h>
#include <string.h>

#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "rdma-msg.h"
#include "rdma-pool.h"
#include "rdma-random.h"
#include "rdma-stats.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_session);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

/* How long a device may take to flush a queue pair, in ms, and how often to
 * look. */
#define DRAIN_TIMEOUT 10000
#define DRAIN_INTERVAL 2

/* PINGs that must be answered on each lane: a short one and one as long as the
 * path MTU. */
#define N_PINGS 2

/* How long the answer to the latter has to be missing before we blame the
 * length, in ms. */
#define LONG_TIMEOUT 300

/* Sessions in GRACE and DRAIN. */
static struct ovs_list dead_sessions OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&dead_sessions);

/* Counts for sessions without a port. */
static struct ordma_stats orphan_stats OVS_GUARDED_BY(ordma_mutex);

/* Completion queues. */

int
ordma_cqs_create(const struct ordma_provider *provider, unsigned int n,
                 struct ordma_cqs **cqsp)
{
    struct ordma_cqs *cqs = xzalloc(sizeof *cqs + n * sizeof cqs->cqs[0]);

    cqs->n_refs = 1;
    for (; cqs->n < n; cqs->n++) {
        int error = provider->create_cq(&cqs->cqs[cqs->n]);

        if (error) {
            ordma_cqs_unref(cqs);
            return error;
        }
    }
    *cqsp = cqs;
    return 0;
}

void
ordma_cqs_unref(struct ordma_cqs *cqs)
{
    if (--cqs->n_refs) {
        return;
    }
    for (unsigned int i = 0; i < cqs->n; i++) {
        cqs->cqs[i]->provider->destroy_cq(cqs->cqs[i]);
    }
    free(cqs);
}

/* Life cycle. */

static struct ordma_stats *
session_stats(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    return session->stats ? session->stats : &orphan_stats;
}

/* Creates a session with room for 'n' lanes. */
static struct ordma_session *
session_create(struct ordma_port *port, unsigned int n,
               const struct ordma_session_ops *ops, void *aux)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session
        = xzalloc(sizeof *session + n * sizeof session->links[0]);

    session->ops = ops;
    session->aux = aux;
    session->port = port;
    session->stats = port->stats;
    session->cqs = port->cqs;
    session->cqs->n_refs++;
    session->n_lanes = 1;
    session->in_key = port->in_key;
    for (unsigned int i = 0; i < n; i++) {
        session->links[i].session = session;
    }
    return session;
}

static void
session_destroy(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_link *link = &session->links[i];

        if (link->lane) {
            ordma_lane_destroy(link->lane, session_stats(session));
        } else if (link->conn) {
            link->conn->provider->destroy(link->conn);
        }
    }
    ordma_cqs_unref(session->cqs);
    free(session);
}

/* Reports that 'session' has failed for a reason that takes more than static
 * text. */
static void OVS_PRINTF_FORMAT(2, 3)
session_fail(struct ordma_session *session, const char *format, ...)
    OVS_REQUIRES(ordma_mutex)
{
    va_list args;
    char *reason;

    va_start(args, format);
    reason = xvasprintf(format, args);
    va_end(args);
    session->ops->failed(session, reason);
    free(reason);
}

/* Both sides. */

enum ordma_refusal
ordma_session_check(const struct ordma_port *port,
                    const struct ordma_hello *hello)
{
    if (!ordma_keys_match(&port->in_key, &hello->out_key)
        || !ordma_keys_match(&hello->in_key, &port->out_key)) {
        return ORDMA_REFUSED_KEY;
    }
    if (hello->features != port->features
        || hello->max_msg < ORDMA_MSG_MAX_OVERHEAD + ORDMA_MIN_FRAME_LEN) {
        return ORDMA_REFUSED_FEATURES;
    }
    return ORDMA_REFUSED_NONE;
}

bool
ordma_session_is_right_dev(const struct ordma_port *port,
                           const struct ordma_conn *conn)
{
    return !port->rdma_dev || !strcmp(port->rdma_dev, conn->dev_name);
}

/* Gives 'link' a lane on 'conn' and stores in '*hello' what to tell the peer
 * about it.  Returns 0, or a positive errno value and 'conn' is still the
 * caller's. */
static int
link_add_lane(struct ordma_link *link, struct ordma_conn *conn,
              uint8_t hello[ORDMA_HELLO_LEN])
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    const struct ordma_port *port = session->port;
    unsigned int lane = link - session->links;
    struct ordma_lane_params params = {
        .conn = conn,
        .rx_pool = port->rx_pool,
        .tx_pool = port->tx_pool,
        .n_recv = port->n_recv,
        .n_shared = port->n_rxq_desc,
        .rxq = lane,
        .n_send = port->n_send,
        .cq = session->cqs->cqs[lane],
        .tos = port->tos,
        .ttl = port->ttl,
    };
    struct ordma_hello ours;
    int error;

    error = ordma_lane_create(&params, session_stats(session), &link->lane);
    if (error) {
        return error;
    }
    link->conn = conn;
    conn->aux = link;
    session->local = conn->local;
    session->remote = conn->remote;
    ours = (struct ordma_hello) {
        .features = port->features,
        .max_msg = port->rx_pool->data_len,
        .credits = ordma_lane_initial_credits(link->lane),
        .n_lanes = port->n_rxq,
        .lane = lane,
        .session = session->id,
        .in_key = port->in_key,
        .out_key = port->out_key,
    };
    ordma_hello_put(hello, &ours);
    return 0;
}

/* Notes what the peer's hello on lane 0 says. */
static void
session_take_hello(struct ordma_session *session,
                   const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    session->n_lanes = MIN(session->port->n_rxq, hello->n_lanes);
    session->max_msg = hello->max_msg;
    session->theirs = *hello;
}

/* Has PMD threads poll the lanes of 'session', all of which are connected, and
 * see whether data gets through. */
static void
session_probe(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    session->state = ORDMA_SESSION_PROBE;
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_conn *conn = session->links[i].conn;

        conn->provider->join_cq(conn);
    }
    ordma_session_run(session);
}

static void
link_established(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;

    link->established = true;
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        if (!session->links[i].established) {
            return;
        }
    }
    session_probe(session);
}

/* The active side. */

static void
link_dial(struct ordma_link *link, const struct in6_addr *remote,
          const struct in6_addr *local)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    const struct ordma_port *port = session->port;
    struct ordma_dial dial = {
        .remote = *remote,
        .local = *local,
        .port = port->dst_port,
        .tos = port->tos,
        .max_mtu = session->max_mtu,
    };
    int error = port->provider->dial(&dial, link, &link->conn);

    if (error) {
        session_fail(session, "cannot dial remote_ip (%s)%s",
                     ovs_strerror(error), error == ENODEV || error == ENOENT
                     ? ": no RDMA support is loaded, try \"modprobe "
                       "rdma_ucm\"" : "");
    }
}

void
ordma_session_dial(struct ordma_port *port,
                   const struct in6_addr *remote, const struct in6_addr *local,
                   int max_mtu, const struct ordma_session_ops *ops, void *aux,
                   struct ordma_session **sessionp)
{
    struct ordma_session *session = session_create(port, port->n_rxq, ops,
                                                   aux);

    ordma_random_bytes(&session->id, sizeof session->id);
    session->id |= 1;           /* Not 0. */
    session->dialed = true;
    session->max_mtu = max_mtu;
    *sessionp = session;
    link_dial(&session->links[0], remote, local);
}

/* Ends 'session' unless its port takes 'conn' where it goes through. */
static bool
check_dev(struct ordma_session *session, const struct ordma_conn *conn)
    OVS_REQUIRES(ordma_mutex)
{
    bool is_right = ordma_session_is_right_dev(session->port, conn);

    if (!is_right) {
        session_fail(session, "remote_ip is reached through device %s, not "
                     "rdma-dev=%s", conn->dev_name, session->port->rdma_dev);
    }
    return is_right;
}

static void
link_resolved(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    struct ordma_conn *conn = link->conn;
    uint8_t hello[ORDMA_HELLO_LEN];
    int error;

    if (!check_dev(session, conn)) {
        return;
    }
    error = link_add_lane(link, conn, hello);
    if (!error) {
        error = conn->provider->connect(conn, hello, sizeof hello);
    }
    if (error) {
        session_fail(session, "cannot set up a queue pair on %s (%s), see the "
                     "log", conn->dev_name, ovs_strerror(error));
    }
}

/* Handles that the peer has accepted lane 0 of 'session': dials the others. */
static void
dial_other_lanes(struct ordma_session *session,
                 const struct ordma_hello *theirs)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_conn *conn = session->links[0].conn;

    session_take_hello(session, theirs);
    for (unsigned int i = 1; i < session->n_lanes && session->port; i++) {
        link_dial(&session->links[i], &conn->remote, &conn->local);
    }
}

static void
link_accepted(struct ordma_link *link, const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    struct ordma_hello theirs;

    if (!ordma_hello_parse(event->private_data, event->private_data_len,
                           &theirs)
        || theirs.session != session->id
        || theirs.lane != link - session->links
        || ordma_session_check(session->port, &theirs)) {
        session->ops->failed(session, "peer accepted, but its answer is "
                             "invalid");
        return;
    }
    ordma_lane_start(link->lane, theirs.credits);
    if (!theirs.lane) {
        dial_other_lanes(session, &theirs);
    }
    if (session->port) {
        link_established(link);
    }
}

static void
link_rejected(struct ordma_link *link, const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_session *session = link->session;
    enum ordma_refusal refusal = ordma_refusal_parse(event->private_data,
                                                     event->private_data_len);

    if (refusal) {
        session->ops->refused(session, refusal);
    } else {
        session->ops->failed(session, event->reason);
    }
}

/* The passive side. */

struct ordma_session *
ordma_session_create_passive(struct ordma_port *port,
                             const struct ordma_hello *hello,
                             const struct ordma_session_ops *ops, void *aux)
{
    struct ordma_session *session = session_create(port, port->n_rxq, ops,
                                                   aux);

    session->id = hello->session;
    session_take_hello(session, hello);
    return session;
}

bool
ordma_session_wants(const struct ordma_session *session,
                    const struct ordma_hello *hello)
{
    return (session->state == ORDMA_SESSION_SETUP && !session->dialed
            && session->id == hello->session && hello->lane < session->n_lanes
            && !session->links[hello->lane].conn);
}

bool
ordma_session_accept(struct ordma_session *session, struct ordma_conn *conn,
                     const struct ordma_hello *hello)
{
    struct ordma_link *link = &session->links[hello->lane];
    uint8_t ours[ORDMA_HELLO_LEN];
    int error = link_add_lane(link, conn, ours);

    if (error) {
        session->ops->failed(session, error == ENOTCONN
                             ? "peer closed the connection while connecting"
                             : "out of resources for a connection, see the "
                               "log");
        return false;
    }
    ordma_lane_start(link->lane, hello->credits);
    if (conn->provider->accept(conn, ours, sizeof ours)) {
        /* The lane owns 'conn': it goes with the session. */
        session->ops->failed(session, "cannot accept a connection");
    }
    return true;
}

/* Events. */

void
ordma_session_handle_event(const struct ordma_event *event)
{
    struct ordma_link *link = event->conn->aux;
    struct ordma_session *session = link->session;

    if (!session->port) {
        return;                 /* It is closed already. */
    }
    switch (event->type) {
    case ORDMA_EV_RESOLVED:
        link_resolved(link);
        break;

    case ORDMA_EV_ESTABLISHED:
        if (session->dialed) {
            link_accepted(link, event);
        } else {
            link_established(link);
        }
        break;

    case ORDMA_EV_REJECTED:
        link_rejected(link, event);
        break;

    case ORDMA_EV_FAILED:
    case ORDMA_EV_DISCONNECTED:
        session->ops->failed(session, event->reason);
        break;

    case ORDMA_EV_MOVED:
        if (check_dev(session, event->conn)) {
            session->port->changed(session->port);
        }
        break;

    case ORDMA_EV_REQUEST:
    default:
        OVS_NOT_REACHED();
    }
}

/* Returns how many bytes the PING number 'n' has. */
static uint32_t
ping_len(const struct ordma_session *session, unsigned int n)
    OVS_REQUIRES(ordma_mutex)
{
    uint32_t path_mtu = session->links[0].conn->path_mtu;

    return !n ? 0 : MIN(path_mtu, session->max_msg);
}

/* Goes on probing 'link'.  Returns how many PINGs have been answered. */
static unsigned int
link_probe(struct ordma_link *link)
    OVS_REQUIRES(ordma_mutex)
{
    unsigned int n_pongs = ordma_lane_n_pongs(link->lane);

    if (link->n_pings < N_PINGS && link->n_pings == n_pongs) {
        link->n_pings += ordma_lane_ping(
            link->lane, ping_len(link->session, link->n_pings));
    }
    return n_pongs;
}

/* Goes on probing 'session'. */
static void
probe(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    unsigned int n_pongs = N_PINGS;

    for (unsigned int i = 0; i < session->n_lanes; i++) {
        n_pongs = MIN(n_pongs, link_probe(&session->links[i]));
    }
    if (n_pongs && !session->long_time) {
        session->long_time = time_msec();
    }
    if (n_pongs == N_PINGS) {
        session->state = ORDMA_SESSION_UP;
        session->ops->up(session);
    }
}

/* Returns why a lane of 'session' has failed, or null. */
static const char *
session_failure(const struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        const struct ordma_lane *lane = session->links[i].lane;

        if (lane && ordma_lane_failure(lane)) {
            return ordma_lane_failure(lane);
        }
    }
    return NULL;
}

void
ordma_session_run(struct ordma_session *session)
{
    const char *failure = session_failure(session);

    if (failure && session->state == ORDMA_SESSION_PROBE) {
        session->ops->failed(session, ordma_session_waits_for(session));
    } else if (failure) {
        session->ops->failed(session, failure);
    } else if (session->state == ORDMA_SESSION_PROBE) {
        probe(session);
    }
}

int
ordma_session_probed_mtu(const struct ordma_session *session)
{
    return (session->state == ORDMA_SESSION_PROBE && session->long_time
            && time_msec() - session->long_time >= LONG_TIMEOUT
            ? session->links[0].conn->path_mtu : 0);
}

const char *
ordma_session_waits_for(const struct ordma_session *session)
{
    return (ordma_session_probed_mtu(session)
            ? "packets as long as the path MTU do not get through"
            : session->state == ORDMA_SESSION_PROBE
            ? "peer accepts connections but does not answer data, which a "
              "firewall may drop"
            : "connection attempt timed out");
}

void
ordma_session_ping(struct ordma_session *session)
{
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        ordma_lane_ping(session->links[i].lane, 0);
    }
}

/* The end. */

/* RCU callback. */
static void
session_quiesced(struct ordma_session *session)
{
    atomic_store(&session->quiesced, true);
    seq_change(ordma_seq());
}

void
ordma_session_close(struct ordma_session *session)
{
    bool polled = session->state != ORDMA_SESSION_SETUP;

    /* Phase 1: the peer learns of it, nothing is sent any more, and no PMD
     * thread finds the lanes any more.  One may be at them until the end of a
     * grace period, see ordma_sessions_run(). */
    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_link *link = &session->links[i];

        if (link->conn) {
            link->conn->provider->disconnect(link->conn);
        }
    }
    session->port = NULL;
    session->state = ORDMA_SESSION_GRACE;
    ovs_list_push_back(&dead_sessions, &session->node);
    if (polled) {
        ovsrcu_postpone(session_quiesced, session);
    } else {
        session_quiesced(session);
    }
}

/* Returns true if no PMD thread is at 'session', which is in GRACE. */
static bool
is_released(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    bool quiesced;

    atomic_read(&session->quiesced, &quiesced);
    for (unsigned int i = 0; i < session->n_lanes && quiesced; i++) {
        struct ordma_lane *lane = session->links[i].lane;

        quiesced = !lane || !ordma_lane_is_held(lane);
    }
    return quiesced;
}

/* Returns true if all lanes of 'session' are drained. */
static bool
session_drain(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    bool done = true;

    for (unsigned int i = 0; i < session->n_lanes; i++) {
        struct ordma_lane *lane = session->links[i].lane;

        if (lane && !ordma_lane_drain(lane, session_stats(session))) {
            done = false;
        }
    }
    return done;
}

/* Does the periodic work of 'session'.  Returns true if it is to be freed. */
static bool
dead_session_run(struct ordma_session *session)
    OVS_REQUIRES(ordma_mutex)
{
    if (session->state == ORDMA_SESSION_GRACE) {
        if (!is_released(session)) {
            return false;
        }
        /* Phase 2: the main thread has taken over from the PMD threads. */
        session->state = ORDMA_SESSION_DRAIN;
        session->deadline = time_msec() + DRAIN_TIMEOUT;
    }

    /* Phase 3: every request has completed, or never will. */
    if (session_drain(session)) {
        return true;
    }
    if (time_msec() >= session->deadline) {
        VLOG_WARN_RL(&rl, "%s: device did not flush its queue pairs",
                     session->links[0].conn->dev_name);
        return true;
    }
    return false;
}

void
ordma_sessions_run(void)
{
    struct ordma_session *session;

    LIST_FOR_EACH_SAFE (session, node, &dead_sessions) {
        if (dead_session_run(session)) {
            ovs_list_remove(&session->node);
            session_destroy(session);
        }
    }
}

void
ordma_sessions_wait(void)
{
    if (!ovs_list_is_empty(&dead_sessions)) {
        poll_timer_wait(DRAIN_INTERVAL);
    }
}

void
ordma_sessions_orphan(const struct ordma_stats *stats)
{
    struct ordma_session *session;

    LIST_FOR_EACH (session, node, &dead_sessions) {
        if (session->stats == stats) {
            session->stats = NULL;
        }
    }
}
