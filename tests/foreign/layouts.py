"""What a suite runs against: plain Redis, or a front on a cluster.

Each run has servers of its own, which start empty.
"""

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRONT = ROOT / "target" / "debug" / "examples" / "front"

# Name: nodes and servers.
CLUSTERS = {"one": (1, 1), "three": (64, 3)}
PLAIN = "plain"


class Layout:
    """Servers, and unless it is plain Redis a front on them, for as long as the `with` block lasts."""

    def __init__(self, name):
        self.name = name
        self.is_plain = name == PLAIN
        self.nodes, self.servers = (1, 1) if self.is_plain else CLUSTERS[name]
        self.processes = []

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="keyway-foreign-")
        try:
            self.server_ports = [self._start_server() for _ in range(self.servers)]
            self.port = self.server_ports[0] if self.is_plain else self._start_front()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.directory.cleanup()

    def cluster_file(self, protocol="resp2"):
        """The path of a cluster file for these servers."""
        lines = [
            'name = "foreign"',
            f'protocol = "{protocol}"',
            "[timeouts]",
            # A busy machine is no reason for a failure.
            'response = "5s"',
            "[placement]",
            'algorithm = "ketama"',
            f"nodes = {self.nodes}",
        ]
        for i, port in enumerate(self.server_ports):
            first = self.nodes * i // self.servers
            last = self.nodes * (i + 1) // self.servers - 1
            lines += [f"[servers.s{i}]", f'url = "redis://127.0.0.1:{port}"', f'nodes = "{first}-{last}"']
        path = Path(self.directory.name) / f"{protocol}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def _start_server(self):
        binary = os.environ.get("KEYWAY_REDIS_SERVER", "redis-server")
        for _ in range(20):
            port = free_port()
            directory = Path(self.directory.name) / str(port)
            directory.mkdir()
            command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
            command += ["--enable-debug-command", "yes", "--logfile", str(directory / "log")]
            server = subprocess.Popen(command)
            self.processes.append(server)
            if wait_until_it_listens(port, server):
                return port
        raise RuntimeError("no redis-server could be started")

    def _start_front(self):
        command = [str(FRONT), str(self.cluster_file()), "127.0.0.1:0"]
        front = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(front)
        line = front.stdout.readline()
        if not line.startswith("listening on "):
            raise RuntimeError(f"the front did not start: {line!r}")
        return int(line.rsplit(":", 1)[1])


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_listens(port, server):
    """False when the server has ended: another process was faster to take the port."""
    while server.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(7) == b"+PONG\r\n":
                    return True
        except OSError:
            pass
        time.sleep(0.02)
    return False
