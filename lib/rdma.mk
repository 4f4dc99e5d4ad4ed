# SPDX-License-Identifier: Apache-2.0

# What is linked into ovs-vswitchd: the one list of our sources.  One file a
# line; both our Makefile.am and ovs.mk read it.
rdma_sources = \
	lib/netdev-rdma-config.c \
	lib/netdev-rdma-peers.c \
	lib/netdev-rdma-pools.c \
	lib/netdev-rdma-rx.c \
	lib/netdev-rdma-show.c \
	lib/netdev-rdma-tx.c \
	lib/netdev-rdma.c \
	lib/rdma-accept.c \
	lib/rdma-addr.c \
	lib/rdma-hello.c \
	lib/rdma-lane.c \
	lib/rdma-listener.c \
	lib/rdma-mem.c \
	lib/rdma-msg.c \
	lib/rdma-offload.c \
	lib/rdma-peer.c \
	lib/rdma-pool.c \
	lib/rdma-provider.c \
	lib/rdma-rq.c \
	lib/rdma-session.c \
	lib/rdma-soft-cq.c \
	lib/rdma-soft-data.c \
	lib/rdma-soft-dev.c \
	lib/rdma-soft.c \
	lib/rdma-verbs-cq.c \
	lib/rdma-verbs-dev.c \
	lib/rdma-verbs-event.c \
	lib/rdma-verbs.c \
	lib/roce-cm-pack.c \
	lib/roce-cm.c \
	lib/roce-demux.c \
	lib/roce-gsi.c \
	lib/roce-icrc.c \
	lib/roce-mad.c \
	lib/roce-packet.c \
	lib/roce-qp.c \
	lib/roce-req.c \
	lib/roce-resp.c \
	lib/roce-udp.c

rdma_headers = \
	lib/netdev-rdma-peers.h \
	lib/netdev-rdma-private.h \
	lib/rdma-accept.h \
	lib/rdma-addr.h \
	lib/rdma-compat.h \
	lib/rdma-hello.h \
	lib/rdma-lane.h \
	lib/rdma-listener.h \
	lib/rdma-mem.h \
	lib/rdma-msg.h \
	lib/rdma-offload.h \
	lib/rdma-peer.h \
	lib/rdma-pool.h \
	lib/rdma-provider.h \
	lib/rdma-random.h \
	lib/rdma-rq.h \
	lib/rdma-session.h \
	lib/rdma-soft-private.h \
	lib/rdma-stats.h \
	lib/rdma-verbs.h \
	lib/roce-cm.h \
	lib/roce-demux.h \
	lib/roce-gsi.h \
	lib/roce-icrc.h \
	lib/roce-mad.h \
	lib/roce-packet.h \
	lib/roce-qp-private.h \
	lib/roce-qp.h \
	lib/roce-wire.h
