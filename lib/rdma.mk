# SPDX-License-Identifier: Apache-2.0

# What is linked into ovs-vswitchd: the one list of our sources.  One file a
# line; both our Makefile.am and ovs.mk read it.
rdma_sources = \
	lib/netdev-rdma-config.c \
	lib/netdev-rdma-rx.c \
	lib/netdev-rdma-tx.c \
	lib/netdev-rdma.c \
	lib/rdma-hello.c \
	lib/rdma-lane.c \
	lib/rdma-listener.c \
	lib/rdma-mem.c \
	lib/rdma-msg.c \
	lib/rdma-peer.c \
	lib/rdma-pool.c \
	lib/rdma-provider.c \
	lib/rdma-session.c \
	lib/rdma-verbs-dev.c \
	lib/rdma-verbs-event.c \
	lib/rdma-verbs.c

rdma_headers = \
	lib/netdev-rdma-private.h \
	lib/rdma-compat.h \
	lib/rdma-hello.h \
	lib/rdma-lane.h \
	lib/rdma-listener.h \
	lib/rdma-mem.h \
	lib/rdma-msg.h \
	lib/rdma-peer.h \
	lib/rdma-pool.h \
	lib/rdma-provider.h \
	lib/rdma-session.h \
	lib/rdma-stats.h \
	lib/rdma-verbs.h
