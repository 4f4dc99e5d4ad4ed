# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""The parts of ovs-rdma-perf."""


class CannotRun(Exception):
    """This machine, or this build, cannot run something, and why."""
