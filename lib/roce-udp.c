/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * RoCEv2 packets over UDP sockets. */

#include <config.h>

#include "roce-wire.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "coverage.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(roce_udp);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 20);

COVERAGE_DEFINE(roce_udp_recv);
COVERAGE_DEFINE(roce_udp_recv_empty);
COVERAGE_DEFINE(roce_udp_send);
COVERAGE_DEFINE(roce_udp_send_full);
COVERAGE_DEFINE(roce_udp_send_error);

/* RoCEv2 over UDP sockets
 * =======================
 *
 * Sending
 * -------
 *
 * The ICRC covers the IPv4 identification, so we must know what the kernel
 * will put there: 0, if the socket is not connected and sets DF.  For the same
 * reason, and because nobody reassembles RoCEv2 packets, DF is always set: a
 * packet that is too long for the path is dropped, counted, and the path MTU
 * that the kernel has learned counts for the next connection.
 *
 * RNICs do not send UDP checksums, and whether they take them is up to each,
 * so that we send none (RFC 6935 permits that over IPv6 as well).  But the
 * kernel wants one to do segmentation.  So we segment only for peers that are
 * known to take checksums, which are those that run this code.  Packets of
 * the same length, and a shorter one after them, then make one system call,
 * one routing decision and, on the way to another namespace of the same host,
 * one packet.  In IPv4, the kernel numbers them from 0.
 *
 * Each path has a socket, for the sake of a source port of its own, which
 * routers and NICs choose paths and queues by.  All it ever receives is
 * strays, for which it has hardly any room.
 *
 *
 * Receiving
 * ---------
 *
 * Several sockets share port 4791, one for each receive queue, and a filter
 * that looks at the destination queue pair decides between them.  The first
 * one is bound without SO_REUSEPORT, so that an error tells of anyone else on
 * the port.
 *
 * A train of packets that the sender had segmented arrives in one buffer,
 * provided that NICs and the kernel have not taken it apart. */

/* Bytes that the kernel may queue for us.  It counts twice as much, because
 * its own overhead is part of that. */
#define DATA_RCVBUF (8 * 1024 * 1024)
#define MAD_RCVBUF (256 * 1024)

#define MAX_DATAGRAM 65536      /* Size of a buffer for a train. */
#define MAX_MAD 512             /* Longer ones make no sense. */

#define MAX_SEGMENTS 64         /* Of the kernel. */
#define MAX_TRAIN 65000         /* Bytes, likewise with some reserve. */
#define TX_BURST 32             /* Datagrams in one system call. */
#define TX_IOVS 256             /* Parts of packets in one system call. */

/* A receive queue: one socket. */
struct udp_queue {
    int fd;
    size_t buf_size;            /* Of each element of 'bufs'. */
    uint8_t *bufs;
    struct mmsghdr msgs[ROCE_WIRE_MAX_RX];
    struct iovec iovs[ROCE_WIRE_MAX_RX];
    struct sockaddr_storage srcs[ROCE_WIRE_MAX_RX];
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t))];
    } controls[ROCE_WIRE_MAX_RX];
};

struct udp_wire {
    struct roce_wire up;
    struct udp_queue queues[ROCE_WIRE_N_QUEUES];
};

static struct udp_wire *
udp_wire_cast(const struct roce_wire *wire)
{
    return CONTAINER_OF(wire, struct udp_wire, up);
}

/* Sockets
 * ======= */

static socklen_t
make_sockaddr(const struct in6_addr *ip, ovs_be16 port,
              struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof *ss);
    if (IN6_IS_ADDR_V4MAPPED(ip)) {
        struct sockaddr_in *sin = ALIGNED_CAST(struct sockaddr_in *, ss);

        sin->sin_family = AF_INET;
        sin->sin_addr.s_addr = in6_addr_get_mapped_ipv4(ip);
        sin->sin_port = port;
        return sizeof *sin;
    } else {
        struct sockaddr_in6 *sin6 = ALIGNED_CAST(struct sockaddr_in6 *, ss);

        sin6->sin6_family = AF_INET6;
        sin6->sin6_addr = *ip;
        sin6->sin6_port = port;
        return sizeof *sin6;
    }
}

static void
parse_sockaddr(const struct sockaddr_storage *ss, struct in6_addr *ip,
               ovs_be16 *port)
{
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *sin
            = ALIGNED_CAST(const struct sockaddr_in *, ss);

        *ip = in6_addr_mapped_ipv4(sin->sin_addr.s_addr);
        *port = sin->sin_port;
    } else {
        const struct sockaddr_in6 *sin6
            = ALIGNED_CAST(const struct sockaddr_in6 *, ss);

        *ip = sin6->sin6_addr;
        *port = sin6->sin6_port;
    }
}

static int
set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? errno : 0;
}

/* Sets the options that every socket has: DF, and no checksums unless
 * 'checksums'. */
static int
set_common_options(int fd, bool is_ipv4, bool checksums)
{
    int error = set_nonblocking(fd);

    if (!error) {
        error = (is_ipv4
                 ? set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER,
                              IP_PMTUDISC_DO)
                 : set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER,
                              IPV6_PMTUDISC_DO));
    }
    if (!error && !is_ipv4) {
        error = set_option(fd, IPPROTO_UDP, UDP_NO_CHECK6_RX, 1);
    }
    if (!error && !checksums) {
        error = (is_ipv4
                 ? set_option(fd, SOL_SOCKET, SO_NO_CHECK, 1)
                 : set_option(fd, IPPROTO_UDP, UDP_NO_CHECK6_TX, 1));
    }
    return error;
}

/* Opens a socket that is bound to 'ip' and 'port' and stores it into
 * '*fdp'. */
static int
open_socket(const struct in6_addr *ip, ovs_be16 port, bool checksums,
            bool reuse, int *fdp)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(ip);
    struct sockaddr_storage ss;
    socklen_t len = make_sockaddr(ip, port, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return errno;
    }
    error = set_common_options(fd, is_ipv4, checksums);
    if (!error && reuse) {
        error = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (!error && bind(fd, (struct sockaddr *) &ss, len)) {
        error = errno;
    }
    if (error) {
        close(fd);
    } else {
        *fdp = fd;
    }
    return error;
}

static void
set_rcvbuf(int fd, int size)
{
    int actual = 0;
    socklen_t len = sizeof actual;

    if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, size)) {
        set_option(fd, SOL_SOCKET, SO_RCVBUF, size);
    }
    if (!getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &actual, &len)
        && actual < size) {
        VLOG_WARN_ONCE("receive buffer of a socket has only %d bytes, without "
                       "CAP_NET_ADMIN net.core.rmem_max must be at least %d",
                       actual, size);
    }
}

BUILD_ASSERT_DECL(IS_POW2(ROCE_WIRE_N_DATA));   /* It makes a mask. */

/* Has 'fd' and the other sockets on its port, which were bound in the order of
 * receive queues, receive what is for their queue pairs. */
static int
set_selector(int fd)
{
    struct sock_filter insns[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ROCE_QPN_MASK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ROCE_QPN_GSI, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, ROCE_WIRE_MAD),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ROCE_WIRE_N_DATA - 1),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {
        .len = ARRAY_SIZE(insns),
        .filter = insns,
    };

    return (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF,
                       &program, sizeof program) ? errno : 0);
}

/* Wires
 * ===== */

static int
queue_open(struct udp_wire *wire, unsigned int which)
{
    struct udp_queue *queue = &wire->queues[which];
    bool is_data = which != ROCE_WIRE_MAD;
    int error;

    error = open_socket(&wire->up.ip, htons(ROCE_UDP_PORT), false, which != 0,
                        &queue->fd);
    if (error) {
        return error;
    }
    set_rcvbuf(queue->fd, is_data ? DATA_RCVBUF : MAD_RCVBUF);
    set_option(queue->fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (is_data) {
        set_option(queue->fd, IPPROTO_UDP, UDP_GRO, 1);
    }
    error = set_option(queue->fd, SOL_SOCKET, SO_REUSEPORT, 1);

    queue->buf_size = is_data ? MAX_DATAGRAM : MAX_MAD;
    queue->bufs = xmalloc_pagealign(ROCE_WIRE_MAX_RX * queue->buf_size);
    for (int i = 0; i < ROCE_WIRE_MAX_RX; i++) {
        queue->iovs[i].iov_base = &queue->bufs[i * queue->buf_size];
        queue->iovs[i].iov_len = queue->buf_size;
        queue->msgs[i].msg_hdr.msg_name = &queue->srcs[i];
        queue->msgs[i].msg_hdr.msg_iov = &queue->iovs[i];
        queue->msgs[i].msg_hdr.msg_iovlen = 1;
        queue->msgs[i].msg_hdr.msg_control = &queue->controls[i];
    }
    return error;
}

static void
udp_close(struct roce_wire *wire_)
{
    struct udp_wire *wire = udp_wire_cast(wire_);

    for (int i = 0; i < ROCE_WIRE_N_QUEUES; i++) {
        if (wire->queues[i].fd >= 0) {
            close(wire->queues[i].fd);
        }
        free_pagealign(wire->queues[i].bufs);
    }
    free(wire);
}

static int
udp_open(const struct in6_addr *ip, struct roce_wire **wirep)
{
    struct udp_wire *wire = xzalloc(sizeof *wire);
    int error = 0;

    wire->up.class = &roce_udp_class;
    wire->up.ip = *ip;
    for (int i = 0; i < ROCE_WIRE_N_QUEUES; i++) {
        wire->queues[i].fd = -1;
    }
    for (int i = 0; i < ROCE_WIRE_N_QUEUES && !error; i++) {
        error = queue_open(wire, i);
    }
    if (!error) {
        error = set_selector(wire->queues[0].fd);
    }
    if (error) {
        udp_close(&wire->up);
        return error;
    }
    *wirep = &wire->up;
    return 0;
}

static bool
ifaddr_has_ip(const struct ifaddrs *ifa, const struct in6_addr *ip)
{
    struct in6_addr addr;
    ovs_be16 port;

    if (!ifa->ifa_addr || (ifa->ifa_addr->sa_family != AF_INET
                           && ifa->ifa_addr->sa_family != AF_INET6)) {
        return false;
    }
    parse_sockaddr(ALIGNED_CAST(struct sockaddr_storage *, ifa->ifa_addr),
                   &addr, &port);
    return ipv6_addr_equals(&addr, ip);
}

static int
udp_mtu(const struct roce_wire *wire_, char *name)
{
    struct udp_wire *wire = udp_wire_cast(wire_);
    struct ifaddrs *addrs, *ifa;
    struct ifreq ifr;
    int mtu = 0;

    name[0] = '\0';
    if (getifaddrs(&addrs)) {
        return 0;
    }
    for (ifa = addrs; ifa; ifa = ifa->ifa_next) {
        if (ifaddr_has_ip(ifa, &wire->up.ip)) {
            memset(&ifr, 0, sizeof ifr);
            ovs_strzcpy(ifr.ifr_name, ifa->ifa_name, sizeof ifr.ifr_name);
            if (!ioctl(wire->queues[ROCE_WIRE_MAD].fd, SIOCGIFMTU, &ifr)) {
                ovs_strlcpy(name, ifa->ifa_name, IF_NAMESIZE);
                mtu = ifr.ifr_mtu;
                break;
            }
        }
    }
    freeifaddrs(addrs);
    return mtu;
}

/* Receiving
 * ========= */

/* Fills in '*rx' from the datagram 'i' of 'queue'.  Also returns the number of
 * datagrams dropped so far in '*n_overflows', if the kernel tells. */
static void
fill_rx(const struct udp_queue *queue, int i, struct roce_rx *rx,
        uint32_t *n_overflows)
{
    struct msghdr *msg = CONST_CAST(struct msghdr *, &queue->msgs[i].msg_hdr);
    struct cmsghdr *cmsg;

    parse_sockaddr(&queue->srcs[i], &rx->flow.src, &rx->flow.sport);
    rx->data = queue->iovs[i].iov_base;
    rx->len = queue->msgs[i].msg_len;
    rx->segment_len = MAX(rx->len, 1);
    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level == SOL_SOCKET
            && cmsg->cmsg_type == SO_RXQ_OVFL) {
            memcpy(n_overflows, CMSG_DATA(cmsg), sizeof *n_overflows);
        } else if (cmsg->cmsg_level == IPPROTO_UDP
                   && cmsg->cmsg_type == UDP_GRO) {
            int segment_len;

            memcpy(&segment_len, CMSG_DATA(cmsg), sizeof segment_len);
            rx->segment_len = MAX(segment_len, 1);
        }
    }
}

static int
udp_recv_batch(struct roce_wire *wire_, unsigned int which,
               struct roce_rx *rxs, int n)
{
    struct udp_wire *wire = udp_wire_cast(wire_);
    struct udp_queue *queue = &wire->queues[which];

    for (int i = 0; i < n; i++) {
        queue->msgs[i].msg_hdr.msg_namelen = sizeof queue->srcs[i];
        queue->msgs[i].msg_hdr.msg_controllen = sizeof queue->controls[i];
    }
    COVERAGE_INC(roce_udp_recv);
    n = recvmmsg(queue->fd, queue->msgs, n, MSG_DONTWAIT, NULL);
    if (n <= 0) {
        COVERAGE_INC(roce_udp_recv_empty);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        rxs[i].flow.dst = wire->up.ip;
        rxs[i].flow.dport = htons(ROCE_UDP_PORT);
        fill_rx(queue, i, &rxs[i], &wire->up.n_overflows[which]);
    }
    return n;
}

static void
udp_recv_wait(struct roce_wire *wire, unsigned int which)
{
    poll_fd_wait(udp_wire_cast(wire)->queues[which].fd, POLLIN);
}

/* Paths
 * ===== */

/* Sets what 'config' wants of IP headers.  It is not vital. */
static void
set_path_options(int fd, bool is_ipv4, const struct roce_path_config *config)
{
    int level = is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;

    if (config->tos
        && set_option(fd, level, is_ipv4 ? IP_TOS : IPV6_TCLASS,
                      config->tos)) {
        VLOG_WARN_RL(&rl, "cannot set type of service (%s)",
                     ovs_strerror(errno));
    }
    if (config->ttl
        && set_option(fd, level, is_ipv4 ? IP_TTL : IPV6_UNICAST_HOPS,
                      config->ttl)) {
        VLOG_WARN_RL(&rl, "cannot set time to live (%s)",
                     ovs_strerror(errno));
    }
}

/* Opens a socket with the source port that 'config' wants, or else some
 * other. */
static int
open_path_socket(const struct in6_addr *src,
                 const struct roce_path_config *config, int *fdp)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(src);
    int error;

    error = open_socket(src, config->sport, config->takes_checksum, false,
                        fdp);
    if (error == EADDRINUSE) {
        error = open_socket(src, 0, config->takes_checksum, false, fdp);
    }
    if (error) {
        return error;
    }
    set_option(*fdp, SOL_SOCKET, SO_RCVBUF, 0);
    set_path_options(*fdp, is_ipv4, config);
    return 0;
}

/* A path without a source port of its own uses that of the wire. */
static int
udp_path_open(struct roce_wire *wire_, const struct roce_path_config *config,
              struct roce_path *path)
{
    struct udp_wire *wire = udp_wire_cast(wire_);
    struct roce_flow flow = {
        .dst = config->dst,
        .dport = htons(ROCE_UDP_PORT),
    };
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;

    memset(path, 0, sizeof *path);
    path->wire = wire_;
    path->fd = wire->queues[ROCE_WIRE_MAD].fd;
    path->owns_fd = config->sport != 0;
    path->segments = path->owns_fd && config->takes_checksum;
    path->dst_len = make_sockaddr(&config->dst, flow.dport, &path->dst);
    if (path->owns_fd) {
        int error = open_path_socket(&wire->up.ip, config, &path->fd);

        if (error) {
            return error;
        }
    }
    if (getsockname(path->fd, (struct sockaddr *) &ss, &len)) {
        return errno;
    }
    parse_sockaddr(&ss, &flow.src, &flow.sport);
    roce_icrc_flow_init(&path->icrc, &flow);
    return 0;
}

static void
udp_path_close(struct roce_path *path)
{
    if (path->owns_fd) {
        close(path->fd);
    }
}

/* Sending
 * ======= */

/* Datagrams for one system call. */
struct tx_burst {
    struct mmsghdr msgs[TX_BURST];
    union {
        struct cmsghdr align;
        uint8_t space[CMSG_SPACE(sizeof(uint16_t))];
    } controls[TX_BURST];
    int n_packets[TX_BURST];    /* Packets in each of 'msgs'. */
    int n_msgs;
    struct iovec iovs[TX_IOVS];
    int n_iovs;
};

/* Returns how many of the 'n' packets 'txs' can make one datagram. */
static int
train_len(const struct roce_path *path, const struct roce_tx *txs, int n)
{
    size_t segment_len = roce_tx_len(&txs[0]);
    size_t total = segment_len;
    int i;

    if (!path->segments) {
        return 1;
    }
    for (i = 1; i < MIN(n, MAX_SEGMENTS); i++) {
        size_t len = roce_tx_len(&txs[i]);

        total += len;
        if (len > segment_len || total > MAX_TRAIN) {
            break;
        } else if (len < segment_len) {
            return i + 1;
        }
    }
    return i;
}

static void
add_iov(struct tx_burst *burst, const void *data, size_t len)
{
    if (len) {
        burst->iovs[burst->n_iovs].iov_base = CONST_CAST(void *, data);
        burst->iovs[burst->n_iovs++].iov_len = len;
    }
}

static void
set_segment_len(struct tx_burst *burst, struct msghdr *msg,
                uint16_t segment_len)
{
    struct cmsghdr *cmsg = &burst->controls[burst->n_msgs].align;

    msg->msg_control = cmsg;
    msg->msg_controllen = CMSG_SPACE(sizeof segment_len);
    cmsg->cmsg_level = IPPROTO_UDP;
    cmsg->cmsg_type = UDP_SEGMENT;
    cmsg->cmsg_len = CMSG_LEN(sizeof segment_len);
    memcpy(CMSG_DATA(cmsg), &segment_len, sizeof segment_len);
}

/* Adds the 'n' packets 'txs' as one datagram to 'burst'. */
static void
add_train(struct roce_path *path, struct tx_burst *burst, struct roce_tx *txs,
          int n)
{
    struct msghdr *msg = &burst->msgs[burst->n_msgs].msg_hdr;
    int first_iov = burst->n_iovs;

    for (int i = 0; i < n; i++) {
        struct roce_tx *tx = &txs[i];

        roce_icrc_seal(&path->icrc, i, tx);
        add_iov(burst, tx->hdr, tx->hdr_len);
        add_iov(burst, tx->payload, tx->payload_len);
        add_iov(burst, tx->trailer, tx->trailer_len);
    }
    memset(msg, 0, sizeof *msg);
    msg->msg_name = &path->dst;
    msg->msg_namelen = path->dst_len;
    msg->msg_iov = &burst->iovs[first_iov];
    msg->msg_iovlen = burst->n_iovs - first_iov;
    if (n > 1) {
        set_segment_len(burst, msg, roce_tx_len(&txs[0]));
    }
    burst->n_packets[burst->n_msgs++] = n;
}

/* Makes a burst out of as many of the 'n' packets 'txs' as fit. */
static void
fill_burst(struct roce_path *path, struct tx_burst *burst,
           struct roce_tx *txs, int n)
{
    burst->n_msgs = burst->n_iovs = 0;
    for (int i = 0; i < n && burst->n_msgs < TX_BURST; ) {
        int n_packets = train_len(path, &txs[i], n - i);

        if (burst->n_iovs + 3 * n_packets > TX_IOVS) {
            break;
        }
        add_train(path, burst, &txs[i], n_packets);
        i += n_packets;
    }
}
BUILD_ASSERT_DECL(TX_IOVS >= 3 * MAX_SEGMENTS);

/* Handles the error that the system call for the first datagram of 'burst'
 * returned.  Returns the number of packets to give up, or -1 if there is no
 * room. */
static int
handle_error(struct roce_path *path, const struct tx_burst *burst, int error)
{
    if (error == EAGAIN || error == EINTR) {
        COVERAGE_INC(roce_udp_send_full);
        return -1;
    }
    if (burst->n_packets[0] > 1 && (error == EIO || error == EINVAL
                                    || error == EMSGSIZE)) {
        /* The interface does not compute checksums, or its MTU has changed. */
        VLOG_INFO_RL(&rl, "kernel cannot segment for us (%s)",
                     ovs_strerror(error));
        path->segments = false;
        return 0;
    }
    COVERAGE_INC(roce_udp_send_error);
    path->n_unsent += burst->n_packets[0];
    path->error = error;
    VLOG_DBG_RL(&rl, "cannot send (%s)", ovs_strerror(error));
    return burst->n_packets[0];
}

static int
udp_send_batch(struct roce_path *path, struct roce_tx *txs, int n)
{
    struct tx_burst burst;
    int n_done = 0;

    while (n_done < n) {
        int n_msgs;

        fill_burst(path, &burst, &txs[n_done], n - n_done);
        COVERAGE_INC(roce_udp_send);
        n_msgs = sendmmsg(path->fd, burst.msgs, burst.n_msgs, MSG_DONTWAIT);
        if (n_msgs < 0) {
            int n_lost = handle_error(path, &burst, errno);

            if (n_lost < 0) {
                break;
            }
            n_done += n_lost;
        }
        for (int i = 0; i < n_msgs; i++) {
            n_done += burst.n_packets[i];
        }
    }
    return n_done;
}

const struct roce_wire_class roce_udp_class = {
    .name = "udp",
    .open = udp_open,
    .close = udp_close,
    .mtu = udp_mtu,
    .recv_batch = udp_recv_batch,
    .recv_wait = udp_recv_wait,
    .path_open = udp_path_open,
    .path_close = udp_path_close,
    .send_batch = udp_send_batch,
};
