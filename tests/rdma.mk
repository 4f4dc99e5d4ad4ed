# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# What the test suites and test programs consist of.

# Unit tests, linked with rdma_sources into tests/ovstest-rdma.
rdma_ovstest_sources = \
	tests/test-rdma-bench.c \
	tests/test-rdma-hello.c \
	tests/test-rdma-mem.c \
	tests/test-rdma-msg.c \
	tests/test-rdma-offload.c \
	tests/test-rdma-port.c \
	tests/test-rdma-provider.c \
	tests/test-rdma-soft.c \
	tests/test-roce-cm.c \
	tests/test-roce-fuzz.c \
	tests/test-roce-gsi.c \
	tests/test-roce-packet.c \
	tests/test-roce-rc.c

# What unit tests include.
rdma_ovstest_included = \
	tests/oss-fuzz/roce_mad_target.c \
	tests/oss-fuzz/roce_packet_target.c \
	tests/oss-fuzz/roce_rc_target.c \
	tests/rdma-loop.h

# Test-only netdev classes, linked into tests/ovs-vswitchd.
rdma_test_vswitchd_sources = \
	tests/test-netdev-tunnel.c

# "make check-units" runs tests/testsuite.  "make check-NAME" runs
# tests/NAME-testsuite, for each NAME listed here.
rdma_suites = system lab

# Each suite is generated from a .at file of its name, which may include these.
rdma_tests_at = \
	tests/hosts-macros.at \
	tests/hosts.at \
	tests/lab-macros.at \
	tests/lab.at \
	tests/netdev-rdma.at \
	tests/rdma-hooks.at \
	tests/rdma-macros.at \
	tests/rdma-mesh.at \
	tests/rdma.at \
	tests/roce.at \
	tests/system-rdma-addresses.at \
	tests/system-rdma-features.at \
	tests/system-rdma-macros.at \
	tests/system-rdma-openflow.at \
	tests/system-rdma-options.at \
	tests/system-rdma-paths.at \
	tests/system-rdma-ports.at \
	tests/system-rdma-vms.at \
	tests/system-rdma.at \
	tests/wait-macros.at
