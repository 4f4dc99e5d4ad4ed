# SPDX-License-Identifier: Apache-2.0

# What is linked into ovs-vswitchd: the one list of our sources.  One file a
# line; both our Makefile.am and ovs.mk read it.
rdma_sources =

rdma_headers =
