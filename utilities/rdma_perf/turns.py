# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Throughput where the hosts take turns on the same CPUs: what another PMD
thread in each of them is worth, on a machine that has too few CPUs for all of
them at a time.

In the turn of host 1, frames queue in the kernel or in buffers of host 2.  So
a turn is too short for queues to become full."""

import os
import signal
import time

from . import CannotRun
from .throughput import WARM_UP, add_sink, for_each_load, packets

TURN = .0007                    # Seconds.
REAL_TIME = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK


class Prompt:
    """Context in which this process gets a CPU when it wants one."""

    def __enter__(self):
        try:
            os.sched_setscheduler(0, REAL_TIME, os.sched_param(1))
        except OSError as e:
            raise CannotRun('no real-time priority (%s)' % e.strerror)

    def __exit__(self, *_):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def hand_over(a, b):
    """Stops host 'a' and lets 'b' go on."""
    os.kill(a.vswitchd.pid, signal.SIGSTOP)
    os.kill(b.vswitchd.pid, signal.SIGCONT)


def take_turns(first, last, seconds):
    """Alternates for 'seconds', from 'last' to 'last'.  Returns the time that
    each of them has had."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        hand_over(last, first)
        time.sleep(TURN)
        hand_over(first, last)
        time.sleep(TURN)
    return (time.monotonic() - start) / 2


def measure(first, last, seconds):
    """Returns the frames that arrive in a second of either host."""
    try:
        with Prompt():
            hand_over(first, last)
            time.sleep(WARM_UP)             # Nothing is left to receive.
            before = packets(last, 'sink', 'TX')
            elapsed = take_turns(first, last, seconds)
            time.sleep(WARM_UP)
            after = packets(last, 'sink', 'TX')
    finally:
        for host in first, last:
            os.kill(host.vswitchd.pid, signal.SIGCONT)
    return (after - before) / elapsed


def turns(bed, config):
    """Yields a sample for each number of flows and size of frames."""
    if len(bed.switches) < 2:
        raise CannotRun('one host has no turns to take')
    first, last = bed.switches
    add_sink(last, 'br0', max(config.sizes))
    last.set_flow('br0', 'tun', 'sink')

    def measure_load(size):
        first.set_flow('br0', 'src', 'tun')
        time.sleep(WARM_UP)
        rate = measure(first, last, 2 * config.seconds)
        return {'mpps': rate / 1e6, 'gbps': rate * size * 8 / 1e9}

    yield from for_each_load(first, 'br0', config, measure_load)
