# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# shellcheck shell=bash
#
# The hosts of ../quickstart on this machine: h1 and h2 are network namespaces
# with a wire between them, and their guests are virtual machines.

namespace=ovs-rdma-
vms=(utilities/quickstart-vms "$work/vms")
sent_by_guest="VM, eth0 tx_packets"
got_by_guest="VM, eth0 rx_packets"

hosts_start() {
    hosts_stop
    ip netns add ${namespace}h1
    ip netns add ${namespace}h2
    ip link add eth0 mtu 9000 netns ${namespace}h1 type veth \
        peer name eth0 mtu 9000 netns ${namespace}h2
    for i in 1 2; do
        ip -n ${namespace}h$i link set lo up
        ip -n ${namespace}h$i address add 192.0.2.$i/24 dev eth0
        ip -n ${namespace}h$i link set eth0 up
    done
}

hosts_stop() {
    "${vms[@]}" down
    for host in h1 h2; do
        [ -e /run/netns/$namespace$host ] || continue
        on $host clean || :
        ip netns delete $namespace$host
    done
}

# Runs a function of tests/lab-host, or another program, in HOST.
on() {              # HOST FUNCTION...
    local host=$1
    shift
    ip netns exec $namespace"$host" env BUILD="$ovs/build" SOURCE="$ovs/src" \
        RUN="$work/$host" "$top/tests/lab-host" "$@"
}

# A CPU for each PMD thread.
ovs_start() {
    on h1 start 1
    on h2 start 2
}

guests_start() {
    "${vms[@]}" up "$work/h1/vm1" "$work/h2/vm1"
}

guest_counters() {  # HOST
    "${vms[@]}" run "vm${1#h}" 10 \
        "cd /sys/class/net/eth0/statistics; grep . rx_packets tx_packets" |
        sed 's/^/guest_/; s/:/ /'
}

traffic() {
    local vm1=198.51.100.1 vm2=198.51.100.2
    step 60 ping "VM 1 pings VM 2" "${vms[@]}" run vm1 50 "ping -c 3 $vm2"
    cat "$work/ping.log"
    step 60 iperf3 "VM 1 runs iperf3 to VM 2" "${vms[@]}" run vm1 50 \
        "iperf3 -c $vm2 -t 5 -i 0"
    grep -E 'sender|receiver' "$work/iperf3.log"
    step 60 iperf3-back "VM 2 runs iperf3 to VM 1" "${vms[@]}" run vm2 50 \
        "iperf3 -c $vm1 -t 5 -i 0"
    grep -E 'sender|receiver' "$work/iperf3-back.log"
    step 30 h1-h2 "Counting the frames from VM 1 to VM 2" follow h1 h2
    cat "$work/h1-h2.log"
    step 30 h2-h1 "Counting the frames from VM 2 to VM 1" follow h2 h1
    cat "$work/h2-h1.log"
}
