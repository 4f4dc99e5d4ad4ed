/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Listeners that ports share, opened again until that succeeds. */

#include <config.h>

#include "rdma-listener.h"

#include <errno.h>

#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_listener);

#define RETRY_INTERVAL 2000     /* In ms. */

struct listener {
    struct ovs_list node;       /* In 'listeners'. */
    const struct ordma_provider *provider;
    ovs_be16 port;
    unsigned int n_refs;
    bool open;
    char *error;                /* Why not open. */
    long long int next_try;
};

static struct ovs_list listeners OVS_GUARDED_BY(ordma_mutex)
    = OVS_LIST_INITIALIZER(&listeners);

static struct listener *
listener_find(const struct ordma_provider *provider, ovs_be16 port)
    OVS_REQUIRES(ordma_mutex)
{
    struct listener *listener;

    LIST_FOR_EACH (listener, node, &listeners) {
        if (listener->provider == provider && listener->port == port) {
            return listener;
        }
    }
    return NULL;
}

/* The soft provider has one UDP port for all listeners. */
static char *
soft_error_text(int error)
{
    return (error == EADDRINUSE
            ? xstrdup("UDP port 4791 is taken, most likely by rdma_rxe: set "
                      "options:provider=verbs or unload that module")
            : error == ENOSPC
            ? xstrdup("too many different values of dst_port")
            : xasprintf("cannot open UDP port 4791 (%s)",
                        ovs_strerror(error)));
}

static const char *
remedy(int error)
{
    switch (error) {
    case ENODEV:
    case ENOENT:
        return ": no RDMA support is loaded, try \"modprobe rdma_ucm\"";
    case EADDRINUSE:
        return ": another program has the port, set another dst_port on both "
               "ends";
    case EACCES:
    case EPERM:
        return ": ovs-vswitchd may not open /dev/infiniband/rdma_cm";
    default:
        return "";
    }
}

static void
listener_open(struct listener *listener)
    OVS_REQUIRES(ordma_mutex)
{
    int error = listener->provider->listen(listener->port);
    bool first = !listener->error;

    free(listener->error);
    listener->error = NULL;
    listener->open = !error;
    if (error) {
        listener->error
            = (listener->provider == &ordma_soft_provider
               ? soft_error_text(error)
               : xasprintf("cannot listen on dst_port=%d (%s)%s",
                           ntohs(listener->port), ovs_strerror(error),
                           remedy(error)));
        listener->next_try = time_msec() + RETRY_INTERVAL;
        VLOG(first ? VLL_WARN : VLL_DBG, "provider %s: %s",
             listener->provider->name, listener->error);
    } else {
        VLOG_INFO("provider %s: listening on dst_port=%d",
                  listener->provider->name, ntohs(listener->port));
    }
}

void
ordma_listener_ref(const struct ordma_provider *provider, ovs_be16 port)
{
    struct listener *listener = listener_find(provider, port);

    if (!listener) {
        listener = xzalloc(sizeof *listener);
        listener->provider = provider;
        listener->port = port;
        ovs_list_push_back(&listeners, &listener->node);
        listener_open(listener);
    }
    listener->n_refs++;
}

void
ordma_listener_unref(const struct ordma_provider *provider, ovs_be16 port)
{
    struct listener *listener = listener_find(provider, port);

    if (!--listener->n_refs) {
        if (listener->open) {
            provider->unlisten(port);
        }
        ovs_list_remove(&listener->node);
        free(listener->error);
        free(listener);
    }
}

const char *
ordma_listener_error(const struct ordma_provider *provider, ovs_be16 port)
{
    return listener_find(provider, port)->error;
}

bool
ordma_listeners_run(void)
{
    struct listener *listener;
    bool changed = false;

    LIST_FOR_EACH (listener, node, &listeners) {
        if (!listener->open && time_msec() >= listener->next_try) {
            listener_open(listener);
            changed = true;
        }
    }
    return changed;
}

void
ordma_listeners_wait(void)
{
    struct listener *listener;

    LIST_FOR_EACH (listener, node, &listeners) {
        if (!listener->open) {
            poll_timer_wait_until(listener->next_try);
        }
    }
}
