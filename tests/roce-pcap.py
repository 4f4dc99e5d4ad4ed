#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# usage: roce-pcap.py FILE
#
# Checks the RoCEv2 packets of a capture of Ethernet frames: their invariant
# CRC, by an implementation of its own (InfiniBand Architecture Specification,
# annex A17.3.3), and their syntax, by tshark if that is installed.  Prints how
# many there are of each opcode.  Packets that a network interface was to
# segment must not be among them.

import collections
import os
import shutil
import struct
import subprocess
import sys
import zlib

PCAP_MAGIC = 0xa1b2c3d4
ETH_IPV4, ETH_IPV6 = 0x0800, 0x86dd
PROTO_UDP = 17
ROCE_PORT = 4791

DISSECTOR = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                         '../utilities/ovs-rdma.lua')


def frames(data):
    """Yields the frames of a pcap file that have been captured in full."""
    magic, = struct.unpack_from('=I', data, 0)
    if magic != PCAP_MAGIC:
        sys.exit('not a pcap file of this machine')
    offset = 24
    while offset + 16 <= len(data):
        caplen, length = struct.unpack_from('=II', data, offset + 8)
        offset += 16
        if caplen == length:
            yield data[offset:offset + caplen]
        offset += caplen


def ip_header(frame):
    """Returns the IP header of a RoCEv2 packet with those fields set to ones
    that can change on the way, and the rest of the packet, or nothing."""
    kind, = struct.unpack_from('!H', frame, 12)
    packet = bytearray(frame[14:])
    if kind == ETH_IPV4 and packet[9] == PROTO_UDP:
        length = 4 * (packet[0] & 15)
        end, = struct.unpack_from('!H', packet, 2)
        for masked in 1, 8, 10, 11:     # TOS, TTL, checksum.
            packet[masked] = 0xff
    elif kind == ETH_IPV6 and packet[6] == PROTO_UDP:
        length = 40
        end = length + struct.unpack_from('!H', packet, 4)[0]
        packet[0] |= 0x0f               # Class, flow label.
        packet[1] = packet[2] = packet[3] = packet[7] = 0xff
    else:
        return None
    return packet[:length], packet[length:end]


def check(frame):
    """Returns the opcode of a RoCEv2 packet and whether its CRC is right."""
    parts = ip_header(frame)
    if not parts or struct.unpack_from('!H', parts[1], 2)[0] != ROCE_PORT:
        return None
    header, rest = parts
    opcode = rest[8]
    rest[6:8] = b'\xff\xff'             # UDP checksum.
    rest[12] = 0xff                     # FECN, BECN.
    crc = zlib.crc32(b'\xff' * 8 + header + rest[:-4])
    return opcode, rest[-4:] == struct.pack('<I', crc)


def malformed(path):
    """Returns what tshark does not understand in the capture."""
    if not shutil.which('tshark'):
        print('tshark is not installed: syntax not checked')
        return ''
    return subprocess.run(
        ['tshark', '-n', '-X', 'lua_script:' + DISSECTOR, '-r', path,
         '-Y', '_ws.malformed || !infiniband'],
        stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout


def main():
    path = sys.argv[1]
    with open(path, 'rb') as file:
        results = [check(frame) for frame in frames(file.read())]
    opcodes = collections.Counter(r[0] for r in results if r)
    n_bad = sum(not r[1] for r in results if r)
    for opcode, n in sorted(opcodes.items()):
        print(f'opcode 0x{opcode:02x}: {n} packets')
    print(f'{n_bad} with a bad invariant CRC')
    problems = malformed(path)
    print(problems, end='')
    sys.exit(not opcodes or n_bad > 0 or bool(problems))


main()
