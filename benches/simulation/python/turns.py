"""uhashring for `make bench-simulation`: reads servers and keys, a line of each, then `build` and `place`, and answers with nanoseconds and a sum."""

import sys
import time

from uhashring import HashRing

count = int(sys.argv[1])
servers = sys.stdin.readline().split()
keys = sys.stdin.readline().split()
assert len(keys) == count
number = {server: index for index, server in enumerate(servers)}
ring = None
for line in sys.stdin:
    total = 0
    start = time.perf_counter_ns()
    if line.strip() == "build":
        ring = HashRing(nodes=servers, hash_fn="ketama")
    else:
        get_node = ring.get_node
        for key in keys:
            get_node(key)
    elapsed = time.perf_counter_ns() - start
    if line.strip() == "place":
        total = sum(number[ring.get_node(key)] for key in keys)
    print(elapsed, total, flush=True)
