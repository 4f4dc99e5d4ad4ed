# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Sends datagrams that another host, in a network namespace of this one, finds
all at once.

usage: udp-burst.py PID DESTINATION PREFIX N M

Stops the process PID, sends M datagrams to DESTINATION from each of the local
addresses PREFIX.1 to PREFIX.N, and lets PID go on when the sockets that it has
on UDP port 4791 hold half of that.  Fails if that takes too long.
"""

import os
import signal
import socket
import sys
import time

PAYLOAD = bytes(1000)
TIMEOUT = 0.3                   # Less than until a peer gives up, in seconds.


def queued(pid):
    """Returns the bytes in the receive queues of UDP port 4791."""
    total = 0
    with open('/proc/%d/net/udp' % pid) as sockets:
        for line in sockets:
            fields = line.split()
            if fields[1].endswith(':%04X' % 4791):
                total += int(fields[4].split(':')[1], 16)
    return total


def main():
    pid, destination, prefix = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    n, m = int(sys.argv[4]), int(sys.argv[5])
    socks = []
    for i in range(1, n + 1):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(('%s.%d' % (prefix, i), 0))
        socks.append(sock)

    deadline = time.monotonic() + TIMEOUT
    os.kill(pid, signal.SIGSTOP)
    try:
        for sock in socks * m:
            sock.sendto(PAYLOAD, (destination, 9))
        while queued(pid) < n * m // 2 * len(PAYLOAD):
            if time.monotonic() > deadline:
                sys.exit('only %d bytes have arrived' % queued(pid))
    finally:
        os.kill(pid, signal.SIGCONT)


main()
