# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Throughput: frames of DPDK's pcap port on the first host go to a null port
on the last one, so that no core is spent on guests."""

import itertools
import os
import re
import struct
import subprocess
import time

from . import CannotRun

WARM_UP = .3                    # Seconds.


# Frames for DPDK's pcap port, which sends those of a file again and again.

def checksum(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def udp_frame(size, flow):
    """Returns a frame of 'size' bytes, without FCS, for flow 'flow'."""
    payload_len = size - 14 - 20 - 8
    ip = struct.pack('!BBHHHBBHII', 0x45, 0, size - 14, 0, 0, 64, 17, 0,
                     0x0a000001 + (flow << 8), 0x0a000002)
    ip = ip[:10] + struct.pack('!H', checksum(ip)) + ip[12:]
    udp = struct.pack('!HHHH', 1024 + flow, 9, payload_len + 8, 0)
    return (b'\x02\0\0\0\0\x02' + b'\x02\0\0\0\0\x01' + b'\x08\0'
            + ip + udp + bytes(payload_len))


def write_pcap(path, size, n_flows):
    """Writes each flow once, and at least a burst of frames in all."""
    with open(path, 'wb') as f:
        f.write(struct.pack('!IHHIIII', 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for i in range(max(n_flows, 64)):
            f.write(struct.pack('!IIII', 0, 0, size, size))
            f.write(udp_frame(size, i % n_flows))


# Counters.

def port_counters(host):
    """Returns {(port, counter): value}, from OpenFlow's statistics."""
    counters = {}
    for bridge in host.vsctl('list-br').split():
        text = host.ofctl('dump-ports', bridge)
        for port in re.split(r'\n  port ', text)[1:]:
            name = port.split(':')[0].strip().strip('"')
            for kind, line in re.findall(r'\b(rx|tx) (pkts=.*)', port):
                for key, value in re.findall(r'(\w+)=(\d+)', line):
                    counters[name, '%s_%s' % (kind, key)] = int(value)
            custom = port.partition('CUSTOM Statistics')[2]
            for key, value in re.findall(r'(\w+)=(\d+)', custom):
                counters[name, key] = int(value)
    return counters


def packets(host, port, direction):
    """Returns the packets that a port of the datapath has counted."""
    text = host.appctl('dpctl/show', '-s')
    section = text[re.search(r'port \d+: %s\b' % port, text).end():]
    return int(re.search(r'%s packets:(\d+)' % direction, section)[1])


def pmd_cycles(host):
    """Returns the idle and the busy cycles of PMD threads."""
    text = host.appctl('dpif-netdev/pmd-stats-show')
    return tuple(sum(map(int, re.findall(kind + r' cycles: (\d+)', text)))
                 for kind in ('idle', 'processing'))


def differences(before, after):
    return {key: after[key] - before.get(key, 0) for key in after}


def losses(before, after):
    """Returns the counters of loss that have grown, by port."""
    grown = differences(before, after)
    return {'%s %s' % key: n for key, n in grown.items()
            if n and re.search(r'drop|err|full|fail|missed', key[1])}


class Snapshot:
    """What frames and cycles have been counted up to now."""

    def __init__(self, first, last):
        self.sent = packets(first, 'src', 'RX')
        self.received = packets(last, 'sink', 'TX')
        self.time = time.monotonic()
        self.cycles = pmd_cycles(first), pmd_cycles(last)
        self.cpu = first.pmd_seconds(), last.pmd_seconds()


def perf_stat(host, event, seconds):
    """Returns how often 'event' happens in the PMD threads of 'host', or None
    where that cannot be told.  Mounts tracefs for nobody else."""
    threads = ','.join(map(str, host.pmd_threads()))
    script = ('mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; '
              'exec perf stat -x, -e %s -t %s -- sleep %f'
              % (event, threads, seconds))
    try:
        result = subprocess.run(['unshare', '-m', 'sh', '-c', script],
                                text=True, capture_output=True)
    except OSError:
        return None
    match = re.search(r'^(\d+),', result.stderr, re.M)
    return int(match[1]) if match and not result.returncode else None


def events_per_frame(hosts, event, seconds):
    """Returns how many of 'event' a frame received costs at both ends."""
    last = hosts[-1]
    before = packets(last, 'sink', 'TX'), time.monotonic()
    counts = [perf_stat(host, event, seconds) for host in hosts]
    n = packets(last, 'sink', 'TX') - before[0]
    rate = n / (time.monotonic() - before[1])
    return (None if None in counts or not n
            else sum(counts) / seconds / rate)


def ratio(a, b):
    return a / b if b else None


# Throughput.

def costs(a, b, end, n_pmds):
    """Returns figures of the PMD threads at 'end' of the path.  The cycles
    that they count go on while something else has their CPU."""
    n = (b.sent - a.sent, b.received - a.received)[end]
    idle, busy = (y - x for x, y in zip(a.cycles[end], b.cycles[end]))
    cpu = (b.cpu[end] - a.cpu[end]) / (b.time - a.time) / n_pmds
    return {'cycles': ratio((idle + busy) * cpu, n),
            'busy': ratio(busy, idle + busy), 'cpu': cpu}


def rates(a, b, size, n_pmds):
    n = b.received - a.received
    elapsed = b.time - a.time
    sample = {'mpps': n / elapsed / 1e6, 'gbps': n * size * 8 / elapsed / 1e9,
              'loss': 1 - ratio(n, b.sent - a.sent)}
    for end, prefix in enumerate(('tx_', 'rx_')):
        for name, value in costs(a, b, end, n_pmds).items():
            sample[prefix + name] = value
    return sample


def frames_per_message(before, after):
    grown = differences(before, after)
    return ratio(grown.get(('tun', 'tx_pkts'), 0),
                 grown.get(('tun', 'tx_messages'), 0))


def measure(hosts, size, config):
    """Measures for config.seconds what flows already."""
    first, last = hosts[0], hosts[-1]
    before = [port_counters(host) for host in hosts]
    a = Snapshot(first, last)
    time.sleep(config.seconds)
    b = Snapshot(first, last)
    after = [port_counters(host) for host in hosts]
    if b.received == a.received:
        raise CannotRun('no frame has arrived')
    sample = rates(a, b, size, config.pmds)
    sample['frames_per_message'] = frames_per_message(before[0], after[0])
    sample['losses'] = {'h%d %s' % (host.number, key): n
                        for host, x, y in zip(hosts, before, after)
                        for key, n in losses(x, y).items()}
    sample['memory'] = sum(host.memory() for host in hosts)
    return sample


def add_perf_events(sample, hosts, seconds):
    for name, event in (('instructions', 'instructions'),
                        ('syscalls', 'raw_syscalls:sys_enter')):
        sample[name] = events_per_frame(hosts, event, seconds)


def add_sink(host, bridge, mtu):
    """Adds port "sink", which swallows frames."""
    host.add_port(bridge, 'sink', 'type=dpdk mtu_request=%d '
                  'options:dpdk-devargs=net_null0,no-rx=1' % mtu)


def add_source(host, bridge, size, n_flows, config, serial):
    """Adds port "src", which sends frames as fast as it is polled."""
    pcap = os.path.join(config.scratch, '%d-%d.pcap' % (size, n_flows))
    if not os.path.exists(pcap):
        write_pcap(pcap, size, n_flows)
    host.add_port(bridge, 'src', 'type=dpdk mtu_request=%d options:n_rxq=%d '
                  'options:dpdk-devargs=net_pcap%d,infinite_rx=1%s'
                  % (max(size, 1500), config.pmds, serial,
                     (',rx_pcap=' + pcap) * config.pmds))


def for_each_load(host, bridge, config, measure_load):
    """Yields a sample for each number of flows and size of frames: what
    'measure_load', which takes the size, returns while port "src" sends."""
    loads = itertools.product(config.flows, config.sizes)
    for serial, (n_flows, size) in enumerate(loads, 1):
        what = {'size': size, 'flows': n_flows}
        try:
            add_source(host, bridge, size, n_flows, config, serial)
            sample = measure_load(size)
        except CannotRun as e:
            sample = {'skipped': str(e)}
        yield dict(what, **sample)
        host.delete_port('src')


def throughput(bed, config):
    """Yields a sample for each number of flows and size of frames."""
    hosts = bed.switches
    first, last = hosts[0], hosts[-1]
    add_sink(last, 'br0', max(config.sizes))
    if first is not last:
        last.set_flow('br0', 'tun', 'sink')

    def measure_load(size):
        first.set_flow('br0', 'src', 'sink' if first is last else 'tun')
        time.sleep(WARM_UP)
        sample = measure(hosts, size, config)
        add_perf_events(sample, hosts, min(config.seconds, .5))
        return sample

    yield from for_each_load(first, 'br0', config, measure_load)
