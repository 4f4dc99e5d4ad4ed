# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# Sends packets that nobody asked for to a RoCEv2 endpoint.
#
# usage: roce-flood.py SOURCE DESTINATION SECONDS [hello]
#
# A quarter each are noise, packets for queue pairs that are not there,
# management datagrams with a bad ICRC, and requests for connections.  With
# "hello", all are requests that an rdma port without options accepts, one every
# 10 ms.

import random
import socket
import struct
import sys
import time
import zlib

PORT = 4791
IP_MTU_DISCOVER, IP_PMTUDISC_DO = 10, 2


def seal(source, destination, payload, port=PORT):
    """Returns 'payload', for a datagram from 'port', followed by its ICRC."""
    masked = payload[:4] + b'\xff' + payload[5:]
    udp_len = 8 + len(payload) + 4
    ip = struct.pack('!BBHHHBBH4s4s', 0x45, 0xff, 20 + udp_len, 0, 0x4000,
                     0xff, 17, 0xffff, source, destination)
    udp = struct.pack('!HHHH', port, PORT, udp_len, 0xffff)
    crc = zlib.crc32(b'\xff' * 8 + ip + udp + masked)
    return payload + struct.pack('<I', crc)


def bth(opcode, qpn):
    return struct.pack('!BBHII', opcode, 0x40, 0xffff, qpn,
                       random.getrandbits(24))


def datagram(mad):
    return bth(0x64, 1) + struct.pack('!II', 0x80010000, 1) + mad


def hello():
    """Returns what a port without options says."""
    return struct.pack('!IBBBBIIQQQH14x', 0x4f524d41, 1, 0, 1, 0, 0, 4096,
                       random.getrandbits(64) | 1, 0, 0, 64)


def request(source, destination, private_data=b''):
    """Returns a REQ for the port that Open vSwitch listens to."""
    body = bytearray(232)
    struct.pack_into('!I', body, 0, random.getrandbits(32))
    struct.pack_into('!Q', body, 8, 0x1060000 + 6081)
    struct.pack_into('!Q', body, 16, random.getrandbits(64))
    struct.pack_into('!I', body, 32, random.getrandbits(20) + 16 << 8)
    body[50] = 3 << 4
    mapped = bytes(10) + b'\xff\xff'
    body[56:72] = mapped + source
    body[72:88] = mapped + destination
    body[141] = 0x40
    body[156:160] = source
    body[172:176] = destination
    body[176:176 + len(private_data)] = private_data
    header = struct.pack('!BBBBHHQHHI', 1, 7, 2, 3, 0, 0,
                         random.getrandbits(64), 0x10, 0, 0)
    return datagram(header + bytes(body))


def main():
    source, destination = (socket.inet_aton(a) for a in sys.argv[1:3])
    end = time.monotonic() + float(sys.argv[3])
    says_hello = sys.argv[4:] == ['hello']
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.bind((sys.argv[1], 0 if says_hello else PORT))
    port = sock.getsockname()[1]

    kinds = [lambda: seal(source, destination,
                          request(source, destination, hello()), port)
             ] if says_hello else [
        lambda: random.randbytes(random.randrange(1400)),
        lambda: seal(source, destination,
                     bth(random.choice([0, 1, 2, 4, 0x11]),
                         random.randrange(16, 1 << 24)) + bytes(1024)),
        lambda: datagram(random.randbytes(256)) + bytes(4),
        lambda: seal(source, destination, request(source, destination)),
    ]
    n = 0
    while time.monotonic() < end:
        try:
            sock.sendto(kinds[n % len(kinds)](), (sys.argv[2], PORT))
        except OSError:
            pass                # For example, no buffer.
        n += 1
        if says_hello:
            time.sleep(0.01)
    print(n)


main()
