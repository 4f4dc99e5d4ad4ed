# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Contenders: ways to connect bridge br0 of one host with that of another.

Each is a function that takes the hosts, in which Open vSwitch runs and br0
exists, and the configuration, and adds port "tun" to br0 of both.
"""

from . import CannotRun
from .hosts import join_by_veth, wait_until

AFXDP_MAX_MTU = 3498            # Of veth: a page, less what XDP needs.


def tunnel_options(host, peer):
    return 'options:remote_ip=%s options:key=1' % peer.ip


def both_ways(hosts):
    return zip(hosts, reversed(hosts))


def rdma_soft(hosts, config):
    join_by_veth(hosts, config.mtu, config.pmds)
    for host in hosts:
        host.add_address('eth0', host.ip)
    for host, peer in both_ways(hosts):
        host.add_port('br0', 'tun',
                      'type=rdma options:provider=soft %s mtu_request=%d '
                      'options:n_rxq=%d' % (tunnel_options(host, peer),
                                            max(config.sizes), config.pmds))
    for host in hosts:
        wait_until('rdma port is up', lambda: host.is_link_up('tun'))


def add_tunnel(hosts, kind, wire):
    """Adds tunnels over br-phy, which has port 'wire' and the addresses of the
    hosts."""
    for host in hosts:
        host.add_address('br-phy', host.ip)
        host.set_flow('br-phy', 'LOCAL', wire)
        host.set_flow('br-phy', wire, 'LOCAL')
    for host, peer in both_ways(hosts):
        mac = peer.vsctl('get Interface br-phy mac_in_use').strip().strip('"')
        host.appctl('tnl/neigh/set', 'br-phy', peer.ip, mac)
        host.add_port('br0', 'tun', 'type=%s %s'
                      % (kind, tunnel_options(host, peer)))


def over_afxdp(kind):
    def connect(hosts, config):
        if config.mtu > AFXDP_MAX_MTU:
            raise CannotRun('AF_XDP on veth takes an MTU of up to %d'
                            % AFXDP_MAX_MTU)
        join_by_veth(hosts, config.mtu, config.pmds)
        for host in hosts:
            host.add_bridge('br-phy', 'fail_mode=secure')
            host.add_port('br-phy', 'eth0', 'type=afxdp options:n_rxq=%d'
                          % config.pmds)
        add_tunnel(hosts, kind, 'eth0')
    return connect


def over_dpdk(kind):
    """The wire is a vhost-user port of host 1 and a virtio port of host 2."""
    def connect(hosts, config):
        mtu = max(config.sizes) + 100
        for host in hosts:
            host.add_bridge('br-phy', 'fail_mode=secure')
        hosts[0].add_port('br-phy', 'wire',
                          'type=dpdkvhostuser mtu_request=%d' % mtu)
        hosts[1].add_port(
            'br-phy', 'wire', 'type=dpdk mtu_request=%d options:n_rxq=%d '
            'options:dpdk-devargs=net_virtio_user9,path=%s/wire,queues=%d,'
            'queue_size=1024' % (mtu, config.pmds, hosts[0].run, config.pmds))
        add_tunnel(hosts, kind, 'wire')
    return connect


# Name -> (function, number of hosts).  A single host has no tunnel.
CONTENDERS = {
    'rdma': (rdma_soft, 2),
    'vxlan-afxdp': (over_afxdp('vxlan'), 2),
    'geneve-afxdp': (over_afxdp('geneve'), 2),
    'vxlan-dpdk': (over_dpdk('vxlan'), 2),
    'geneve-dpdk': (over_dpdk('geneve'), 2),
    'bridge': (None, 1),
}
