"""Runs other projects' test suites over the front, and judges the failures: `make foreign-suites`.

Plain Redis is run first, by the same suites. A test that fails there may fail over the front. Any
other that fails must be in expected-failures.txt, and one that is in it must fail.
"""

import argparse
import concurrent.futures
import fnmatch
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

from layouts import CLUSTERS, PLAIN, Layout
from suites import SUITES, TARGET

HERE = Path(__file__).resolve().parent
EXPECTED = HERE / "expected-failures.txt"
UNSTEADY = HERE / "unsteady.txt"
STEADINESS_RUNS = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="SUITE", help="suites of this name; * is allowed")
    parser.add_argument("--steadiness", action="store_true", help=f"run plain Redis {STEADINESS_RUNS} times and write {UNSTEADY.name}")
    arguments = parser.parse_args()
    suites = [suite for suite in SUITES if fnmatch.fnmatch(suite.name, arguments.only or "*")]
    versions = tomllib.loads((HERE / "versions.toml").read_text())
    for suite in suites:
        print(f"foreign suites: prepare {suite.name}", file=sys.stderr, flush=True)
        suite.prepare(versions)
    if arguments.steadiness:
        write_unsteady(suites)
        return 0
    return judge_all(suites)


def judge_all(suites):
    expected, unsteady = read_list(EXPECTED), read_list(UNSTEADY)
    rows, problems = [], []
    for suite in suites:
        steady = [line for line in unsteady if fnmatch.fnmatch(suite.name, line["suite"])]
        excluded = {line["test"] for line in steady}
        (plain,) = run_layouts(suite, [PLAIN])
        rows.append(row(suite.name, PLAIN, plain, excluded, set()))
        if not rows[-1]["passed"]:
            problems.append(f"{suite.name} {PLAIN}: not one test passes on plain Redis, so the suite does not run")
        for layout, results in zip(CLUSTERS, run_layouts(suite, CLUSTERS)):
            lines = [line for line in expected if applies(line, suite.name, layout)]
            found = judge(plain, results, excluded, {line["test"] for line in lines})
            problems += [f"{suite.name} {layout} {test}: {why}" for test, why in found]
            rows.append(row(suite.name, layout, results, excluded, {test for test, _ in found}))
    print_table(rows)
    for problem in problems:
        print(f"UNEXPECTED  {problem}")
    passed, unexpected = sum(each["passed"] for each in rows), len(problems)
    print(f"{passed} passed, {unexpected} failed")
    return 1 if problems or not passed else 0


def judge(plain, results, excluded, listed):
    """What is not as it has to be: tests, each with the reason."""
    problems = []
    for test in sorted(listed - set(plain)):
        problems.append((test, "listed, but there is no such test"))
    for test, on_plain in plain.items():
        if test in excluded or on_plain.status == "skipped":
            continue
        result = results.get(test)
        failed = result is None or result.status != "passed"
        if failed and on_plain.status == "passed" and test not in listed:
            problems.append((test, (result.message or result.status) if result else "did not run"))
        if not failed and test in listed:
            problems.append((test, "listed, but it passes"))
    return problems


def row(suite, layout, results, excluded, problems):
    judged = {test: result.status for test, result in results.items() if test not in excluded}
    counts = Counter(judged.values())
    unexpected = sum(judged.get(test) == "failed" for test in problems)
    return {
        "suite": suite,
        "layout": layout,
        "passed": counts["passed"],
        "failed": counts["failed"],
        "allowed": counts["failed"] - unexpected,
        "unexpected": len(problems),
    }


def print_table(rows):
    columns = ["suite", "layout", "passed", "failed", "allowed", "unexpected"]
    widths = {column: max(len(column), *(len(str(row[column])) for row in rows)) for column in columns}
    for line in [dict(zip(columns, columns)), *rows]:
        print("  ".join(str(line[column]).ljust(widths[column]) for column in columns).rstrip())


def run_layouts(suite, names):
    """The layouts at once: most tests wait for something, and each layout has servers of its own."""
    logs = TARGET / "logs"
    logs.mkdir(parents=True, exist_ok=True)

    def run(name):
        started = time.monotonic()
        with Layout(name) as layout:
            results = suite.run(layout, logs / f"{suite.name}-{name}.log")
        print(f"foreign suites: {suite.name} {name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        return results

    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(run, names))


def write_unsteady(suites):
    """Names the tests that do not end the same way in each of five runs on plain Redis; other suites' lines stay."""
    names = {suite.name for suite in suites}
    kept = [line for line in read_list(UNSTEADY) if line["suite"] not in names]
    lines = [(line["suite"], line["layout"], line["test"], line["reason"]) for line in kept]
    for suite in suites:
        runs = [run_layouts(suite, [PLAIN])[0] for _ in range(STEADINESS_RUNS)]
        for test in sorted(set().union(*runs)):
            passed = sum(test in run and run[test].status != "failed" for run in runs)
            if 0 < passed < STEADINESS_RUNS:
                lines.append((suite.name, PLAIN, test, f"passed {passed} of {STEADINESS_RUNS} runs on plain Redis"))
    comments = [line for line in UNSTEADY.read_text().splitlines() if line.startswith("#")]
    UNSTEADY.write_text("\n".join([*comments, *(" ".join(line) for line in sorted(lines))]) + "\n")
    print(f"{len(lines)} unsteady tests in {UNSTEADY.name}")


def read_list(path):
    """Lines of suite, layout, test and reason; the first two may have *."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        words = text.split(maxsplit=3)
        if len(words) < 4:
            raise SystemExit(f"{path.name}:{number}: a line has suite, layout, test and reason")
        lines.append(dict(zip(["suite", "layout", "test", "reason"], words)))
    return lines


def applies(line, suite, layout):
    return fnmatch.fnmatch(suite, line["suite"]) and fnmatch.fnmatch(layout, line["layout"])


if __name__ == "__main__":
    sys.exit(main())
