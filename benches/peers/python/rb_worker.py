"""rb, the Python heir of nydus, told what to do by the bench: see src/applications/order.rs.

An order is a line of JSON on stdin, and its answer one on stdout.
"""

import json
import math
import sys
import time

import rb
import redis

# Owners of one map(): all of them at once would hold 200,000 promises.
PIECE_OWNERS = 10_000
PAGE = 50


def main():
    if sys.argv[1:] == ["--versions"]:
        from importlib.metadata import version

        python = ".".join(str(part) for part in sys.version_info[:3])
        print(json.dumps({"python": python, "rb": version("rb"), "redis-py": redis.__version__}))
        return
    setup = json.loads(sys.stdin.readline())
    worker = Worker(setup["layout"]["servers"])
    answer("Ready")
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer(worker.carry_out(order))
        except Wrong as wrong:
            answer({"Wrong": str(wrong)})
        except Exception as error:  # The bench says which, and goes on without this column.
            answer({"Refused": f"{type(error).__name__}: {error}"})


def answer(told):
    print(json.dumps(told), flush=True)


class Wrong(Exception):
    pass


class Worker:
    def __init__(self, ports):
        hosts = {at: {"port": port} for at, port in enumerate(ports)}
        self.cluster = rb.Cluster(
            hosts, host_defaults={"host": "127.0.0.1"}, router_cls=rb.PartitionRouter
        )
        self.owners = []

    def carry_out(self, order):
        [(kind, order)] = order.items()
        if kind == "Owners":
            self.owners = order
            return "Ready"
        if kind == "WarmUp":
            return "Ready"
        if kind == "Turn":
            return {"Turn": self.turn(order["act"], order["window_ms"] / 1e3)}
        return {"Refused": f"it does not count {kind}"}

    def turn(self, act, window):
        [(kind, act)] = act.items()
        call = getattr(self, kind.lower())
        latencies = []
        cpu = 0.0
        begun = time.perf_counter()
        while True:
            cpu_before, asked = time.process_time(), time.perf_counter()
            answered = call(act)
            latencies.append(time.perf_counter() - asked)
            cpu += time.process_time() - cpu_before
            check(kind, act, answered)
            if time.perf_counter() - begun >= window:
                break
        latencies.sort()
        rank = lambda share: latencies[max(1, math.ceil(len(latencies) * share)) - 1] * 1e6
        return {
            "calls": len(latencies),
            "seconds": sum(latencies),
            "cpu_us": cpu * 1e6 / len(latencies),
            "p50_us": rank(0.5),
            "p99_us": rank(0.99),
            "p999_us": rank(0.999),
            "sockets": len(self.cluster.hosts),
            "peak_kib": 0.0,
        }

    def deliver(self, act):
        name, item, last = act["timelines"], act["item"], -1 - act["keep"]
        member = {str(item["id"]): item["score"]}
        added = 0
        for begin in range(0, len(self.owners), PIECE_OWNERS):
            promises = []
            with self.cluster.map() as client:
                for owner in self.owners[begin : begin + PIECE_OWNERS]:
                    key = f"{name}:{owner}"
                    promises.append(client.zadd(key, member))
                    client.zremrangebyrank(key, 0, last)
            added += sum(promise.value for promise in promises)
        return added

    def combine(self, act):
        with self.cluster.map() as client:
            promises = [client.smembers(set["key"]) for set in act["sets"]]
        one, other = (promise.value for promise in promises)
        if act["how"] == "Intersect":
            return one & other
        return one | other if act["how"] == "Union" else one - other

    def merged(self, act):
        with self.cluster.map() as client:
            pages = [
                client.zrevrange(f"{act['timelines']}:{author}", 0, PAGE - 1, withscores=True)
                for author in act["authors"]
            ]
        items = [(score, int(id)) for page in pages for id, score in page.value]
        items.sort(reverse=True)
        return [id for _, id in items[:PAGE]]

    def values(self, act):
        keys = [key["key"] for key in act]
        with self.cluster.map() as client:
            promises = [client.get(key) for key in keys]
        return [promise.value for promise in promises]


def check(kind, act, answered):
    if kind == "Deliver":
        return  # The bench asks the servers.
    if kind == "Combine":
        expected = act["expected"]
        ids = [int(member) for member in answered]
        seen = {"count": len(ids), "sum": sum(ids)}
        if seen != {"count": expected["count"], "sum": expected["sum"]}:
            raise Wrong(f"{seen}; expected {expected}")
    elif kind == "Merged":
        if answered != act["expected"]:
            raise Wrong(f"the page {answered}; expected {act['expected']}")
    elif answered != [key["key"].encode() for key in act]:
        raise Wrong(f"the values {answered}")


if __name__ == "__main__":
    main()
