"""A server on a raw socket: it says exactly what a test tells it to and keeps exactly what it heard."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Received:
    """One request, as it stood on the wire."""

    head: bytes
    body: bytes

    @property
    def start_line(self) -> str:
        return self.head.split(b"\r\n")[0].decode("ascii")

    @property
    def method(self) -> str:
        return self.start_line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start_line.split(" ")[1]

    @property
    def header_lines(self) -> list[tuple[str, str]]:
        lines = [line.decode("latin-1").partition(":") for line in self.head.split(b"\r\n")[1:]]
        return [(name.lower(), value.strip(" ")) for name, _, value in lines]

    @property
    def headers(self) -> dict[str, str]:
        assert len(dict(self.header_lines)) == len(self.header_lines), "a header was sent twice"
        return dict(self.header_lines)


class Connection:
    """One accepted connection in the hands of the steps of a script."""

    def __init__(self, sock: socket.socket, stopped: threading.Event) -> None:
        self._sock = sock
        self._stopped = stopped
        self._unread = b""
        self.closed = False

    def receive(self) -> Received | None:
        """The next request; ``None`` when the client has closed the connection."""
        while b"\r\n\r\n" not in self._unread:
            if not self._more():
                return None
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        length = int(Received(head, b"").headers.get("content-length", 0))
        while len(self._unread) < length:
            if not self._more():
                return None
        body, self._unread = self._unread[:length], self._unread[length:]
        return Received(head, body)

    def _more(self) -> bool:
        data = self._sock.recv(65536)
        self._unread += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def listen(self) -> None:
        """Say nothing until the client leaves."""
        while self._more():
            pass

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        if self._stopped.wait(seconds):
            raise ConnectionAbortedError("the test is over")

    def upgrade(self, tls: ssl.SSLContext) -> None:
        self._sock = tls.wrap_socket(self._sock, server_side=True)

    def reset(self) -> None:
        """Close with a TCP reset instead of a farewell."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self.closed = True
        self._sock.close()

    def interrupt(self) -> None:
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


Step = Callable[[Connection], None]


class WireServer:
    """Listens on a port of its own; each request is answered by the next step of the script, then by ``then``.

    :param on_connect: done with each new connection before anything is read from it.
    """

    def __init__(
        self,
        *script: Step,
        then: Step | None = None,
        on_connect: Step | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script = deque(script)
        self.requests: list[Received] = []
        self.accepted = 0
        self._then = then or answer()
        self._on_connect = on_connect
        self._tls = tls
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._open: list[Connection] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def origin(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stopped.is_set():
                sock.close()
                return
            self.accepted += 1
            connection = Connection(sock, self._stopped)
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=[connection]))
            self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        with suppress(OSError):  # the client is free to leave whenever it likes
            if self._tls:
                connection.upgrade(self._tls)
            if self._on_connect:
                self._on_connect(connection)
            while not connection.closed and (request := connection.receive()):
                with self._changed:
                    self.requests.append(request)
                    step = self.script.popleft() if self.script else self._then
                    self._changed.notify_all()
                step(connection)
        with self._changed:
            connection.close()
            self._changed.notify_all()

    def open_connections(self) -> int:
        """How many connections no side has ended."""
        return sum(not connection.closed for connection in self._open)

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something that the server can see has come about."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds)

    def close(self) -> None:
        self._stopped.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._threads[0].join()
        for connection in self._open:
            connection.interrupt()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        self._listener.close()


# --- steps ------------------------------------------------------------------------------------------------------------


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Step:
    """A complete, well-formed answer; ``retry_after="1"`` becomes ``Retry-After``-like ``retry-after: 1``."""
    lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def raw(data: bytes) -> Step:
    """Exactly these bytes; the connection stays open."""
    return lambda connection: connection.send(data)


def drip(data: bytes, *, every: float = 0.05) -> Step:
    """One byte now and then."""

    def step(connection: Connection) -> None:
        for byte in data:
            connection.send(bytes([byte]))
            connection.wait(every)

    return step


def reset(connection: Connection) -> None:
    connection.reset()


def close(connection: Connection) -> None:
    connection.close()


def silence(connection: Connection) -> None:
    """Neither an answer nor an end."""
    connection.listen()


def then(*steps: Step) -> Step:
    """One after another."""

    def step(connection: Connection) -> None:
        for each in steps:
            each(connection)

    return step
