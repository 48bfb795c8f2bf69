"""Connections for requests that stop reading at a given moment and notice a head that is cut short or not the last.

A socket's own timeout starts anew with every byte, so that an answer which drips in could be read for hours; and
``http.client`` takes the end of the connection for the end of the head, and a 103 for the answer.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ends: ContextVar[float] = ContextVar("ends", default=inf)
"""The moment on the monotonic clock."""


class _Incoming(io.RawIOBase):
    """What comes in on a socket, until the moment has come."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self.exhausted = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        left = ends.get() - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        pause = self._sock.gettimeout()
        self._sock.settimeout(left if pause is None else min(left, pause))
        size = self._file.readinto(buffer)
        self.exhausted = not size
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._incoming = _Incoming(sock)
        self.fp = io.BufferedReader(self._incoming)

    def begin(self) -> None:
        super().begin()
        # http.client passes over 100 only; the answer itself would then be read as that of the next request.
        while 101 < self.status < 200 and not self._incoming.exhausted:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        if self._incoming.exhausted:
            raise http.client.RemoteDisconnected("the head of the answer was cut short")


class TimedHTTPConnection(HTTPConnection):
    response_class = _Response


class TimedHTTPSConnection(HTTPSConnection):
    response_class = _Response
