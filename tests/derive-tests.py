#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""Usage: derive-tests.py TESTS-DIRECTORY

Reads Open vSwitch's own tests and prints those of tunnels that make sense for
a tunnel of type "rdma", made to use it.

What is different, and nothing else, is substituted:

- The type, and the macro that starts Open vSwitch, which needs DPDK.

- Datapath port numbers.  Other tunnels of a type share a datapath port; each
  rdma port is one, with the number in its name.  The peer's address says which
  port a trace is about.

- The tunnel's transport port, which GRE does not have.

- Sets of tunnel keys.  For rdma ports they are undone after the output, unless
  it is the last, so that later actions do not see them.

- Options that rdma ports do not have.

Fails if a group is gone or a substitution finds nothing to substitute: what it
was for has changed then, and it has to follow.  A group with tunnels that
neither GROUPS nor LEFT_OUT knows becomes a test that is skipped and named."""

import collections
import glob
import os
import re
import sys

# The tunnel is set right before the output.
MARK_FIRST = (r"(set\(tunnel.*\)),(set\(skb_mark\(\w+\)\))", r"\2,\1")

# The groups, by file, with further substitutions.
GROUPS = {
    "tunnel.at": {
        "tunnel - ECN decapsulation": [],
        "tunnel - input with matching tunnel mask": [
            # The flow has no key, by which revalidators look for a port.
            (r"OVS_VSWITCHD_STOP",
             r'OVS_VSWITCHD_STOP(["/receive tunnel port not found/d"])'),
        ],
        "tunnel - output": [],
        "tunnel - unencrypted tunnel and not setting skb_mark": [],
        "tunnel - unencrypted tunnel and setting skb_mark to 1": [MARK_FIRST],
        "tunnel - unencrypted tunnel and setting skb_mark to 2": [
            MARK_FIRST,
            # The port is one of the datapath.
            (r"(drop_invalid_port\n.*\n)1", r"\g<1>0"),
        ],
        "tunnel - ToS and TTL inheritance": [
            (r"options:ttl=inherit", ""),
            (r", ttl=inherit", ""),
            (r"(set\(.*)ttl=128", r"\1ttl=64"),
        ],
        "tunnel - set_tunnel": [],
        "tunnel - key match": [],
        "tunnel - Geneve": [],
        "tunnel - VXLAN": [],
        "tunnel - Geneve metadata": [
            # PMD threads put off the end of flows.
            (r"AT_CHECK\(\[(ovs-ofctl del-tlv-map [^]]*)\](, \[0\])?\)",
             r"OVS_WAIT_UNTIL([\1])"),
        ],
        "tunnel - Geneve option present": [],
        "tunnel - Delete Geneve option": [],
        "tunnel - concomitant IPv6 and IPv4 tunnels": [],
        "tunnel - re-create port with different types": [],
    },
    "bfd.at": {
        "bfd - check_tnl_key": [],
        "bfd - overlay": [],
    },
    "ofproto-dpif.at": {
        "ofproto-dpif - truncate and output to gre tunnel": [],
        "ofproto-dpif - Flow IPFIX sanity check - tunnel set": [
            # The key is set for the sample already.
            (r"(tunnel_out_port=\d+\)),(\d+)(?=,)", r"\1,clone(\2)"),
        ],
        "ofproto-dpif megaflow - tunnels": [
            (r"options:ttl=inherit", ""),
            (r"(in_port\(3\).*ipv4\(tos=\w+),ttl=\d+", r"\1"),
        ],
        "ofproto-dpif - ofproto-dpif-monitor 1": [],
    },
}

# The other groups with tunnels: Documentation/topics/rdma/testing.rst says why.
LEFT_OUT = {
    "tunnel.at": [
        "tunnel - input",
        "tunnel - key",
        "tunnel - table version",
        "tunnel - different VXLAN UDP port",
        "ofproto-dpif - set_field - tun_src/tun_dst/tun_id",
        "tunnel - too long nested attributes",
        "tunnel - neighbor entry add and deletion",
        "tunnel - LISP",
        "tunnel - ERSPAN",
        "tunnel - ERSPAN v1/v2 metadata",
        "tunnel - GTP-U basic",
        "tunnel - GTP-U push and pop",
        "tunnel - Mix Geneve/GRE options",
        "tunnel - concomitant incompatible tunnels on the same port",
        "tunnel - concomitant incompatible tunnels on different ports",
    ],
    "cfm.at": ["cfm - check update ovsdb 1"],
    "ofproto-dpif.at": [
        "ofproto-dpif - sFlow packet sampling - tunnel set",
        "ofproto-dpif - sFlow packet sampling - tunnel push",
        "ofproto-dpif - ofproto-dpif-monitor 2",
    ],
    "ovs-router.at": ["appctl - route/add with gateway"],
    "ovs-vsctl.at": ["add-port -- reserved names 2"],
}
LEFT_OUT_FILES = r"(nsh|packet-type-aware|tunnel-push-pop.*|system-.*)\.at"

TYPE = r"\b(?:gre|vxlan|geneve)\b"
TUNNEL = r"type=(?:\w*gre|\w*erspan|vxlan|geneve|gtpu|lisp|stt|bareudp|srv6)\b"
NUMBER = r"(?:1|4789|6081|5000)"        # Of the datapath port of these types.


def read_groups(path):
    """Returns the text of the groups in the file 'path', by title."""
    text = open(path, encoding="utf-8").read()
    found = re.findall(r"^AT_SETUP\(\[(.*?)\]\)\n(.*?)^AT_CLEANUP$", text,
                       re.DOTALL | re.MULTILINE)
    return dict(found)


def print_functions(path):
    """Prints the shell functions for tests that the file 'path' defines."""
    text = open(path, encoding="utf-8").read()
    for block in re.findall(r"^m4_divert_push\(\[PREPARE_TESTS\]\)\n.*?"
                            r"^m4_divert_pop\(\[PREPARE_TESTS\]\)$", text,
                            re.DOTALL | re.MULTILINE):
        print(block)


matches = collections.Counter()         # Of each pattern, in all groups.


def sub(pattern, replacement, text, flags=0):
    """Is re.sub(), and counts matches."""
    text, count = re.subn(pattern, replacement, text, flags=flags)
    matches[pattern] += count
    return text


def ports_by_peer(text):
    """Returns the number in the name of each tunnel port in 'text', by its
    peer's address."""
    ports = {}
    for settings in re.split(r"(?=add-port)", text):
        m = re.search(r"add-port \S+ \D+(\d+) .*?type=" + TYPE
                      + r".*?remote_ip=([\w.:]+)", settings, re.DOTALL)
        if m:
            ports[m.group(2)] = m.group(1)
    return ports


def substitute(text):
    """Returns the text of a group as it is for rdma."""
    ports = ports_by_peer(text)

    def to_port(m):
        return m.group(1) + ports.get(m.group(2), "1")

    # Traces of packets received, and actions that send.
    for field in "src", "ipv6_src":
        text = sub(r"(tunnel\([^']*?\b%s=([\w.:]+),[^']*?in_port\()%s\b"
                   % (field, NUMBER), to_port, text)
    text = sub(r"(set\(tunnel\([^\n]*?dst=([\w.:]+),[^\n]*?\)\)\)?,)"
               + NUMBER + r"\b", to_port, text)
    text = sub(r"set\(tunnel\((?:[^()\n]|\([^()\n]*\))*\)\),\d+(?=,)",
               r"clone(\g<0>)", text)
    text = sub(r"(set\(tunnel\([^\n]*?ttl=\d+),(?!tp_dst)",
               r"\1,tp_dst=6081,", text)
    text = sub("tp_dst=4789", "tp_dst=6081", text)

    # Configuration and what shows it.
    text = sub(r"type=" + TYPE, "type=rdma", text)
    text = sub(r"^( +\D+(\d+) \d+/)" + NUMBER + r": \(" + TYPE + ":",
               r"\1\2: (rdma:", text, flags=re.MULTILINE)
    text = sub("OVS_VSWITCHD_START", "RDMA_OVS_VSWITCHD_START", text)
    return text


def derive(path, groups):
    """Prints 'groups' of the file 'path'."""
    found = read_groups(path)
    for title, more in groups.items():
        if title not in found:
            sys.exit('%s: no group "%s"' % (path, title))
        text = substitute(found[title])
        for pattern, replacement in more:
            text, count = re.subn(pattern, replacement, text)
            if not count:
                sys.exit('%s: "%s": nothing matches %s'
                         % (path, title, pattern))
        print("AT_SETUP([rdma as %s])\nAT_KEYWORDS([rdma derived])\n"
              "%sAT_CLEANUP\n" % (title, text))


def unknown_groups(directory):
    """Yields the file and the title of each group with tunnels that is neither
    derived nor left out."""
    for path in sorted(glob.glob(directory + "/*.at")):
        name = os.path.basename(path)
        known = [*GROUPS.get(name, {}), *LEFT_OUT.get(name, [])]
        for title, text in read_groups(path).items():
            if (re.search(TUNNEL, text) and title not in known
                    and not re.fullmatch(LEFT_OUT_FILES, name)):
                yield name, title


print("dnl Generated by tests/derive-tests.py.  Do not edit.\n"
      "AT_BANNER([Open vSwitch's own tests of tunnels, with type=rdma])\n")
print_functions(sys.argv[1] + "/dpif-netdev.at")
for name, groups in GROUPS.items():
    derive(sys.argv[1] + "/" + name, groups)
for name, title in unknown_groups(sys.argv[1]):
    print("AT_SETUP([rdma as %s])\nAT_KEYWORDS([rdma derived])\n"
          "AT_SKIP_IF([: tests/derive-tests.py does not know this group of %s])"
          "\nAT_CLEANUP\n" % (title, name))
for pattern, count in matches.items():
    if not count:
        sys.exit("nothing matches " + pattern)
