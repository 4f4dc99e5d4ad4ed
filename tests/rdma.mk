# SPDX-License-Identifier: Apache-2.0

# Unit tests, linked with rdma_sources into tests/ovstest-rdma.
rdma_ovstest_sources =

# Test-only netdev classes, linked into tests/ovs-vswitchd.
rdma_test_vswitchd_sources = \
	tests/test-netdev-tunnel.c

# Test suites: tests/NAME.at becomes tests/NAME, out of RDMA_TESTS_AT.
RDMA_TESTSUITES = \
	tests/testsuite

RDMA_TESTS_AT = \
	tests/netdev-rdma.at \
	tests/rdma-hooks.at \
	tests/rdma-macros.at
