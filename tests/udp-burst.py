# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Sends datagrams that another host, in a network namespace of this one, finds
all at once.

usage: udp-burst.py PID DESTINATION PREFIX N M

Stops the process PID, sends M datagrams to DESTINATION from each of the local
addresses PREFIX.1 to PREFIX.N, and lets PID go on when the sockets that it has
on UDP port 4791 hold half of that.  As this must not take so long that a peer
gives up, does so again if they do not, which a busy machine may need.
"""

import os
import signal
import socket
import sys
import time

PAYLOAD = bytes(1000)
TIMEOUT = 0.3                   # Less than until a peer gives up, in seconds.
ATTEMPTS = 20


def queued(pid):
    """Returns the bytes in the receive queues of UDP port 4791."""
    total = 0
    for name in 'udp', 'udp6':
        with open('/proc/%d/net/%s' % (pid, name)) as sockets:
            for line in sockets:
                fields = line.split()
                if fields[1].endswith(':%04X' % 4791):
                    total += int(fields[4].split(':')[1], 16)
    return total


def burst(pid, socks, destination, goal):
    """Sends a datagram from each of 'socks' while process 'pid' is stopped.
    Returns whether its sockets have come to hold 'goal' bytes."""
    deadline = time.monotonic() + TIMEOUT
    os.kill(pid, signal.SIGSTOP)
    try:
        for sock in socks:
            sock.sendto(PAYLOAD, (destination, 9))
        while time.monotonic() < deadline:
            if queued(pid) >= goal:
                return True
        return False
    finally:
        os.kill(pid, signal.SIGCONT)


def main():
    pid, destination, prefix = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    n, m = int(sys.argv[4]), int(sys.argv[5])
    socks = []
    for i in range(1, n + 1):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(('%s.%d' % (prefix, i), 0))
        socks.append(sock)
    for _ in range(ATTEMPTS):
        if burst(pid, socks * m, destination, n * m // 2 * len(PAYLOAD)):
            return
        time.sleep(TIMEOUT)
    sys.exit('too few bytes have arrived at a time')


main()
