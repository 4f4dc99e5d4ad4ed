# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""What the switches spend on frames from one vhost-user port to another.

The guest of one host is a bridge of the other, polled by its PMD threads, so
that no core is spent on anything else, and what guests take is subtracted:
Open vSwitch counts the cycles of each receive queue.

A process of DPDK that has a virtio port and gets more memory stops until the
other end of that port knows, which does not answer while it does the same.  So
no port has both ends in one process, and hosts have all their memory from the
start."""

import re
import time

from . import CannotRun
from .throughput import (WARM_UP, add_sink, for_each_load, frames_per_message,
                         packets, pmd_cycles, port_counters)

INTERVAL = 5                    # Seconds, over which cycles are counted.


def add_guest(host, other, number, mtu):
    """Adds a guest to 'host': port "vm<number>" of br0 leads to port
    "virtio<number>" of a bridge of 'other', whose name is returned."""
    bridge = 'br-vm%d' % number
    other.add_bridge(bridge, 'fail_mode=secure')
    host.add_port('br0', 'vm%d' % number,
                  'type=dpdkvhostuser mtu_request=%d' % mtu)
    other.add_port(bridge, 'virtio%d' % number,
                   'type=dpdk mtu_request=%d options:dpdk-devargs='
                   'net_virtio_user%d,path=%s/vm%d,queue_size=1024'
                   % (mtu, number, host.run, number))
    return bridge


def connect(bed, mtu):
    """Leads what guest 1 sends to guest 2, which has the sink.  Returns the
    hosts that have the source and the sink, and the bridge that is to have the
    source."""
    first, last = bed.switches[0], bed.switches[-1]
    other = bed.hosts[1]
    if first is last:
        other.start()
    sink = other if first is last else first
    bridge1 = add_guest(first, other, 1, mtu)
    bridge2 = add_guest(last, sink, 2, mtu)
    add_sink(sink, bridge2, mtu)
    sink.set_flow(bridge2, 'virtio2', 'sink')
    if first is last:
        first.set_flow('br0', 'vm1', 'vm2')
    else:
        first.set_flow('br0', 'vm1', 'tun')
        last.set_flow('br0', 'tun', 'vm2')
    return other, sink, bridge1


def guest_share(host):
    """Returns the share of cycles that receive queues of guests have had."""
    text = host.appctl('dpif-netdev/pmd-rxq-show', '-secs', str(INTERVAL))
    shares = re.findall(r'port: (?:src|virtio\d) .*pmd usage: +(\d+) %', text)
    return sum(map(int, shares)) / 100


def switch_share(a, b, host):
    """Returns the CPU time that the switch of 'host' has spent between two
    snapshots, without guests and idle polls, for each second."""
    idle, busy = (y - x for x, y in zip(a.cycles, b.cycles))
    return ((b.cpu - a.cpu) / (b.time - a.time)
            * max(busy / (idle + busy) - guest_share(host), 0))


class HostSnapshot:
    """What 'host' has spent up to now."""

    def __init__(self, host):
        self.time = time.monotonic()
        self.cycles = pmd_cycles(host)
        self.cpu = host.pmd_seconds()


def snapshot(hosts, sink):
    return packets(sink, 'sink', 'TX'), [HostSnapshot(h) for h in hosts]


def measure(hosts, sink):
    time.sleep(INTERVAL + WARM_UP)      # No interval without traffic is left.
    before = port_counters(hosts[0])
    n_before, a = snapshot(hosts, sink)
    time.sleep(INTERVAL)
    n_after, b = snapshot(hosts, sink)
    if n_after == n_before:
        raise CannotRun('no frame has arrived')
    rate = (n_after - n_before) / (b[0].time - a[0].time) / 1e6
    shares = [switch_share(*args) for args in zip(a, b, hosts)]
    return {'per_core': rate / sum(shares), 'mpps': rate,
            'tx_switch': shares[0],
            'rx_switch': shares[1] if len(shares) > 1 else None,
            'frames_per_message': frames_per_message(
                before, port_counters(hosts[0]))}


def vhost(bed, config):
    """Yields a sample for each number of flows and size of frames."""
    source, sink, bridge = connect(bed, max(config.sizes + [1500]))

    def measure_load(_):
        source.set_flow(bridge, 'src', 'virtio1')
        return measure(bed.switches, sink)

    yield from for_each_load(source, bridge, config, measure_load)
