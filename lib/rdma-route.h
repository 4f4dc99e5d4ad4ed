/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The kernel's way to a peer. */

#ifndef RDMA_ROUTE_H
#define RDMA_ROUTE_H 1

#include <netinet/in.h>

/* What the kernel's routing table says about a way to a peer. */
struct ordma_route {
    struct in6_addr src;        /* Own address (IPv4: mapped). */
    int mtu;                    /* Of IP packets. */
};

/* Looks up the route to 'remote' (IPv4: mapped), from 'local' unless that is
 * all zeros.  Returns 0 and stores it in '*route', or returns a positive errno
 * value: ENETUNREACH or EHOSTUNREACH if there is none, EADDRNOTAVAIL if
 * 'local' is no address of this host. */
int ordma_route_lookup(const struct in6_addr *remote,
                       const struct in6_addr *local,
                       struct ordma_route *route);

#endif /* rdma-route.h */
