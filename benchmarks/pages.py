"""Pages of a listing, encoded beforehand, and a server that does nothing but send them.

``python benchmarks/pages.py [--certificate FILE]`` prints its port. It runs in a process of its own, so that what is
measured is a client's time alone. Every function has as many invocations as its name says: all of them have ended in
``listed-100000``, the newest is Running in ``running-100000``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import ssl
from typing import Any

PAGE_SIZE = 100
_DISTINCT_PAGES = 200
"""Ids come again after so many pages: more than a client remembers, and little for the server to hold."""

_START = 1_795_305_600_000
_STEPS = ("Enqueued", "Dequeued", "Running", "Succeeded")


def item(index: int) -> dict[str, Any]:
    """One finished invocation with every field that a listing of FC 3.0 may hold, as the page "AsyncTask" has them."""
    started = _START + index * 40
    failed = index % 50 == 0
    steps = (*_STEPS[:-1], "Failed") if failed else _STEPS
    return {
        "taskId": f"thumb-2026-11-22-{index:07}-a1b2c3d4e5f6",
        "functionArn": "acs:fc:cn-hangzhou:1234567890123456:functions/thumbnail",
        "qualifier": "LATEST",
        "requestId": f"1-6743{index:08x}-12345678-9abcdef01234",
        "status": steps[-1],
        "startedTime": started,
        "endTime": started + 1250,
        "durationMs": 1250,
        "destinationStatus": steps[-1],
        "taskErrorMessage": "ValueError: cannot identify image file 'input.jpg'" if failed else "",
        "alreadyRetriedTimes": 3 if failed else 0,
        "instanceId": f"c-6743{index:08x}-7f3a9c",
        "events": [
            {"eventId": number, "status": status, "timestamp": started + number, "eventDetail": ""}
            for number, status in enumerate(steps, 1)
        ],
    }


def running_item() -> dict[str, Any]:
    return {**item(0), "status": "Running", "endTime": 0, "durationMs": 0, "taskErrorMessage": ""}


def encoded(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def encoded_items(page: int) -> bytes:
    """The beginning of a page's body, up to its token."""
    items = [item(index) for index in range(page * PAGE_SIZE, (page + 1) * PAGE_SIZE)]
    return b'{"tasks":' + encoded(items) + b',"nextToken":"'


def body(page: int = 0, token: str = "2") -> bytes:
    return encoded_items(page) + token.encode() + b'"}'


class Answers(asyncio.Protocol):
    """Answers each request by its function's name, its page token and its status filter; nothing else is read."""

    _FUNCTION = re.compile(rb"/functions/(listed|running)-(\d+)/async-tasks([/?])")
    _TOKEN = re.compile(rb"nextToken=(\d+)")

    def __init__(self, pages: list[bytes]) -> None:
        self._pages = pages
        self._running = encoded(running_item())
        self._newest = pages[0].replace(encoded(item(0)), self._running)
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            content = self._content(head)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 08:30:05 GMT\r\n"
                b"X-Fc-Request-Id: 1-67430000-12345678-9abcdef01234\r\nContent-Length: %d\r\n\r\n"
                % len(content)
                + content
            )

    def _content(self, head: bytes) -> bytes:
        function = self._FUNCTION.search(head)
        assert function, head
        kind, count, after = function.groups()
        if after == b"/":
            return self._running
        if b"status=" in head:
            return b'{"tasks":[' + (self._running if kind == b"running" else b"") + b'],"nextToken":""}'
        token = self._TOKEN.search(head)
        page = int(token[1]) if token else 0
        following = page + 1 if (page + 1) * PAGE_SIZE < int(count) else ""
        items = self._newest if kind == b"running" and not page else self._pages[page % len(self._pages)]
        return items + f'{following}"}}'.encode()


async def serve(certificate: str | None, distinct: int) -> None:
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    pages = [encoded_items(page) for page in range(distinct)]
    server = await asyncio.get_running_loop().create_server(lambda: Answers(pages), "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--certificate", help="PEM file with key and certificate: serve TLS")
    parser.add_argument("--pages", type=int, default=_DISTINCT_PAGES, help="so many differ; then they come again")
    options = parser.parse_args()
    asyncio.run(serve(options.certificate, options.pages))
