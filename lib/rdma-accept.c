/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Events of providers: which port and peer a connection request is for. */

#include <config.h>

#include "rdma-accept.h"

#include <errno.h>
#include <string.h>

#include "coverage.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "rdma-listener.h"
#include "rdma-peer.h"
#include "rdma-stats.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_accept);

COVERAGE_DEFINE(rdma_request_refused);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

static struct ovs_list ports OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&ports);
static bool errors_are_stale OVS_GUARDED_BY(ordma_mutex);

/* Ports. */

void
ordma_port_add(struct ordma_port *port)
{
    ordma_listener_ref(port->provider, port->dst_port);
    ovs_list_push_back(&ports, &port->node);
    port->error = NULL;
    errors_are_stale = true;
}

void
ordma_port_remove(struct ordma_port *port)
{
    ovs_list_remove(&port->node);
    ordma_listener_unref(port->provider, port->dst_port);
    free(port->error);
    errors_are_stale = true;
}

/* Returns the port that has the same identity as 'port' and was there before,
 * or null. */
static const struct ordma_port *
find_twin(const struct ordma_port *port)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_port *other;

    LIST_FOR_EACH (other, node, &ports) {
        if (other == port) {
            break;
        }
        if (other->provider == port->provider
            && other->dst_port == port->dst_port
            && ipv6_addr_equals(&other->remote, &port->remote)
            && ipv6_addr_equals(&other->local, &port->local)
            && ordma_key_equals(&other->in_key, &port->in_key)) {
            return other;
        }
    }
    return NULL;
}

/* Returns why the peers of 'port' are not to dial, for the caller to free, or
 * null. */
static char *
find_error(const struct ordma_port *port)
    OVS_REQUIRES(ordma_mutex)
{
    const struct ordma_port *twin = find_twin(port);

    return (twin
            ? xasprintf("port %s has the same remote_ip, local_ip, dst_port "
                        "and in_key, change one of them", twin->name)
            : nullable_xstrdup(ordma_listener_error(port->provider,
                                                    port->dst_port)));
}

/* Brings the 'error' of all ports up to date. */
static void
update_errors(void)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_port *port;

    errors_are_stale = false;
    LIST_FOR_EACH (port, node, &ports) {
        char *error = find_error(port);

        if (!nullable_string_is_equal(error, port->error)) {
            free(port->error);
            port->error = error;
            port->changed(port);
        } else {
            free(error);
        }
    }
}

/* Requests. */

/* Returns how well 'port', which takes 'hello', fits it. */
static int
match_score(const struct ordma_port *port, const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    return (4 * ordma_key_equals(&port->in_key, &hello->out_key)
            + 4 * ordma_key_equals(&port->out_key, &hello->in_key)
            + 2 * ipv6_addr_is_set(&port->remote)
            + ipv6_addr_is_set(&port->local));
}

/* Returns true if 'a' is all zeros, which means any address, or equal to
 * 'b'. */
static bool
addr_matches(const struct in6_addr *a, const struct in6_addr *b)
{
    return !ipv6_addr_is_set(a) || ipv6_addr_equals(a, b);
}

/* Returns true if 'port' fits the request 'conn' with 'hello' better than
 * 'best', which may be null.  Stores in '*refusal' why not, if that is due to
 * what 'hello' says. */
static bool
is_better(const struct ordma_port *port, const struct ordma_port *best,
          const struct ordma_conn *conn, const struct ordma_hello *hello,
          enum ordma_refusal *refusal)
    OVS_REQUIRES(ordma_mutex)
{
    enum ordma_refusal why;

    if (port->provider != conn->provider
        || port->dst_port != conn->dst_port
        || !addr_matches(&port->remote, &conn->remote)
        || !addr_matches(&port->local, &conn->local)
        || !ordma_session_is_right_dev(port, conn)) {
        return false;
    }
    why = ordma_session_check(port, hello);
    if (why) {
        *refusal = why;
        return false;
    }
    return !best || match_score(port, hello) > match_score(best, hello);
}

/* Finds the port that wants the connection request 'conn' with 'hello', the
 * one that fits best.  If there is none, returns null and the reason in
 * '*refusal'. */
static struct ordma_port *
find_port(const struct ordma_conn *conn, const struct ordma_hello *hello,
          enum ordma_refusal *refusal)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_port *port, *best = NULL;

    *refusal = ORDMA_REFUSED_NO_PORT;
    LIST_FOR_EACH (port, node, &ports) {
        if (is_better(port, best, conn, hello, refusal)) {
            best = port;
        }
    }
    return best;
}

/* Has a port take the request 'conn' with 'hello', or returns why none
 * does. */
static enum ordma_refusal
take_request(struct ordma_conn *conn, const struct ordma_hello *hello)
    OVS_REQUIRES(ordma_mutex)
{
    enum ordma_refusal refusal;
    struct ordma_port *port = find_port(conn, hello, &refusal);
    struct ordma_peer *peer;

    if (!port) {
        return refusal;
    }
    peer = port->get_peer(port, &conn->remote, &conn->local);
    refusal = (peer ? ordma_peer_request(peer, conn, hello)
               : ORDMA_REFUSED_PEERS);
    if (refusal && refusal != ORDMA_REFUSED_CROSSING) {
        ordma_stats_add(port->stats, ORDMA_REJECTED_REQUESTS, 1);
    }
    return refusal;
}

static void
refuse(struct ordma_conn *conn, enum ordma_refusal refusal)
    OVS_REQUIRES(ordma_mutex)
{
    uint8_t private_data[ORDMA_REFUSAL_LEN];

    COVERAGE_INC(rdma_request_refused);
    if (refusal != ORDMA_REFUSED_CROSSING && !VLOG_DROP_INFO(&rl)) {
        struct ds remote = DS_EMPTY_INITIALIZER;

        ipv6_format_mapped(&conn->remote, &remote);
        VLOG_INFO("rejected a connection from %s, telling it: %s",
                  ds_cstr(&remote), ordma_refusal_to_string(refusal));
        ds_destroy(&remote);
    }
    ordma_refusal_put(private_data, refusal);
    conn->provider->reject(conn, private_data, sizeof private_data);
}

static void
handle_request(const struct ordma_event *event)
    OVS_REQUIRES(ordma_mutex)
{
    enum ordma_refusal refusal = ORDMA_REFUSED_HELLO;
    struct ordma_hello hello;

    if (ordma_hello_parse(event->private_data, event->private_data_len,
                          &hello)) {
        refusal = take_request(event->conn, &hello);
    }
    if (refusal) {
        refuse(event->conn, refusal);
    }
}

/* Periodic work. */

static void
run_provider(const struct ordma_provider *provider)
    OVS_REQUIRES(ordma_mutex)
{
    struct ordma_event event;

    provider->run();
    while (provider->next_event(&event)) {
        if (event.type == ORDMA_EV_REQUEST) {
            handle_request(&event);
        } else {
            ordma_session_handle_event(&event);
        }
    }
}

void
ordma_accept_run(void)
{
    if (ordma_listeners_run() || errors_are_stale) {
        update_errors();
    }
    for (size_t i = 0; ordma_providers[i]; i++) {
        run_provider(ordma_providers[i]);
    }
    ordma_peers_run();
}

void
ordma_accept_wait(void)
{
    for (size_t i = 0; ordma_providers[i]; i++) {
        ordma_providers[i]->wait();
    }
    ordma_listeners_wait();
    ordma_peers_wait();
}
