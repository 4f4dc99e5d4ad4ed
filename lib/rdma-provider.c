/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Which RDMA provider a port gets. */

#include <config.h>

#include "rdma-provider.h"

#include <errno.h>
#include <string.h>

#include "ovs-thread.h"
#include "packets.h"
#include "rdma-addr.h"
#include "rdma-mem.h"
#include "roce-mad.h"
#include "sset.h"
#include "util.h"

struct ovs_mutex ordma_mutex = OVS_MUTEX_INITIALIZER;

const struct ordma_provider *const ordma_providers[] = {
    &ordma_verbs_provider,
    &ordma_soft_provider,
    NULL,
};

const struct ordma_provider *
ordma_provider_lookup(const char *name)
{
    for (size_t i = 0; ordma_providers[i]; i++) {
        if (!strcmp(ordma_providers[i]->name, name)) {
            return ordma_providers[i];
        }
    }
    return NULL;
}

/* Returns true if 'provider' has any device. */
static bool
has_devs(const struct ordma_provider *provider)
    OVS_REQUIRES(ordma_mutex)
{
    struct sset names = SSET_INITIALIZER(&names);
    bool found;

    provider->enumerate(&names);
    found = !sset_is_empty(&names);
    sset_destroy(&names);
    return found;
}

const struct ordma_provider *
ordma_provider_choose(const struct in6_addr *remote,
                      const struct in6_addr *local, const char *rdma_dev,
                      const char **reason)
{
    const struct ordma_provider *verbs = &ordma_verbs_provider;
    const struct ordma_provider *soft = &ordma_soft_provider;
    struct in6_addr ip = *local;
    struct ordma_route route;
    int error;

    if (!ipv6_addr_is_set(remote) && !ipv6_addr_is_set(local) && !rdma_dev) {
        *reason = "remote_ip=flow and local_ip is not set";
        return has_devs(verbs) ? verbs : soft;
    }

    if (rdma_dev) {
        *reason = "options:rdma-dev names an RDMA device";
        return verbs;
    }
    error = (ipv6_addr_is_set(remote)
             ? ordma_route_lookup(remote, local, &route) : ENETUNREACH);
    if (!error) {
        ip = route.src;
    } else if (error == EADDRINUSE) {
        /* The soft provider refuses it. */
        *reason = ordma_route_strerror(error, local);
        return soft;
    } else if (!ipv6_addr_is_set(&ip)) {
        *reason = "there is no route to remote_ip yet";
        return has_devs(verbs) ? verbs : soft;
    }
    if (verbs->has_addr(&ip)) {
        *reason = "an RDMA device has the local address";
        return verbs;
    } else {
        *reason = "no RDMA device has the local address";
        return soft;
    }
}

/* Initializes 'dev', an open device of 'provider', and registers the memory of
 * DPDK's heap with it.  Returns 0 or a positive errno value. */
int
ordma_dev_init(struct ordma_dev *dev, const struct ordma_provider *provider,
               const char *name)
{
    int error;

    dev->provider = provider;
    dev->name = xstrdup(name);
    error = ordma_mem_create(dev, &dev->mem);
    if (error) {
        free(dev->name);
    }
    return error;
}

/* Deregisters all memory from 'dev', which has no queue pair any more. */
void
ordma_dev_uninit(struct ordma_dev *dev)
{
    ordma_mem_destroy(dev->mem);
    free(dev->name);
}

const char *
ordma_rej_text(int reason)
{
    switch (reason) {
    case ROCE_REJ_BAD_SERVICE:
        return "nothing listens on dst_port at the peer";
    case ROCE_REJ_STALE:
        return "peer still knows an earlier connection";
    case ROCE_REJ_NO_RESOURCES:
        return "rejected by peer: too many connections";
    case ROCE_REJ_BAD_MTU:
        return "rejected by peer: its MTU is smaller";
    case ROCE_REJ_CONSUMER:
        return "rejected by peer";
    default:
        return "rejected by peer's connection manager";
    }
}
