#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
"""usage: reap.py PROGRAM [ARGUMENT]...

Runs PROGRAM, which runs tests, and exits as it does.  Takes note at once when
daemons that tests have started end: until somebody does, they are still there
for "kill -0", and tests wait.  In containers, init may take seconds.
"""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36             # See prctl(2).


def main():
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    program = os.spawnvp(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
    child = None
    while child != program:
        child, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


main()
