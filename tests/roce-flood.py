# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# Sends packets that nobody asked for to a RoCEv2 endpoint.
#
# usage: roce-flood.py SOURCE DESTINATION SECONDS [hello | spray]
#
# A quarter each are noise, packets for queue pairs that are not there,
# management datagrams with a bad ICRC, and requests for connections.  With
# "hello", all are requests that an rdma port without options accepts, one every
# 10 ms.  SOURCE can be a network then, such as 10.9.0.0/16, all of which is
# local: each request comes from another address of it.  With "spray", each such request is followed by packets of all kinds
# for the queue pair that the answer names, which this program reads off the
# interface, as if someone without a view of it had tried all queue pairs.

import ipaddress
import random
import socket
import struct
import sys
import time
import zlib

PORT = 4791
IP_PKTINFO = 8
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


def hello_all(network, destination, end):
    """Sends requests that say hello from all of 'network'."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.bind(('', 0))
    port = sock.getsockname()[1]
    n = 0
    while time.monotonic() < end:
        source = network[random.randrange(network.num_addresses)].packed
        info = (socket.IPPROTO_IP, IP_PKTINFO,
                struct.pack('=I4s4x', 0, source))
        packet = seal(source, destination,
                      request(source, destination, hello()), port)
        try:
            sock.sendmsg([packet], [info], 0,
                         (socket.inet_ntoa(destination), PORT))
        except OSError:
            pass                # For example, no buffer.
        n += 1
        time.sleep(0.01)
    print(n)


class Answers:
    """The REPs from 'source' that arrive at this host, whoever they are for."""

    HEADERS = 14 + 20 + 8 + 12 + 8 + 24

    def __init__(self, source):
        self.source = source
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                  socket.htons(0x800))
        self.sock.settimeout(1)

    def next(self):
        """Returns queue pair number and first PSN of the next one."""
        while True:
            frame = self.sock.recv(2048)
            body = frame[self.HEADERS:]
            if (frame[26:30] == self.source and len(body) > 200
                    and frame[self.HEADERS - 8:][:2] == b'\0\x13'):
                return (int.from_bytes(body[12:15], 'big'),
                        int.from_bytes(body[20:23], 'big'))


def spray(source, destination, sock, answers):
    """Yields a forged request, and then what could be taken for traffic."""
    port = sock.getsockname()[1]
    yield seal(source, destination, request(source, destination, hello()), port)
    qpn, psn = answers.next()
    for i in range(2000):
        opcode = random.choice([0, 2, 4, 0x0a, 0x11, 0x11, 0x81])
        guess = psn if i % 100 == 99 else random.getrandbits(24)
        yield seal(source, destination,
                   struct.pack('!BBHII', opcode, 0x40, 0xffff, qpn, guess)
                   + struct.pack('!I', 0x1f000000), port)


def spray_all(source, destination, sock, answers, end):
    n = 0
    while time.monotonic() < end:
        for packet in spray(source, destination, sock, answers):
            sock.sendto(packet, (socket.inet_ntoa(destination), PORT))
        n += 1
        time.sleep(0.5)
    print(n)


def main():
    network = ipaddress.ip_network(sys.argv[1])
    source = network[0].packed
    destination = socket.inet_aton(sys.argv[2])
    end = time.monotonic() + float(sys.argv[3])
    says_hello = sys.argv[4:] == ['hello']
    if says_hello:
        return hello_all(network, destination, end)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.bind((sys.argv[1], 0))
    port = sock.getsockname()[1]
    if sys.argv[4:] == ['spray']:
        return spray_all(source, destination, sock, Answers(destination), end)

    kinds = [
        lambda: random.randbytes(random.randrange(1400)),
        lambda: seal(source, destination,
                     bth(random.choice([0, 1, 2, 4, 0x11]),
                         random.randrange(16, 1 << 24)) + bytes(1024)),
        lambda: datagram(random.randbytes(256)) + bytes(4),
        lambda: seal(source, destination, request(source, destination), port),
    ]
    n = 0
    while time.monotonic() < end:
        try:
            sock.sendto(kinds[n % len(kinds)](), (sys.argv[2], PORT))
        except OSError:
            pass                # For example, no buffer.
        n += 1
    print(n)


main()
