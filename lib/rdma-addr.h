/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Addresses, and what the kernel knows about the way to them. */

#ifndef RDMA_ADDR_H
#define RDMA_ADDR_H 1

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "openvswitch/types.h"

/* Addresses are IPv6 addresses, or IPv4 addresses in their mapped form.  The
 * functions here do short system calls, but ordma_make_sockaddr() does none,
 * and are for any thread. */

/* Stores 'addr' and 'port' in '*ss'.  Returns the length of that.
 * ss_get_address() is the inverse. */
socklen_t ordma_make_sockaddr(const struct in6_addr *addr, ovs_be16 port,
                              struct sockaddr_storage *ss);

/* Returns 'addr' as text, for the caller to free. */
char *ordma_addr_format(const struct in6_addr *addr);

/* What the kernel's routing table says about the way to a peer. */
struct ordma_route {
    struct in6_addr src;        /* Own address. */
    int mtu;                    /* Of IP packets. */

    /* Likewise, but without what routers say in ICMP messages, which anyone
     * can forge. */
    int configured_mtu;

    char dev_name[IF_NAMESIZE]; /* Of the interface. */
};

/* Looks up the route to 'remote', from 'local' unless that is all zeros.  Of
 * several IPv6 addresses, the source is no temporary one (RFC 8981).
 *
 * Returns 0 and stores the route in '*route', or returns a positive errno
 * value:
 *
 *     EADDRNOTAVAIL    'local' is no address of this host.
 *     EADDRINUSE       'remote' is one.
 *     EDESTADDRREQ     'remote' is no address of a host.
 *     EAFNOSUPPORT     'remote' or 'local' is link-local, in IPv6, or this
 *                      host has no IPv6.
 *     ENETUNREACH and others: there is no route. */
int ordma_route_lookup(const struct in6_addr *remote,
                       const struct in6_addr *local,
                       struct ordma_route *route);

/* Returns false if 'remote' can never be the address of a peer, because it is
 * that of this host or not of a host at all. */
bool ordma_addr_is_remote(const struct in6_addr *remote);

/* Returns static text for people about 'error' of ordma_route_lookup() from
 * 'local'. */
const char *ordma_route_strerror(int error, const struct in6_addr *local);

/* Returns a number that changes when an address or a route may have. */
uint64_t ordma_route_seq(void);

/* Returns the NUMA node of device 'name' of 'class' ("net", "infiniband"), or
 * OVS_NUMA_UNSPEC. */
int ordma_read_numa_id(const char *class, const char *name);

#endif /* rdma-addr.h */
