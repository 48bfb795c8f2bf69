"""``make benchmark-emulator``: what the local Function Compute carries, a process of its own with 100,000 invocations.

Requests are signed beforehand and sent over a few connections that stay open. What counts is the processor time of the
server: ``requests / CPU second`` is what one core can answer, whatever the client needs on another one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec

from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.signing import Credentials, sign
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET

LIST = "/2023-03-30/functions/resize/async-tasks"
KEYS = Credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET)
CONNECTIONS = 4
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    :param target: what the median has to reach, or for a ``unit`` of cost, not to exceed.
    """

    what: str
    unit: str
    runs: list[float]
    target: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        return self.median >= self.target if self.unit == "requests/s" else self.median <= self.target

    def entry(self) -> dict[str, Any]:
        """Give its line in the table of all rows."""
        return {"what": self.what, "value": self.median, "unit": self.unit, "target": self.target, "met": self.met}

    def line(self) -> str:
        target = "" if self.target is None else f"{self.target:10,.0f}  {'yes' if self.met else 'NO'}"
        return f"{self.what:52}{self.median:12,.1f} {self.unit:12}{target}"


class Server:
    """The emulator's own command, and what its process has used so far."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "airflow_provider_fc.emulator", "--port", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.origin = self._process.stdout.readline().split()[1]

    @property
    def cpu(self) -> float:
        """Seconds of processor time."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def megabytes(self) -> float:
        """Memory that is resident now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def connect(self) -> socket.socket:
        address = urlsplit(self.origin)
        connection = socket.create_connection((address.hostname, address.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def served() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def on_the_wire(origin: str, method: str, path: str, body: bytes = b"", **query: str) -> bytes:
    """A whole signed request."""
    request = sign(
        HttpRequest(method, origin, path, query, {}, body),
        KEYS,
        signature="ACS3",
        now=datetime.now(UTC),
        nonce=uuid4().hex,
        action="ListAsyncTasks",
        version="2023-03-30",
    )
    headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"{method} {request.target} HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send one request and return the body of its response."""
    connection.sendall(request)
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] in (b"200", b"204"), data
    size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if b"204" not in head else 0
    parts, missing = [body], size - len(body)
    while missing > 0:
        parts.append(connection.recv(65536))
        missing -= len(parts[-1])
    return b"".join(parts)


def per_cpu_second(server: Server, count: int, **query: str) -> float:
    """List requests a second of the server's processor time."""
    requests = [on_the_wire(server.origin, "GET", LIST, b"", **query) for _ in range(count)]
    connections = [server.connect() for _ in range(CONNECTIONS)]
    threads = [
        threading.Thread(
            target=lambda own, share: [exchange(own, one) for one in share], args=(own, requests[n::CONNECTIONS])
        )
        for n, own in enumerate(connections)
    ]
    before = server.cpu
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = server.cpu - before
    for connection in connections:
        connection.close()
    return count / spent


def list_all(server: Server) -> int:
    """Read every page; how many invocations there were."""
    connection, token, found = server.connect(), "", 0
    while token or not found:
        query = {"limit": "100", "sortOrderByTime": "asc", **({"nextToken": token} if token else {})}
        page = msgspec.json.decode(exchange(connection, on_the_wire(server.origin, "GET", LIST, b"", **query)))
        token = page["nextToken"]
        found += len(page["tasks"])
    connection.close()
    return found


def milliseconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) * 1000


def measure(count: int, rounds: int, requests: int) -> list[Row]:
    with served() as server:
        script = {"function": "resize", "id_template": "job-{index:06}", "count": count, "statuses": ["Running"]}
        body = msgspec.json.encode({"invocations": [script]})
        connection = server.connect()
        add = on_the_wire(server.origin, "POST", "/_emulator/invocations", body)
        added = milliseconds(lambda: exchange(connection, add))
        first = milliseconds(lambda: exchange(connection, on_the_wire(server.origin, "GET", LIST, limit="1")))
        after_adding = server.megabytes
        before = server.cpu
        assert list_all(server) == count
        listed = server.cpu - before
        after_listing = server.megabytes
        small = [per_cpu_second(server, requests, limit="1") for _ in range(rounds)]
        large = [per_cpu_second(server, requests, limit="100") for _ in range(rounds)]
        query = {"limit": "1", "status": "Enqueued"}
        miss = [
            milliseconds(lambda: exchange(connection, on_the_wire(server.origin, "GET", LIST, b"", **query)))
            for _ in range(rounds)
        ]
        return [
            Row("signed lists of 1 invocation", "requests/s", small, 1500),
            Row("signed lists of 100 invocations", "requests/s", large, 1500),
            Row(f"memory with {count:,} invocations", "MB", [after_adding], 150),
            Row("  after a complete listing", "MB", [after_listing], 150),
            Row(f"  after {len(small) * requests * 2:,} requests", "MB", [server.megabytes], 150),
            Row("a complete listing, CPU", "ms", [listed * 1000]),
            Row(f"add {count:,}", "ms", [added]),
            Row("first list after that", "ms", [first]),
            Row("list that finds nothing (status)", "ms", miss),
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--invocations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=2_000, help="in each round (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=Path(".benchmarks/emulator.json"))
    options = parser.parse_args(arguments)
    rows = measure(options.invocations, options.rounds, options.requests)
    print(f"{'local Function Compute, one process':52}{'median':>12} {'':12}{'target':>10}  met")
    print(*(row.line() for row in rows), sep="\n")
    options.json.parent.mkdir(exist_ok=True)
    versions = {name: version(name) for name in ("airflow-provider-fc", "aiohttp", "msgspec")}
    report = {"python": platform.python_version(), "versions": versions, "rows": [asdict(row) for row in rows]}
    report["table"] = [row.entry() for row in rows]
    options.json.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), **report}, indent=1))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
