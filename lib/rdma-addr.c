/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * Addresses, and what the kernel knows about the way to them. */

#include <config.h>

#include "rdma-addr.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/in6.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "netlink.h"
#include "netlink-socket.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"
#include "ovs-numa.h"
#include "packets.h"
#include "route-table.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(rdma_addr);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

socklen_t
ordma_make_sockaddr(const struct in6_addr *addr, ovs_be16 port,
                    struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (IN6_IS_ADDR_V4MAPPED(addr)) {
        struct sockaddr_in *sin = ALIGNED_CAST(struct sockaddr_in *, ss);

        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = in6_addr_get_mapped_ipv4(addr);
        sin->sin_port = port;
    } else {
        struct sockaddr_in6 *sin6 = ALIGNED_CAST(struct sockaddr_in6 *, ss);

        sin6->sin6_family = AF_INET6;
        sin6->sin6_addr = *addr;
        sin6->sin6_port = port;
    }
    return ss_length(ss);
}

char *
ordma_addr_format(const struct in6_addr *addr)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ipv6_format_mapped(addr, &ds);
    return ds_steal_cstr(&ds);
}

/* Routes.
 *
 * A socket that is connected, which sends nothing, knows the source address
 * and the MTU of its route.  What the destination is, and through which
 * interface it is reached, only netlink tells. */

static int
set_address(int fd,
            int (*function)(int, const struct sockaddr *, socklen_t),
            const struct in6_addr *addr, ovs_be16 port)
{
    struct sockaddr_storage ss;
    socklen_t len = ordma_make_sockaddr(addr, port, &ss);

    return function(fd, (struct sockaddr *) &ss, len) ? errno : 0;
}

static int
connect_to(int fd, const struct in6_addr *remote, const struct in6_addr *local)
{
    int preferences = IPV6_PREFER_SRC_PUBLIC;
    int error;

    if (ipv6_addr_is_set(local)) {
        error = set_address(fd, bind, local, 0);
        if (error) {
            return error;
        }
    } else if (!IN6_IS_ADDR_V4MAPPED(remote)) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_ADDR_PREFERENCES, &preferences,
                   sizeof preferences);
    }
    return set_address(fd, connect, remote, htons(9));
}

/* Stores what 'fd', which is connected, knows in '*route'. */
static int
get_path(int fd, bool is_ipv4, struct ordma_route *route)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    socklen_t mtu_len = sizeof route->mtu;

    if (getsockname(fd, (struct sockaddr *) &ss, &len)
        || getsockopt(fd, is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
                      is_ipv4 ? IP_MTU : IPV6_MTU, &route->mtu, &mtu_len)) {
        return errno;
    }
    route->src = ss_get_address(&ss);
    return 0;
}

static void
put_addr(struct ofpbuf *request, uint16_t type, const struct in6_addr *addr)
{
    if (IN6_IS_ADDR_V4MAPPED(addr)) {
        nl_msg_put_be32(request, type, in6_addr_get_mapped_ipv4(addr));
    } else {
        nl_msg_put_in6_addr(request, type, addr);
    }
}

/* Asks for the route to 'remote' from 'src'.  On success, the caller must free
 * '*replyp'. */
static int
query(const struct in6_addr *remote, const struct in6_addr *src,
      struct ofpbuf **replyp)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(remote);
    struct ofpbuf request;
    struct rtmsg *rtm;
    int error;

    ofpbuf_init(&request, 0);
    nl_msg_put_nlmsghdr(&request, sizeof *rtm, RTM_GETROUTE, NLM_F_REQUEST);
    rtm = ofpbuf_put_zeros(&request, sizeof *rtm);
    rtm->rtm_family = is_ipv4 ? AF_INET : AF_INET6;
    rtm->rtm_dst_len = rtm->rtm_src_len = is_ipv4 ? 32 : 128;
    put_addr(&request, RTA_DST, remote);
    put_addr(&request, RTA_SRC, src);
    error = nl_transact(NETLINK_ROUTE, &request, replyp);
    ofpbuf_uninit(&request);
    return error;
}

/* Stores what 'reply' to a query says in '*route'.  'fd' is any socket. */
static int
parse_reply(struct ofpbuf *reply, int fd, struct ordma_route *route)
{
    static const struct nl_policy policy[] = {
        [RTA_OIF] = { .type = NL_A_U32 },
        [RTA_CACHEINFO] = { .type = NL_A_UNSPEC,
                            .min_len = sizeof(struct rta_cacheinfo),
                            .optional = true },
    };
    struct nlattr *attrs[ARRAY_SIZE(policy)];
    const struct rta_cacheinfo *cache;
    const struct rtmsg *rtm;
    struct ifreq ifr;

    rtm = ofpbuf_at(reply, NLMSG_HDRLEN, sizeof *rtm);
    if (!rtm || !nl_policy_parse(reply, NLMSG_HDRLEN + sizeof *rtm, policy,
                                 attrs, ARRAY_SIZE(policy))) {
        return EPROTO;
    } else if (rtm->rtm_type != RTN_UNICAST) {
        return rtm->rtm_type == RTN_LOCAL ? EADDRINUSE : EDESTADDRREQ;
    }
    memset(&ifr, 0, sizeof ifr);
    ifr.ifr_ifindex = nl_attr_get_u32(attrs[RTA_OIF]);
    if (ioctl(fd, SIOCGIFNAME, &ifr)) {
        return errno;
    }
    ovs_strlcpy(route->dev_name, ifr.ifr_name, sizeof route->dev_name);

    /* An MTU that ICMP has taught expires. */
    cache = (attrs[RTA_CACHEINFO]
             ? nl_attr_get(attrs[RTA_CACHEINFO]) : NULL);
    route->configured_mtu = route->mtu;
    if (cache && cache->rta_expires) {
        if (ioctl(fd, SIOCGIFMTU, &ifr)) {
            return errno;
        }
        route->configured_mtu = ifr.ifr_mtu;
    }
    return 0;
}

/* Returns what ordma_route_lookup() does for 'remote' whatever the routes. */
static int
check_remote(const struct in6_addr *remote)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(remote);
    ovs_be32 ip = is_ipv4 ? in6_addr_get_mapped_ipv4(remote) : 0;

    return (IN6_IS_ADDR_LINKLOCAL(remote) ? EAFNOSUPPORT
            : IN6_IS_ADDR_LOOPBACK(remote) || ntohl(ip) >> 24 == IN_LOOPBACKNET
            ? EADDRINUSE
            : IN6_IS_ADDR_MULTICAST(remote) || ip_is_multicast(ip)
              || ip == htonl(INADDR_BROADCAST) || (is_ipv4 && !ip)
            ? EDESTADDRREQ : 0);
}

int
ordma_route_lookup(const struct in6_addr *remote,
                   const struct in6_addr *local, struct ordma_route *route)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(remote);
    struct ofpbuf *reply;
    int error = check_remote(remote);
    int fd;

    if (error) {
        return error;
    }
    fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    error = connect_to(fd, remote, local);
    if (!error) {
        error = get_path(fd, is_ipv4, route);
    }
    if (!error) {
        error = query(remote, &route->src, &reply);
    }
    if (!error) {
        error = parse_reply(reply, fd, route);
        ofpbuf_delete(reply);
    }
    close(fd);
    return error;
}

bool
ordma_addr_is_remote(const struct in6_addr *remote)
{
    struct ordma_route route;
    int error = ordma_route_lookup(remote, &in6addr_any, &route);
    bool is_remote = (error != EACCES && error != EADDRINUSE
                      && error != EAFNOSUPPORT && error != EDESTADDRREQ);

    if (!is_remote && !VLOG_DROP_WARN(&rl)) {
        char *text = ordma_addr_format(remote);

        VLOG_WARN("no frames can be sent to %s: %s", text,
                  ordma_route_strerror(error, &in6addr_any));
        free(text);
    }
    return is_remote;
}

/* Returns the flags (IFA_F_*) of the IPv6 address 'addr', 0 if this host does
 * not have it. */
static unsigned int
get_ipv6_flags(const struct in6_addr *addr)
{
    FILE *stream = fopen("/proc/net/if_inet6", "r");
    char wanted[33], line[128], text[33];
    unsigned int flags = 0, found;

    for (int i = 0; i < 16; i++) {
        snprintf(&wanted[2 * i], 3, "%02x", addr->s6_addr[i]);
    }
    while (stream && fgets(line, sizeof line, stream)) {
        if (sscanf(line, "%32s %*x %*x %*x %x", text, &found) == 2
            && !strcmp(text, wanted)) {
            flags = found;
        }
    }
    if (stream) {
        fclose(stream);
    }
    return flags;
}

const char *
ordma_route_strerror(int error, const struct in6_addr *local)
{
    unsigned int flags = error == EADDRNOTAVAIL ? get_ipv6_flags(local) : 0;

    switch (error) {
    case EADDRNOTAVAIL:
        return (flags & IFA_F_DADFAILED
                ? "local_ip is also the address of another host: IPv6 "
                  "duplicate address detection has failed"
                : flags & IFA_F_TENTATIVE
                ? "local_ip is not usable yet: IPv6 duplicate address "
                  "detection is under way"
                : "local_ip is not an address of this host, or belongs to a "
                  "VRF");
    case EADDRINUSE:
        return "remote_ip is an address of this host";
    case EACCES:
    case EDESTADDRREQ:
        return "remote_ip is not the address of a host";
    case EAFNOSUPPORT:
        return "IPv6 link-local addresses cannot be used, or this host has no "
               "IPv6";
    case EMFILE:
    case ENFILE:
        return "ovs-vswitchd has too many open files";
    default:
        return "no route to remote_ip, or only in a VRF";
    }
}

uint64_t
ordma_route_seq(void)
{
    return route_table_get_change_seq();
}

int
ordma_read_numa_id(const char *class, const char *name)
{
    char *path = xasprintf("/sys/class/%s/%s/device/numa_node", class, name);
    FILE *stream = fopen(path, "r");
    int numa_id = OVS_NUMA_UNSPEC;

    if (stream) {
        if (fscanf(stream, "%d", &numa_id) != 1 || numa_id < 0) {
            numa_id = OVS_NUMA_UNSPEC;
        }
        fclose(stream);
    }
    free(path);
    return numa_id;
}
