# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Latency and TCP between the kernels of two hosts, which are the guests here:
their interfaces are internal ports of Open vSwitch."""

import json
import re
import statistics
import subprocess

from . import CannotRun
from .hosts import Child, output, wait_until

TCP_PORT = 5201


def connect_over_tunnel(hosts):
    for host in hosts:
        host.add_address('br0', host.guest_ip)
        host.set_flow('br0', 'LOCAL', 'tun')
        host.set_flow('br0', 'tun', 'LOCAL')


def connect_by_bridge(host, other):
    """The guest of 'other', in which no Open vSwitch runs, gets port "guest"
    of the bridge of 'host'."""
    host.add_port('br0', 'guest', 'type=internal')
    output('ip', '-n', host.name, 'link', 'set', 'guest', 'netns', other.name)
    host.add_address('br0', host.guest_ip)
    other.add_address('guest', other.guest_ip)
    host.set_flow('br0', 'LOCAL', 'guest')
    host.set_flow('br0', 'guest', 'LOCAL')


def connect(bed):
    if len(bed.switches) > 1:
        connect_over_tunnel(bed.hosts)
    else:
        connect_by_bridge(*bed.hosts)
    ping = bed.hosts[0].inside('ping', '-c', '1', '-W', '1',
                               bed.hosts[1].guest_ip)
    wait_until('ping', lambda: not subprocess.call(
        ping, stdout=subprocess.DEVNULL), 10)


def percentile(values, percent):
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


def latency(bed, config):
    """Yields the round trips of small pings at low load."""
    connect(bed)
    count = max(int(config.seconds * 200), 100)
    result = subprocess.run(
        bed.hosts[0].inside('ping', '-c', str(count), '-i', '0.005', '-W', '1',
                            bed.hosts[1].guest_ip),
        text=True, capture_output=True)
    times = [float(t) * 1e3
             for t in re.findall(r'time=([\d.]+) ms', result.stdout)]
    if not times:
        raise CannotRun('no answer to ping')
    yield {'p50': statistics.median(times), 'p99': percentile(times, 99),
           'loss': 1 - len(times) / count}


def listens(host):
    return 'LISTEN' in host.command('ss', '-Hltn', 'sport', '=',
                                    str(TCP_PORT))


def iperf3_sample(text):
    """Returns the figures in what "iperf3 -J" has printed."""
    try:
        report = json.loads(text)
    except ValueError:
        raise CannotRun('iperf3: ' + text.strip())
    if 'error' in report:
        raise CannotRun('iperf3: ' + report['error'])
    return {'gbps': report['end']['sum_received']['bits_per_second'] / 1e9,
            'retransmits': report['end']['sum_sent']['retransmits']}


def tcp(bed, config):
    """Yields what iperf3 says."""
    connect(bed)
    server, client = bed.hosts[1], bed.hosts[0]
    seconds = max(round(config.seconds), 1)     # 0 is for ever.
    child = Child(server.inside('iperf3', '-s', '-1', '-p', str(TCP_PORT)))
    try:
        wait_until('iperf3', lambda: listens(server), 10)
        result = subprocess.run(
            client.inside('iperf3', '-J', '-c', server.guest_ip, '-p',
                          str(TCP_PORT), '-t', str(seconds),
                          '--connect-timeout', '3000'),
            text=True, capture_output=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise CannotRun('iperf3 hangs')
    finally:
        child.stop()
    yield iperf3_sample(result.stdout)
