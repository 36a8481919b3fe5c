"""The suites of other projects: how each is fetched, and how it is run.

Each run gives a `Result` for every test by its name.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

from layouts import FRONT, ROOT

HERE = Path(__file__).resolve().parent
TARGET = ROOT / "target" / "foreign"
SECONDS_PER_TEST = 10


@dataclass
class Result:
    status: str  # passed, failed or skipped
    message: str = ""


class RedisPy:
    """redis-py's tests of commands, pipelines, pub/sub, scripts, functions and locks, in one of the two protocols."""

    FILES = ["commands", "pipeline", "pubsub", "scripting", "function", "lock"]
    # Tests that want other servers than one plain Redis.
    MARKS = "not onlycluster and not redismod and not replica and not experimental and not ssl"

    def __init__(self, protocol):
        self.name = f"redis-py-resp{protocol}"
        self.protocol = protocol

    def prepare(self, versions):
        wanted = versions["redis-py"]
        self.source = TARGET / "redis-py" / f"redis-{wanted['redis']}"
        self.python = TARGET / "redis-py" / "venv" / "bin" / "python"
        with Once("redis-py", wanted) as is_done:
            if is_done:
                return
            make_venv("redis-py", [f"{name}=={version}" for name, version in wanted.items() if name != "redis"])
            # To read a source distribution's metadata is to run its build, so the build's own tools
            # are there already.
            options = ["--no-binary", "redis", "--no-deps", "--no-build-isolation", "--dest", str(self.source.parent)]
            run([self.python, "-m", "pip", "download", "--quiet", *options, f"redis=={wanted['redis']}"])
            with tarfile.open(f"{self.source}.tar.gz") as archive:
                archive.extractall(self.source.parent, filter="data")
            run([self.python, "-m", "pip", "install", "--quiet", "--no-build-isolation", str(self.source)])

    def run(self, layout, log):
        report = log.with_suffix(".xml")
        command = [self.python, "-m", "pytest", "-c", HERE / "pytest.ini", "--rootdir", ".", "-m", self.MARKS]
        command += ["-q", "-W", "ignore", "--tb=native", "-p", "no:cacheprovider", f"--timeout={SECONDS_PER_TEST}"]
        command += [f"--redis-url=redis://127.0.0.1:{layout.port}/0", f"--protocol={self.protocol}"]
        command += [f"--junitxml={report}", *(f"tests/test_{file}.py" for file in self.FILES)]
        report.unlink(missing_ok=True)
        with log.open("w") as out:
            subprocess.run([str(part) for part in command], cwd=self.source, stdout=out, stderr=out, check=False)
        return dict(self._results(report))

    @staticmethod
    def _results(report):
        for case in xml.etree.ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname').removeprefix('tests.')}.{case.get('name')}".replace(" ", "_")
            failure = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
            if failure is not None:
                yield name, Result("failed", first_line(failure.get("message")))
            else:
                yield name, Result("skipped" if case.find("skipped") is not None else "passed")


class RedisRs:
    """redis-rs's own tests: `async` takes a `Cluster` for its connection, the others go over the front."""

    def __init__(self, file, protocol):
        self.name = f"redis-rs-{file}-resp{protocol}"
        self.file = file
        self.protocol = protocol

    def prepare(self, versions):
        manifest = HERE / "redis-rs" / "Cargo.toml"
        cargo = [os.environ.get("CARGO", "cargo")]
        metadata = json.loads(output([*cargo, "metadata", "--format-version=1", "--locked", "--manifest-path", manifest]))
        package = next(package for package in metadata["packages"] if package["name"] == "redis")
        in_use = re.search(r'name = "redis"\nversion = "(.*)"', (ROOT / "Cargo.lock").read_text())[1]
        if not package["version"] == in_use == versions["redis-rs"]["redis"]:
            raise SystemExit(f"redis-rs is {in_use} in Cargo.lock: tests/foreign must have the same version")
        copy = TARGET / "redis-rs" / "tests"
        with Once("redis-rs", {"redis": in_use}) as is_done:
            if not is_done:
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(Path(package["manifest_path"]).parent / "tests", copy)
        build = [*cargo, "test", "--no-run", "--locked", "--message-format=json", "--test", f"test_{self.file}"]
        build += ["--manifest-path", manifest, "--target-dir", TARGET / "build"]
        for line in output(build).splitlines():
            message = json.loads(line)
            if message.get("executable") and message["target"]["name"] == f"test_{self.file}":
                self.binary = message["executable"]

    def run(self, layout, log):
        env = os.environ | {"PROTOCOL": f"RESP{self.protocol}"}
        if not layout.is_plain:
            env["REDISRS_SERVER_BIN"] = str(HERE / "front-server.sh")
            env["KEYWAY_FOREIGN_FRONT"] = str(FRONT)
            env["KEYWAY_FOREIGN_PORTS"] = " ".join(map(str, layout.server_ports))
            env["KEYWAY_FOREIGN_CLUSTER"] = str(layout.cluster_file(f"resp{self.protocol}"))
        names = output([self.binary, "--list", "--format=terse"]).splitlines()
        names = [name.removesuffix(": test") for name in names if name.endswith(": test")]
        results = {}
        with log.open("w") as out:
            # Each in a process of its own, so that one that hangs takes no other with it.
            for name in names:
                results[name] = self._run_one(name, env, out)
        return results

    def _run_one(self, name, env, out):
        command = [self.binary, "--exact", name, "--nocapture"]
        options = {"env": env, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen(command, text=True, errors="replace", **options)
        try:
            text, _ = process.communicate(timeout=SECONDS_PER_TEST)
        except subprocess.TimeoutExpired:
            # With the front or the server that it has started.
            os.killpg(process.pid, 9)
            text, _ = process.communicate()
            text += f"\nno end within {SECONDS_PER_TEST} s"
        out.write(text)
        if process.returncode == 0:
            return Result("passed")
        panic = re.search(r"(?:panicked at [^\n]*\n|Panic: panicked at [^\n]*\n)([^\n]*(?:\n  ?[^\n]*)*)", text)
        return Result("failed", first_line(panic[1] if panic else text.strip().splitlines()[-1]))


class BullMq:
    """A queue of BullMQ does a hundred jobs."""

    name = "bullmq"

    def prepare(self, versions):
        wanted = versions["bullmq"]
        self.directory = TARGET / "bullmq"
        with Once("bullmq", wanted) as is_done:
            if not is_done:
                self.directory.mkdir(parents=True, exist_ok=True)
                packages = [f"{name}@{version}" for name, version in wanted.items()]
                run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", self.directory, *packages])
        shutil.copy(HERE / "bullmq" / "jobs.mjs", self.directory)

    def run(self, layout, log):
        return {"a_hundred_jobs": program(["node", self.directory / "jobs.mjs", str(layout.port)], log)}


class Celery:
    """A worker of Celery does a hundred jobs, and gives their results."""

    name = "celery"

    def prepare(self, versions):
        wanted = versions["celery"]
        self.python = TARGET / "celery" / "venv" / "bin" / "python"
        with Once("celery", wanted) as is_done:
            if not is_done:
                make_venv("celery", [f"{name}=={version}" for name, version in wanted.items()])

    def run(self, layout, log):
        return {"a_hundred_jobs": program([self.python, HERE / "celery" / "jobs.py", str(layout.port)], log)}


SUITES = [
    RedisPy(2),
    RedisPy(3),
    *(RedisRs("async", protocol) for protocol in (2, 3)),
    *(RedisRs(file, 2) for file in ("basic", "streams", "geospatial", "script")),
    BullMq(),
    Celery(),
]


class Once:
    """`with Once(..) as is_done`: whether these versions are there already; they are once the block has ended well."""

    def __init__(self, name, versions):
        digest = hashlib.sha256(json.dumps([sys.version, versions], sort_keys=True).encode()).hexdigest()
        self.mark = TARGET / name / f"ready-{digest[:16]}"

    def __enter__(self):
        return self.mark.exists()

    def __exit__(self, kind, *_):
        if kind is None:
            self.mark.parent.mkdir(parents=True, exist_ok=True)
            self.mark.touch()


def make_venv(name, packages):
    directory = TARGET / name / "venv"
    shutil.rmtree(directory, ignore_errors=True)
    run([sys.executable, "-m", "venv", directory])
    run([directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])


def program(command, log):
    """A program that does its work and ends well, or says why not as its last line."""
    try:
        with log.open("w") as out:
            subprocess.run([str(part) for part in command], stdout=out, stderr=out, timeout=90, check=True)
        return Result("passed")
    except subprocess.SubprocessError:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no word"]
        return Result("failed", first_line(lines[-1]))


def run(command):
    subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)


def output(command, **options):
    return subprocess.run([str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def first_line(text):
    return " ".join((text or "no message").split())[:300]
