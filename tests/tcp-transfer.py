# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Sends bytes over TCP, or receives them, and prints their SHA-256 digest.

    tcp-transfer.py receive ADDRESS PORT
    tcp-transfer.py send ADDRESS PORT N_BYTES
"""

import hashlib
import random
import socket
import sys

TIMEOUT = 60


def receive(address):
    digest = hashlib.sha256()
    with socket.create_server(address, family=family_of(address)) as listener:
        listener.settimeout(TIMEOUT)
        print("ready", flush=True)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TIMEOUT)
            while data := connection.recv(1 << 20):
                digest.update(data)
    return digest


def send(address, n):
    data = random.Random(1).randbytes(n)
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)      # The receiver has closed.
    return hashlib.sha256(data)


def family_of(address):
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


if __name__ == "__main__":
    where = (sys.argv[2], int(sys.argv[3]))
    if sys.argv[1] == "send":
        print(send(where, int(sys.argv[4])).hexdigest())
    else:
        print(receive(where).hexdigest())
