/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * The kernel's way to a peer: source address and MTU. */

#include <config.h>

#include "rdma-route.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packets.h"
#include "util.h"

/* A socket that is connected, which sends nothing, knows its route. */

static socklen_t
make_sockaddr(const struct in6_addr *addr, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (IN6_IS_ADDR_V4MAPPED(addr)) {
        struct sockaddr_in *sin = ALIGNED_CAST(struct sockaddr_in *, ss);

        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = in6_addr_get_mapped_ipv4(addr);
        return sizeof *sin;
    } else {
        struct sockaddr_in6 *sin6 = ALIGNED_CAST(struct sockaddr_in6 *, ss);

        sin6->sin6_family = AF_INET6;
        sin6->sin6_addr = *addr;
        return sizeof *sin6;
    }
}

static int
connect_to(int fd, const struct in6_addr *remote, const struct in6_addr *local)
{
    struct sockaddr_storage ss;
    socklen_t len;

    if (ipv6_addr_is_set(local)) {
        len = make_sockaddr(local, &ss);
        if (bind(fd, (struct sockaddr *) &ss, len)) {
            return errno;
        }
    }
    len = make_sockaddr(remote, &ss);
    if (ss.ss_family == AF_INET) {
        ALIGNED_CAST(struct sockaddr_in *, &ss)->sin_port = htons(9);
    } else {
        ALIGNED_CAST(struct sockaddr_in6 *, &ss)->sin6_port = htons(9);
    }
    return connect(fd, (struct sockaddr *) &ss, len) ? errno : 0;
}

static int
get_route(int fd, struct ordma_route *route)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    socklen_t mtu_len = sizeof route->mtu;
    bool is_ipv4;

    if (getsockname(fd, (struct sockaddr *) &ss, &len)) {
        return errno;
    }
    is_ipv4 = ss.ss_family == AF_INET;
    route->src = (is_ipv4
                  ? in6_addr_mapped_ipv4(
                      ALIGNED_CAST(struct sockaddr_in *, &ss)->sin_addr.s_addr)
                  : ALIGNED_CAST(struct sockaddr_in6 *, &ss)->sin6_addr);
    return (getsockopt(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                       is_ipv4 ? IP_MTU : IPV6_MTU, &route->mtu, &mtu_len)
            ? errno : 0);
}

int
ordma_route_lookup(const struct in6_addr *remote,
                   const struct in6_addr *local, struct ordma_route *route)
{
    int fd = socket(IN6_IS_ADDR_V4MAPPED(remote) ? AF_INET : AF_INET6,
                    SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return errno;
    }
    error = connect_to(fd, remote, local);
    if (!error) {
        error = get_route(fd, route);
    }
    close(fd);
    return error;
}
