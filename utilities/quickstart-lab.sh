# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# shellcheck shell=bash
#
# The hosts of "../quickstart --lab": h1 and h2 are those of ovs-rdma-lab, with
# kernel RDMA, and their guests are programs in them.

lab=(utilities/ovs-rdma-lab --dir "$work/lab")
bursts=32                   # Of 32 frames each.
sent_by_guest="dpdk-testpmd, sent"
got_by_guest="dpdk-testpmd, received"

# Three CPUs each: for all else, for Open vSwitch's PMD thread, for the guest.
hosts_start() {
    "${lab[@]}" down
    "${lab[@]}" --cpus 3 up
    "${lab[@]}" refresh
}

hosts_stop() {
    "${lab[@]}" down
}

# Runs a function of tests/lab-host, or another program, in HOST.
on() {              # HOST FUNCTION...
    local host=$1
    shift
    "${lab[@]}" run "$host" --timeout 200 env BUILD="$ovs/build" \
        SOURCE="$ovs/src" "$top/tests/lab-host" "$@"
}

ovs_start() {
    both start 2
}

guests_start() {
    both guest vm1 server
}

guest_counters() {  # HOST
    echo "guest_rx_packets $(on "$1" guest_counter vm1 RX)"
    echo "guest_tx_packets $(on "$1" guest_counter vm1 TX)"
}

traffic() {
    step 100 h1-h2 "Sending $((bursts * 32)) frames from guest to guest" send h1 h2
    cat "$work/h1-h2.log"
    step 100 h2-h1 "Sending $((bursts * 32)) frames back" send h2 h1
    cat "$work/h2-h1.log"
}

send() {            # FROM TO
    on "$1" guest_send vm1 "$bursts"
    follow "$1" "$2"
}
