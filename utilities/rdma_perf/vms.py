# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""TCP between two virtual machines, VM 1 at host 1 and VM 2 at host 2."""

import contextlib
import functools
import os

from .guests import iperf3_sample
from .hosts import output

PROGRAM = os.path.join(os.path.dirname(__file__), '../quickstart-vms')
PMD_SLEEP = 300                 # Microseconds, at most, between idle polls.


def add_guest_ports(hosts, sockets):
    """Adds port "vm1" to br0 of the first host and "vm2" to that of the last
    one, and connects them."""
    ends = (hosts[0], 'vm1'), (hosts[-1], 'vm2')
    for (host, port), path in zip(ends, sockets):
        host.add_port('br0', port, 'type=dpdkvhostuserclient '
                      'options:vhost-server-path=' + path)
    for (host, port), (_, other) in zip(ends, reversed(ends)):
        peer = 'tun' if len(hosts) > 1 else other
        host.set_flow('br0', port, peer)
        if peer == 'tun':
            host.set_flow('br0', peer, port)


@contextlib.contextmanager
def virtual_machines(bed, config):
    """VM 1 and VM 2.  Yields a function that runs a command of PROGRAM."""
    vms = functools.partial(output, PROGRAM, config.scratch + '/vms')
    sockets = [config.scratch + '/vm1', config.scratch + '/vm2']
    vms('check')
    for host in bed.switches:
        host.vsctl('set Open_vSwitch . other_config:pmd-maxsleep=%d'
                   % PMD_SLEEP)
    add_guest_ports(bed.switches, sockets)
    try:
        vms('up', *sockets)
        yield vms
    finally:
        vms('down')


def tcp_vms(bed, config):
    """Yields what iperf3 says in VM 1, whose server is in VM 2."""
    seconds = max(round(config.seconds), 1)
    with virtual_machines(bed, config) as vms:
        text = vms('run', 'vm1', str(seconds + 30),
                   'iperf3 -J -c %s -t %d --connect-timeout 3000 || :'
                   % (bed.hosts[1].guest_ip, seconds))
    yield iperf3_sample(text)
