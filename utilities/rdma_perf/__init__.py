# SPDX-License-Identifier: Apache-2.0
"""The parts of ovs-rdma-perf."""


class CannotRun(Exception):
    """This machine, or this build, cannot run something, and why."""
