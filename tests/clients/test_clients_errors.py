"""Whatever the layers under a client raise while a request is under way leaves it as a ``TransportError``.

The classes are not listed here but collected from the libraries, and each is raised where the library itself would meet
it, so that a new class, or a library that stops wrapping one, is noticed.
"""

from __future__ import annotations

import builtins
import gzip
import http.client
import socket
import ssl
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import aiohappyeyeballs
import aiohttp
import pytest
import requests
import urllib3
from aiohttp import client_exceptions, client_proto, http_exceptions
from clients.kit import Blocking, OnALoop, settings_for, signed
from clients.wire_server import WireServer, answer
from yarl import URL

from airflow_provider_fc.core.errors import TransportError


def exceptions_in(module: ModuleType, base: type[Exception] = Exception) -> list[type[Exception]]:
    """The exceptions that a module defines."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, base)]
    return [kind for kind in classes if kind.__module__ == module.__name__ and not issubclass(kind, Warning)]


OF_SOCKETS = exceptions_in(builtins, OSError) + exceptions_in(socket, OSError) + exceptions_in(ssl, OSError)
OF_HTTP_CLIENT = exceptions_in(http.client)
OF_REQUESTS = exceptions_in(requests.exceptions) + exceptions_in(urllib3.exceptions)
OF_AIOHTTP = [
    kind
    for kind in exceptions_in(client_exceptions) + exceptions_in(http_exceptions)
    if kind is not aiohttp.WSMessageTypeError  # of web sockets, and a TypeError
]

# Where each layer meets the errors of the one below.
SEAMS: dict[str, tuple[type[Blocking | OnALoop], object, str, list[type[Exception]]]] = {
    "requests, connecting": (Blocking, urllib3.util.connection, "create_connection", OF_SOCKETS),
    "requests, reading the head": (Blocking, http.client.HTTPResponse, "begin", OF_SOCKETS + OF_HTTP_CLIENT),
    "requests, reading the body": (Blocking, http.client.HTTPResponse, "read", OF_SOCKETS + OF_HTTP_CLIENT),
    "requests, decompressing": (Blocking, urllib3.response.GzipDecoder, "decompress", [zlib.error, OSError]),
    "requests, anywhere": (Blocking, urllib3.HTTPConnectionPool, "urlopen", OF_SOCKETS + OF_REQUESTS),
    "aiohttp, connecting": (OnALoop, aiohappyeyeballs, "start_connection", OF_SOCKETS),
    "aiohttp, reading the head": (OnALoop, client_proto.ResponseHandler, "read", OF_SOCKETS + OF_AIOHTTP),
    "aiohttp, reading the body": (OnALoop, aiohttp.StreamReader, "read", OF_SOCKETS + OF_AIOHTTP),
}


def instance(kind: type[Exception]) -> Exception:
    """One exception of the class, made the way its library makes it as far as that matters."""
    key: Any = type("Key", (), {"host": "127.0.0.1", "port": 80, "ssl": True, "is_ssl": False})()
    info: Any = aiohttp.RequestInfo(URL("http://127.0.0.1/"), "GET", None, URL("http://127.0.0.1/"))
    pool: Any = urllib3.HTTPConnectionPool("127.0.0.1")
    ways: list[Callable[[], Exception]] = [
        lambda: kind(),
        lambda: kind("boom"),
        lambda: kind(info, ()),
        lambda: kind(key, OSError(5, "boom")),
        lambda: kind("boom", "boom"),
        lambda: kind(pool, "/", "boom"),
        lambda: kind(b"", b"", "127.0.0.1", 80),
        lambda: kind("/socket", key, OSError(5, "boom")),
        lambda: kind("boom", "{", 0),
        lambda: kind(1, 2),
        lambda: kind(urllib3.HTTPResponse(), b"boom"),
    ]
    for way in ways:
        try:
            error = way()
            str(error)
        except (TypeError, AttributeError, IndexError):
            continue
        return error
    raise AssertionError(f"no way known to make a {kind.__qualname__}")


def raising(error: Exception) -> Callable[..., Any]:
    def instead(*args: Any, **kwargs: Any) -> Any:
        raise error

    return instead


CASES = [(seam, kind) for seam, (*_, kinds) in SEAMS.items() for kind in dict.fromkeys(kinds)]


@pytest.fixture(scope="module")
def server() -> Iterator[WireServer]:
    server = WireServer(then=answer(body=gzip.compress(b"{}"), content_encoding="gzip"))
    yield server
    server.close()


@pytest.mark.parametrize(("seam", "kind"), CASES, ids=[f"{seam}-{kind.__qualname__}" for seam, kind in CASES])
def test_an_error_of_the_libraries_becomes_ours(seam, kind, server, authority, monkeypatch):
    client_kind, owner, name, _ = SEAMS[seam]
    monkeypatch.setattr(owner, name, raising(instance(kind)))
    client = client_kind(settings_for(server.origin, verify=str(authority.ca)), lambda seconds: None)

    try:
        with pytest.raises(TransportError) as caught:
            client.exchange(signed(server.origin))
    finally:
        client.close()

    assert (caught.value.__cause__, caught.value.__context__) == (None, None)  # one exception, one traceback
