# SPDX-License-Identifier: Apache-2.0
# Copyright (c) 2026 The Open vSwitch RDMA tunnel port authors.
#
# Reads what "testsuite --list" prints and prints the numbers of the groups
# that come from the files named, without ".at", in variable 'files'.

BEGIN {
    n = split(files, names)
    for (i = 1; i <= n; i++) {
        wanted[names[i] ".at"] = 1
    }
}

$1 ~ /^[0-9]+:$/ {
    split($2, place, ":")
    if (place[1] in wanted) {
        sub(":", "", $1)
        print $1
    }
}
