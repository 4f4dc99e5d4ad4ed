/* SPDX-License-Identifier: Apache-2.0
 * Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
 *
 * RoCEv2 packets over UDP sockets. */

#include <config.h>

#include "roce-wire.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "coverage.h"
#include "hash.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "rdma-addr.h"
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
 * Sockets belong to no address: a host can have thousands, which come and go.
 * The kernel tells to which one a packet was sent, and is told from which one
 * to send.  They take IPv4 and IPv6, or only the former where the host has no
 * IPv6.
 *
 *
 * Sending
 * -------
 *
 * The ICRC covers the IPv4 identification, so we must know what the kernel
 * will put there: 0, if the socket is not connected and sets DF.  For the same
 * reason, and because nobody reassembles RoCEv2 packets, DF is always set.
 *
 * Of the ways to set DF, IP_PMTUDISC_DO would drop packets that are longer
 * than what the kernel has learned from ICMP, which anyone can forge, for ten
 * minutes.  IP_PMTUDISC_PROBE sends them as long as they fit the interface, so
 * that a forged message does nothing to a connection; what was learned counts
 * when the next one chooses its path MTU.  (IP_PMTUDISC_INTERFACE, which does
 * not even learn, does not set DF in IPv4.)
 *
 * RNICs do not send UDP checksums, and whether they take them is up to each,
 * so that we send none (RFC 6935 permits that over IPv6 as well).  But the
 * kernel wants one to do segmentation.  So we segment only for peers that are
 * known to take checksums, which are those that run this code.  Packets of
 * the same length, and a shorter one after them, then make one system call,
 * one routing decision and, on the way to another namespace of the same host,
 * one packet.  In IPv4, the kernel numbers them from 0.
 *
 * Routers and NICs choose paths and queues by UDP source port.  So there are
 * N_PORTS of them, and as many sockets that only send, which all paths share,
 * each of them open while a path uses it.  All that these sockets ever receive
 * is strays, for which they have hardly any room.  The room for packets to be
 * sent is large, because a neighbor that does not answer ARP holds some of it,
 * which must not concern the other paths.
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
#define SNDBUF (4 * 1024 * 1024)

#define MAX_DATAGRAM 65536      /* Size of a buffer for a train. */
#define MAX_MAD 512             /* Longer ones are invalid. */

#define MAX_SEGMENTS 64         /* Of the kernel. */
#define MAX_TRAIN 65000         /* Bytes, likewise with some reserve. */
#define TX_BURST 32             /* Datagrams in one system call. */
#define TX_IOVS 256             /* Parts of packets in one system call. */

#define N_PORTS 64              /* Source ports. */

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
        uint8_t space[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint32_t))
                      + CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } controls[ROCE_WIRE_MAX_RX];
};

/* A socket that sends. */
struct udp_sender {
    int fd;
    unsigned int n_paths;       /* Closed if there are none. */
    ovs_be16 port;
};

struct udp_wire {
    struct roce_wire up;
    bool has_ipv6;
    struct udp_queue queues[ROCE_WIRE_N_QUEUES];

    /* Without and with UDP checksums. */
    struct udp_sender senders[2][N_PORTS];
};

static struct udp_wire *
udp_wire_cast(const struct roce_wire *wire)
{
    return CONTAINER_OF(wire, struct udp_wire, up);
}

/* Sockets
 * ======= */

static int
set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) ? errno : 0;
}

/* What every socket has, 'without_checksums' only those that send none. */
static const struct {
    int level, option, value;
    bool ipv6, without_checksums;
} common_options[] = {
    { IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE, false, false },
    { SOL_SOCKET, SO_NO_CHECK, 1, false, true },
    { IPPROTO_IPV6, IPV6_V6ONLY, 0, true, false },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE, true, false },
    { IPPROTO_UDP, UDP_NO_CHECK6_RX, 1, true, false },
    { IPPROTO_UDP, UDP_NO_CHECK6_TX, 1, true, true },
};

static int
set_common_options(int fd, bool has_ipv6, bool checksums)
{
    int error = set_nonblocking(fd);

    for (size_t i = 0; i < ARRAY_SIZE(common_options) && !error; i++) {
        if ((has_ipv6 || !common_options[i].ipv6)
            && (!checksums || !common_options[i].without_checksums)) {
            error = set_option(fd, common_options[i].level,
                               common_options[i].option,
                               common_options[i].value);
        }
    }
    return error;
}

/* Opens a socket that is bound to 'port' and stores it into '*fdp'. */
static int
open_socket(const struct udp_wire *wire, ovs_be16 port, bool checksums,
            bool reuse, int *fdp)
{
    struct in6_addr any = (wire->has_ipv6 ? in6addr_any
                           : in6_addr_mapped_ipv4(htonl(INADDR_ANY)));
    struct sockaddr_storage ss;
    socklen_t len = ordma_make_sockaddr(&any, port, &ss);
    int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0) {
        return errno;
    }
    error = set_common_options(fd, wire->has_ipv6, checksums);
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

/* Sets 'option' of 'fd', SO_RCVBUF or SO_SNDBUF, to 'size', by 'force' if we
 * may. */
static void
set_buffer(int fd, int force, int option, int size)
{
    int actual = 0;
    socklen_t len = sizeof actual;

    if (set_option(fd, SOL_SOCKET, force, size)) {
        set_option(fd, SOL_SOCKET, option, size);
    }
    if (!getsockopt(fd, SOL_SOCKET, option, &actual, &len)
        && actual < size) {
        VLOG_WARN_ONCE("a buffer of a socket has only %d bytes, without "
                       "CAP_NET_ADMIN net.core.rmem_max and wmem_max must be "
                       "at least %d", actual, size);
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

    error = open_socket(wire, htons(ROCE_UDP_PORT), false, which != 0,
                        &queue->fd);
    if (error) {
        return error;
    }
    set_buffer(queue->fd, SO_RCVBUFFORCE, SO_RCVBUF,
               is_data ? DATA_RCVBUF : MAD_RCVBUF);
    set_option(queue->fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
    if (is_data) {
        set_option(queue->fd, IPPROTO_UDP, UDP_GRO, 1);
    } else {
        set_buffer(queue->fd, SO_SNDBUFFORCE, SO_SNDBUF, SNDBUF);
    }
    error = set_option(queue->fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!error) {
        error = (wire->has_ipv6
                 ? set_option(queue->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                 : set_option(queue->fd, IPPROTO_IP, IP_PKTINFO, 1));
    }

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

static bool
host_has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0 || errno != EAFNOSUPPORT;
}

static int
udp_open(struct roce_wire **wirep)
{
    struct udp_wire *wire = xzalloc(sizeof *wire);
    int error = 0;

    wire->up.class = &roce_udp_class;
    wire->has_ipv6 = host_has_ipv6();
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

/* Receiving
 * ========= */

/* Takes what 'cmsg' says about '*rx', or about the datagrams dropped so far,
 * into '*n_overflows'. */
static void
parse_control(const struct cmsghdr *cmsg, struct roce_rx *rx,
              uint32_t *n_overflows)
{
    const void *data = CMSG_DATA(cmsg);

    if (cmsg->cmsg_level == IPPROTO_IPV6
        && cmsg->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;

        memcpy(&info, data, sizeof info);
        rx->flow.dst = info.ipi6_addr;
    } else if (cmsg->cmsg_level == IPPROTO_IP
               && cmsg->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;

        memcpy(&info, data, sizeof info);
        rx->flow.dst = in6_addr_mapped_ipv4(info.ipi_addr.s_addr);
    } else if (cmsg->cmsg_level == IPPROTO_UDP
               && cmsg->cmsg_type == UDP_GRO) {
        int segment_len;

        memcpy(&segment_len, data, sizeof segment_len);
        rx->segment_len = MAX(segment_len, 1);
    } else if (cmsg->cmsg_level == SOL_SOCKET
               && cmsg->cmsg_type == SO_RXQ_OVFL) {
        memcpy(n_overflows, data, sizeof *n_overflows);
    }
}

/* Fills in '*rx' from the datagram 'i' of 'queue'.  Also returns the number of
 * datagrams dropped so far in '*n_overflows', if the kernel tells. */
static void
fill_rx(const struct udp_queue *queue, int i, struct roce_rx *rx,
        uint32_t *n_overflows)
{
    struct msghdr *msg = CONST_CAST(struct msghdr *, &queue->msgs[i].msg_hdr);
    struct cmsghdr *cmsg;

    rx->flow.src = ss_get_address(&queue->srcs[i]);
    rx->flow.dst = in6addr_any;
    rx->flow.sport = htons(ss_get_port(&queue->srcs[i]));
    rx->flow.dport = htons(ROCE_UDP_PORT);
    rx->data = queue->iovs[i].iov_base;
    rx->len = queue->msgs[i].msg_len;
    rx->segment_len = MAX(rx->len, 1);
    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        parse_control(cmsg, rx, n_overflows);
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

/* Finds or opens the socket for 'config', and has 'path' use it. */
static int
get_sender(struct udp_wire *wire, const struct roce_path_config *config,
           struct roce_path *path)
{
    uint32_t index = hash_int(ntohs(config->sport), 0) % N_PORTS;
    bool checksums = config->takes_checksum;
    struct udp_sender *sender = &wire->senders[checksums][index];

    if (!sender->n_paths) {
        struct sockaddr_storage ss;
        socklen_t len = sizeof ss;
        int error;

        error = open_socket(wire, config->sport, checksums, false,
                            &sender->fd);
        if (error == EADDRINUSE) {
            error = open_socket(wire, 0, checksums, false, &sender->fd);
        }
        if (error) {
            return error;
        }
        getsockname(sender->fd, (struct sockaddr *) &ss, &len);
        sender->port = htons(ss_get_port(&ss));
        set_option(sender->fd, SOL_SOCKET, SO_RCVBUF, 0);
        set_buffer(sender->fd, SO_SNDBUFFORCE, SO_SNDBUF, SNDBUF);
    }
    sender->n_paths++;
    path->sender = sender;
    path->fd = sender->fd;
    return 0;
}

/* Appends a control message with 'len' bytes of 'data' to those of 'path'. */
static void
add_control(struct roce_path *path, int level, int type, const void *data,
            size_t len)
{
    struct cmsghdr *cmsg
        = ALIGNED_CAST(struct cmsghdr *,
                       &path->control.space[path->control_len]);

    cmsg->cmsg_level = level;
    cmsg->cmsg_type = type;
    cmsg->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(cmsg), data, len);
    path->control_len += CMSG_SPACE(len);
}

/* Has datagrams of 'path' be as 'config' says. */
static void
set_control(struct roce_path *path, const struct roce_path_config *config)
{
    bool is_ipv4 = IN6_IS_ADDR_V4MAPPED(&config->src);
    int level = is_ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
    int tos = config->tos;
    int ttl = config->ttl;

    if (is_ipv4) {
        struct in_pktinfo info = {
            .ipi_spec_dst.s_addr = in6_addr_get_mapped_ipv4(&config->src),
        };

        add_control(path, level, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = { .ipi6_addr = config->src };

        add_control(path, level, IPV6_PKTINFO, &info, sizeof info);
    }
    if (tos) {
        add_control(path, level, is_ipv4 ? IP_TOS : IPV6_TCLASS, &tos,
                    sizeof tos);
    }
    if (ttl) {
        add_control(path, level, is_ipv4 ? IP_TTL : IPV6_HOPLIMIT, &ttl,
                    sizeof ttl);
    }
}

static int
udp_path_open(struct roce_wire *wire_, const struct roce_path_config *config,
              struct roce_path *path)
{
    struct udp_wire *wire = udp_wire_cast(wire_);
    struct roce_flow flow = {
        .src = config->src,
        .dst = config->dst,
        .sport = htons(ROCE_UDP_PORT),
        .dport = htons(ROCE_UDP_PORT),
    };

    memset(path, 0, sizeof *path);
    path->wire = wire_;
    path->fd = wire->queues[ROCE_WIRE_MAD].fd;
    path->dst_len = ordma_make_sockaddr(&config->dst, flow.dport, &path->dst);
    set_control(path, config);
    if (config->sport) {
        int error = get_sender(wire, config, path);

        if (error) {
            return error;
        }
        flow.sport = path->sender->port;
        path->segments = config->takes_checksum;
    }
    roce_icrc_flow_init(&path->icrc, &flow);
    return 0;
}

static void
udp_path_close(struct roce_path *path)
{
    if (path->sender && !--path->sender->n_paths) {
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
        uint8_t space[CMSG_SPACE(sizeof(uint16_t)) + ROCE_PATH_CONTROL_LEN];
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

/* Has the kernel cut 'msg', the next one in 'burst', to 'segment_len'. */
static void
set_segment_len(const struct roce_path *path, struct tx_burst *burst,
                struct msghdr *msg, uint16_t segment_len)
{
    uint8_t *control = burst->controls[burst->n_msgs].space;
    struct cmsghdr *cmsg = &burst->controls[burst->n_msgs].align;

    cmsg->cmsg_level = IPPROTO_UDP;
    cmsg->cmsg_type = UDP_SEGMENT;
    cmsg->cmsg_len = CMSG_LEN(sizeof segment_len);
    memcpy(CMSG_DATA(cmsg), &segment_len, sizeof segment_len);
    memcpy(control + CMSG_SPACE(sizeof segment_len), path->control.space,
           path->control_len);
    msg->msg_control = control;
    msg->msg_controllen = CMSG_SPACE(sizeof segment_len) + path->control_len;
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
    msg->msg_control = &path->control;
    msg->msg_controllen = path->control_len;
    if (n > 1) {
        set_segment_len(path, burst, msg, roce_tx_len(&txs[0]));
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
        } else {
            path->error = 0;
        }
        for (int i = 0; i < n_msgs; i++) {
            n_done += burst.n_packets[i];
            path->error = 0;
        }
    }
    return n_done;
}

const struct roce_wire_class roce_udp_class = {
    .name = "udp",
    .open = udp_open,
    .close = udp_close,
    .recv_batch = udp_recv_batch,
    .recv_wait = udp_recv_wait,
    .path_open = udp_path_open,
    .path_close = udp_path_close,
    .send_batch = udp_send_batch,
};
