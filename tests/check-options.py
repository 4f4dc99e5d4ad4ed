#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# Compares the options that a port knows with those that are documented.

import re
import sys

USAGE = """usage: check-options.py netdev-rdma-config.c options.rst \
vswitch.xml.patch
Fails, and says why, unless all three have the same options of rdma ports."""


def options_of_code(text):
    """What is parsed or refused by name."""
    return set(re.findall(r'strcmp\(option, "([\w-]+)"\)', text)
               + re.findall(r'smap_get\w*\(args, "([\w-]+)"', text)
               + re.findall(r'^ +\{ "([\w-]+)", ', text, re.M))


def options_of_table(text):
    """What the first column of the table has that begins with "Option"."""
    match = re.search(r'^(=+) .*\nOption .*\n=.*\n((?:.+\n)*?)=+ ', text, re.M)
    if not match:
        return set()
    rows = match[2].splitlines()
    width = len(match[1])
    return set(re.findall(r'``([\w-]+)``', '\n'.join(r[:width] for r in rows)))


def options_of_manual(text):
    """What the lines that the patch adds describe or refer to."""
    added = ' '.join(re.findall(r'^\+(.*)', text, re.M))
    return set(re.findall(r'column="options"\s+key="([\w-]+)"', added)
               + re.findall(r'name="options"\s+key="([\w-]+)"', added))


def main():
    if len(sys.argv) != 4:
        sys.exit(USAGE)
    parsers = (options_of_code, options_of_table, options_of_manual)
    found = {}
    for name, parse in zip(sys.argv[1:], parsers):
        with open(name, encoding='utf-8') as stream:
            found[name] = parse(stream.read())
    everything = set.union(*found.values())
    missing = [f'{name} lacks {", ".join(sorted(everything - options))}'
               for name, options in found.items() if options != everything]
    if missing or not everything:
        sys.exit('\n'.join(missing) or 'no options found')


if __name__ == '__main__':
    main()
