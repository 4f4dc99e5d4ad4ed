# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Hosts: network namespaces, each with Open vSwitch and DPDK in it.

Everything started here is a child of this process and dies with it.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

from . import CannotRun

HUGEPAGES = '/proc/sys/vm/nr_hugepages'
START_TIMEOUT = 60
DPDK_EXTRA = '--no-pci --in-memory --no-telemetry --single-file-segments'


def output(*command):
    """Returns what COMMAND prints, or raises CannotRun with its error."""
    result = subprocess.run(command, text=True, capture_output=True)
    if result.returncode:
        raise CannotRun('%s: %s' % (command[0], result.stderr.strip()))
    return result.stdout


def wait_until(what, condition, timeout=START_TIMEOUT):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise CannotRun('timed out: ' + what)
        time.sleep(.05)


def receive_json(sock):
    text = b''
    while True:
        more = sock.recv(65536)
        if not more:
            raise CannotRun('ovs-vswitchd ended')
        text += more
        try:
            return json.loads(text)
        except ValueError:
            pass                # Not all of it yet.


def read_meminfo(name):
    with open('/proc/meminfo') as f:
        return int(re.search(r'^%s:\s+(\d+)' % name, f.read(), re.M)[1])


class Hugepages:
    """Context in which 'mib' MiB of hugepages are free."""

    def __init__(self, mib):
        self.n = -(-mib * 1024 // read_meminfo('Hugepagesize'))

    @staticmethod
    def _write(n):
        with open(HUGEPAGES, 'w') as f:
            f.write(str(n))

    def __enter__(self):
        self.total = read_meminfo('HugePages_Total')
        missing = self.n - read_meminfo('HugePages_Free')
        if missing > 0:
            self._write(self.total + missing)
        free = read_meminfo('HugePages_Free')
        if free < self.n:
            self._write(self.total)
            raise CannotRun('only %d of %d hugepages' % (free, self.n))

    def __exit__(self, *_):
        self._write(self.total)


class Child:
    """A process that ends when this one does."""

    def __init__(self, command, env=None, log=subprocess.DEVNULL):
        guard = ['setpriv', '--pdeathsig', 'KILL', '--']
        self.process = subprocess.Popen(
            guard + command, env=env, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, start_new_session=True)
        self.pid = self.process.pid

    def is_alive(self):
        return self.process.poll() is None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Host:
    """Host 'number' of a run, whose PMD threads run on 'cpus'."""

    def __init__(self, number, cpus, config):
        self.number = number
        self.cpus = cpus
        self.build = os.path.join(config.build, 'ovs/build')
        self.source = os.path.join(config.build, 'ovs/src')
        self.hugepages = config.hugepages
        self.socket_mem = config.socket_mem
        self.maxsleep = config.maxsleep
        self.name = 'rdma-perf-%d-h%d' % (os.getpid(), number)
        self.ip = '192.0.2.%d' % number
        self.guest_ip = '198.51.100.%d' % number
        self.run = os.path.join(config.scratch, 'h%d' % number)
        self.children = []
        self.env = dict(os.environ, OVS_CTL_TIMEOUT='30')
        for kind in 'RUN', 'LOG', 'DB', 'SYSCONF':
            self.env['OVS_%sDIR' % kind] = self.run

    def __enter__(self):
        output('ip', 'netns', 'add', self.name)
        output('ip', '-n', self.name, 'link', 'set', 'lo', 'up')
        return self

    def __exit__(self, *_):
        self.stop()
        subprocess.run(['ip', 'netns', 'delete', self.name])

    # Commands.

    def inside(self, *command):
        return ['ip', 'netns', 'exec', self.name] + list(command)

    def command(self, *command):
        result = subprocess.run(self.inside(*command), text=True,
                                env=self.env, capture_output=True)
        if result.returncode:
            raise CannotRun('%s: %s' % (os.path.basename(command[0]),
                                        result.stderr.strip()))
        return result.stdout

    def program(self, path):
        return os.path.join(self.build, path)

    def vsctl(self, text):
        return self.command(self.program('utilities/ovs-vsctl'),
                            *text.split())

    def ofctl(self, *args):
        return self.command(self.program('utilities/ovs-ofctl'), '--names',
                            '-O', 'OpenFlow14', *args)

    def appctl(self, method, *params):
        """As ovs-appctl, but without a process that takes time."""
        path = '%s/ovs-vswitchd.%d.ctl' % (self.run, self.vswitchd.pid)
        request = {'id': 0, 'method': method, 'params': params}
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(json.dumps(request).encode())
            reply = receive_json(sock)
        if reply['error']:
            raise CannotRun(reply['error'].strip())
        return reply['result']

    # Daemons.

    def spawn(self, *command):
        log = open(os.path.join(self.run, 'daemons.out'), 'a')
        child = Child(self.inside(*command), self.env, log)
        log.close()
        self.children.append(child)
        return child

    def start(self, tso=False):
        os.makedirs(self.run)
        db = os.path.join(self.run, 'conf.db')
        self.command(self.program('ovsdb/ovsdb-tool'), 'create', db,
                     self.source + '/vswitchd/vswitch.ovsschema')
        self.spawn(self.program('ovsdb/ovsdb-server'), '-vconsole:off',
                   '--log-file', '--remote=punix:%s/db.sock' % self.run, db)
        wait_until('ovsdb-server',
                   lambda: os.path.exists(self.run + '/db.sock'))
        self.configure(tso)
        self.vswitchd = self.spawn(self.program('vswitchd/ovs-vswitchd'),
                                   '--disable-system', '-vconsole:off',
                                   '--log-file', '--pidfile')
        wait_until('ovs-vswitchd', self.is_started)

    def configure(self, tso):
        mask = sum(1 << cpu for cpu in self.cpus)
        self.command(self.program('utilities/ovs-vsctl'), '--no-wait', 'init',
                     '--', 'set', 'Open_vSwitch', '.',
                     'other_config:dpdk-init=true',
                     'other_config:dpdk-extra="%s"' % DPDK_EXTRA,
                     'other_config:dpdk-socket-mem=%d' % self.socket_mem,
                     'other_config:dpdk-socket-limit=%d' % self.hugepages,
                     'other_config:per-port-memory=true',
                     'other_config:pmd-cpu-mask=%#x' % mask,
                     'other_config:pmd-maxsleep=%d' % self.maxsleep,
                     'other_config:userspace-tso-enable=%s'
                     % str(tso).lower())

    def is_started(self):
        if not self.vswitchd.is_alive():
            raise CannotRun('ovs-vswitchd ended: %s' % self.log_errors())
        result = self.vsctl('get Open_vSwitch . dpdk_initialized')
        return 'true' in result

    def log_errors(self):
        with open(self.run + '/ovs-vswitchd.log') as f:
            lines = re.findall(r'\|(?:ERR|EMER)\|(.*)', f.read())
        return lines[-1] if lines else 'see its log'

    def stop(self):
        while self.children:
            self.children.pop().stop()

    # Ports.

    def add_bridge(self, bridge, *settings):
        self.vsctl('add-br %s -- set bridge %s datapath_type=netdev %s'
                   % (bridge, bridge, ' '.join(settings)))

    def add_port(self, bridge, port, settings):
        """Adds a port, or raises CannotRun with what is wrong with it."""
        self.vsctl('--may-exist add-port %s %s -- set Interface %s %s'
                   % (bridge, port, port, settings))
        error = self.vsctl('get Interface %s error' % port).strip()
        if error != '[]':
            raise CannotRun(error.strip('"'))

    def delete_port(self, port):
        self.vsctl('del-port ' + port)

    def is_link_up(self, port):
        return 'up' in self.vsctl('get Interface %s link_state' % port)

    def set_flow(self, bridge, source, sink):
        self.ofctl('add-flow', bridge, 'in_port=%s,actions=%s'
                   % (source, sink))

    def add_address(self, device, address):
        output('ip', '-n', self.name, 'address', 'add', address + '/24',
               'dev', device)
        output('ip', '-n', self.name, 'link', 'set', device, 'up')

    # What threads and memory there are.

    def pmd_threads(self):
        """Returns the IDs of the PMD threads."""
        tasks = '/proc/%d/task' % self.vswitchd.pid
        threads = []
        for tid in os.listdir(tasks):
            with contextlib.suppress(FileNotFoundError):    # It has ended.
                with open('%s/%s/comm' % (tasks, tid)) as f:
                    if f.read().startswith('pmd-'):
                        threads.append(int(tid))
        return threads

    def pmd_seconds(self):
        """Returns the CPU time that the PMD threads have had."""
        total = 0
        for tid in self.pmd_threads():
            with open('/proc/%d/task/%d/schedstat'
                      % (self.vswitchd.pid, tid)) as f:
                total += int(f.read().split()[0])
        return total / 1e9

    def memory(self):
        """Returns the MiB of memory, hugepages included."""
        with open('/proc/%d/status' % self.vswitchd.pid) as f:
            text = f.read()
        return sum(int(re.search(r'^%s:\s+(\d+)' % name, text, re.M)[1])
                   for name in ('VmRSS', 'HugetlbPages')) // 1024


def join_by_veth(hosts, mtu, n_queues):
    """Joins two hosts by a veth pair, eth0 in both."""
    end = 'eth0 mtu %d numrxqueues %d numtxqueues %d' % (mtu, n_queues,
                                                         n_queues)
    output('ip', 'link', 'add', 'netns', hosts[0].name, *end.split(),
           'type', 'veth', 'peer', 'netns', hosts[1].name, *end.split())
    for host in hosts:
        output('ip', '-n', host.name, 'link', 'set', 'eth0', 'up')
