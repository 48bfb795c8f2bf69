"""What both clients owe the core: a request goes out as it was signed, an answer comes back whole or not at all.

Every test runs with requests and with aiohttp. The facts that made them necessary: each library, used in the obvious
way, changes the target's bytes, follows redirects, reads ``~/.netrc`` or the proxy variables, resends or waits forever.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import certifi
import pytest
import requests
from clients.kit import PROXY_PASSWORD, Blocking, secrets_of, settings_for, signed
from clients.wire_server import Connection, Received, answer, close, drip, raw, reset, silence, then
from cryptography import x509
from cryptography.x509.oid import NameOID

from airflow_provider_fc.clients import aio, sync
from airflow_provider_fc.clients.network import ADVICE, CA_VARIABLES, proxy_for
from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import CertificateError, SettingsError, TransportError, UnavailableError
from airflow_provider_fc.core.flow import call
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.operations import GetInvocation, Invoke, ListInvocations, StopInvocation

FAR = "http://fc.example.invalid"
HARMLESS = {"user-agent", "accept-encoding", "connection"}

UGLY_PATH = "/2023-03-30/functions/a:b%3A~%7E/'()*+,;=@&$!/é/x y/.."
UGLY_QUERY = {"prefix": "a'b(c)*d/e+f=g\nh i~j%k&l", "nextToken": "+/==", "ünï": "✓"}


def unlike(received: Received, request: HttpRequest) -> dict[str, str]:
    """The headers that the client added to or changed from the signed ones."""
    return {name: value for name, value in received.headers.items() if request.headers.get(name) != value}


@contextmanager
def takes(seconds: float, *, at_most: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert seconds <= time.monotonic() - started <= at_most


# --- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["FC", "ACS3"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_the_target_on_the_wire_is_the_one_that_was_signed(connect, serve, method, signature):
    server = serve()
    request = signed(server.origin, method, UGLY_PATH, UGLY_QUERY, signature=signature)

    connect(server.origin).exchange(request)

    assert server.requests[0].start_line == f"{method} {request.target} HTTP/1.1"
    for escape in ("%3A", "%2C", "~", "%27", "%28", "%2A", "%2F", "%2B", "%3D", "%0A", "%20", "%25", "%C3%A9"):
        assert escape in request.target


@pytest.mark.parametrize("signature", ["FC", "ACS3"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_the_headers_are_the_signed_ones_and_next_to_nothing_else(connect, serve, method, signature):
    server = serve()
    request = signed(server.origin, method, body=b"{}" if method == "POST" else b"", signature=signature)

    connect(server.origin).exchange(request)

    added = unlike(server.requests[0], request)
    assert request.headers.items() <= server.requests[0].headers.items()
    assert added.keys() - {"content-length"} <= HARMLESS
    assert added["user-agent"].startswith("airflow-provider-fc/")
    assert added.get("accept-encoding", "identity") == "identity"
    assert added.get("content-length") == (None if method == "GET" else str(len(request.body)))


def test_the_host_header_is_the_signed_one_even_where_libraries_would_shorten_it(connect, serve, resolve):
    server = serve()
    resolve("fc.example.invalid")
    client = connect(server.origin)

    for host in (f"127.0.0.1:{server.port}", f"fc.example.invalid:{server.port}", "fc.example.invalid:80"):
        request = signed(f"http://{host}")
        client.exchange(
            HttpRequest(request.method, server.origin, request.path, request.query, request.headers, request.body)
        )

        assert server.requests[-1].headers["host"] == host


@pytest.mark.parametrize("body", [bytes(range(256)) * 512, b"\r\n\r\n0\r\n\r\n", b"null"])
def test_a_body_arrives_unchanged_with_its_length_and_its_content_type(connect, serve, body):
    server = serve()
    headers = {"content-type": "application/octet-stream"}

    connect(server.origin).exchange(signed(server.origin, "POST", headers=headers, body=body))

    assert server.requests[0].body == body
    assert server.requests[0].headers["content-length"] == str(len(body))
    assert server.requests[0].headers["content-type"] == "application/octet-stream"
    assert "transfer-encoding" not in server.requests[0].headers


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_an_empty_body_is_announced_as_empty_and_gets_no_content_type(connect, serve, method):
    server = serve()

    connect(server.origin).exchange(signed(server.origin, method))

    assert server.requests[0].headers["content-length"] == "0"
    assert not {"content-type", "transfer-encoding"} & server.requests[0].headers.keys()
    assert server.requests[0].body == b""


def test_a_get_has_neither_a_body_nor_headers_that_announce_one(connect, serve):
    server = serve()

    connect(server.origin).exchange(signed(server.origin))

    assert not {"content-length", "content-type", "transfer-encoding"} & server.requests[0].headers.keys()


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 202, 204, 304, 400, 401, 404, 407, 409, 412, 429, 500, 502, 503])
def test_every_status_is_an_answer_and_not_an_error(connect, serve, status):
    body = b"" if status in (204, 304) else b'{"Code": "Whatever"}'
    server = serve(answer(status, body, X_Fc_Request_Id="r-1"))

    response = connect(server.origin).exchange(signed(server.origin))

    assert (response.status, response.body) == (status, body)
    assert response.headers["x-fc-request-id"] == "r-1"


@pytest.mark.parametrize("interim", [100, 102, 103, 199])
def test_an_interim_answer_is_not_the_answer(connect, serve, interim):
    head = b"HTTP/1.1 %d Wait\r\nlink: </style.css>\r\n\r\n" % interim
    server = serve(then(raw(head), raw(head), answer(body=b"first")), answer(body=b"second"))
    client = connect(server.origin)

    assert client.exchange(signed(server.origin)).body == b"first"
    assert client.exchange(signed(server.origin)).body == b"second"


def test_an_end_after_an_interim_answer_is_a_transport_error(connect, serve):
    server = serve(then(raw(b"HTTP/1.1 103 Early Hints\r\n\r\n"), close))

    with pytest.raises(TransportError):
        connect(server.origin).exchange(signed(server.origin))


BODIES = {
    "with its length": b"content-length: 10\r\n\r\n0123456789",
    "in chunks": b"transfer-encoding: chunked\r\n\r\n4\r\n0123\r\n6;ext=1\r\n456789\r\n0\r\nx-trailer: 1\r\n\r\n",
    "compressed though nobody asked": (
        lambda data: b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data)
    )(gzip.compress(b"0123456789", mtime=0)),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_a_body_is_read_whole_however_it_is_sent(connect, serve, body):
    server = serve(raw(b"HTTP/1.1 200 OK\r\n" + body))

    assert connect(server.origin).exchange(signed(server.origin)).body == b"0123456789"


def test_a_body_may_end_with_the_connection(connect, serve):
    server = serve(then(raw(b"HTTP/1.1 200 OK\r\n\r\n0123456789"), close))

    assert connect(server.origin).exchange(signed(server.origin)).body == b"0123456789"


def test_a_large_body_is_read_whole(connect, serve):
    body = bytes(range(256)) * 12_000
    server = serve(answer(body=body))

    assert connect(server.origin).exchange(signed(server.origin)).body == body


def test_header_names_are_lower_case_and_repeated_headers_are_joined(connect, serve):
    server = serve(raw(b"HTTP/1.1 200 OK\r\nX-One: a\r\nX-ONE: b\r\nRETRY-AFTER: 3\r\ncontent-length: 0\r\n\r\n"))

    headers = connect(server.origin).exchange(signed(server.origin)).headers

    assert (headers["x-one"], headers["retry-after"]) == ("a, b", "3")


def test_a_header_that_is_not_ascii_can_be_stored_and_shown_afterwards(connect, serve):
    server = serve(raw(b"HTTP/1.1 200 OK\r\nx-fc-request-id: caf\xe9 \xff\r\ncontent-length: 0\r\n\r\n"))

    value = connect(server.origin).exchange(signed(server.origin)).headers["x-fc-request-id"]

    assert value == "caf\xe9 \xff"
    assert json.loads(json.dumps(value).encode()) == value


def test_a_page_of_html_from_something_in_between_keeps_its_status(connect, serve, slept):
    server = serve(then=answer(502, b"<html>Bad Gateway</html>", Content_Type="text/html"))
    client = connect(server.origin, max_attempts=2)

    with pytest.raises(UnavailableError, match="HTTP 502"):
        client.run(call(ListInvocations(function_ref("resize")), client.context))

    assert (len(server.requests), len(slept)) == (2, 1)


# --- what libraries do unasked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(connect, serve, status, method):
    elsewhere = serve()
    server = serve(answer(status, b"moved", Location=f"{elsewhere.origin}/elsewhere"))

    response = connect(server.origin).exchange(signed(server.origin, method))

    assert (response.status, response.body) == (status, b"moved")
    assert response.headers["location"] == f"{elsewhere.origin}/elsewhere"
    assert len(server.requests) == 1
    assert elsewhere.accepted == 0


@pytest.mark.parametrize("location", ["http://[bad", "//", "http://127.0.0.1:99999/", "://", "?" * 5000])
def test_not_even_the_address_of_a_redirect_is_looked_at(connect, serve, location):
    server = serve(answer(302, b"moved", Location=location))

    assert connect(server.origin).exchange(signed(server.origin)).body == b"moved"


def test_the_netrc_file_is_not_read(connect, serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in (".netrc", "_netrc"):
        (tmp_path / name).write_text("machine 127.0.0.1 login somebody password else\n")
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server = serve(answer(401))
    request = signed(server.origin)

    connect(server.origin).exchange(request)

    assert [received.headers["authorization"] for received in server.requests] == [request.headers["authorization"]]


def test_cookies_are_not_sent_back(connect, serve, resolve):
    server = serve(answer(Set_Cookie="session=1; Path=/"))
    resolve("fc.example.invalid")  # a name, since libraries keep no cookies of bare addresses anyway
    origin = f"{FAR}:{server.port}"
    client = connect(origin)

    client.exchange(signed(origin))
    client.exchange(signed(origin))

    assert [received.headers.get("cookie") for received in server.requests] == [None, None]


# --- proxies ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make a name mean this machine; any other name is unknown, and nobody is asked about it."""
    known = {"127.0.0.1"}
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known.add


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the proxy variables, in both spellings, and no others."""

    def set_proxies(**variables: str) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            for spelling in (name, name.upper()):
                monkeypatch.delenv(spelling, raising=False)
                if name in variables:
                    monkeypatch.setenv(spelling, variables[name])

    return set_proxies


def through(server: Any, userinfo: str = "") -> str:
    return f"http://{userinfo}127.0.0.1:{server.port}"


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_the_proxy_of_the_environment_gets_the_whole_url_and_the_signed_headers(
    connect, serve, resolve, environment, variable
):
    proxy = serve()
    environment(**{variable: through(proxy)})
    request = signed(FAR, "POST", query=UGLY_QUERY, body=b"{}")

    connect(FAR).exchange(request)

    assert proxy.requests[0].start_line == f"POST {FAR}{request.target} HTTP/1.1"
    assert request.headers.items() <= proxy.requests[0].headers.items()
    assert unlike(proxy.requests[0], request).keys() <= HARMLESS | {"content-length"}


def test_the_connections_own_proxy_wins_over_the_environment(connect, serve, resolve, environment):
    own, other = serve(), serve()
    environment(http_proxy=through(other), all_proxy=through(other))

    connect(FAR, proxy=through(own)).exchange(signed(FAR))

    assert (own.accepted, other.accepted) == (1, 0)


@pytest.mark.parametrize("no_proxy", ["*", "fc.example.invalid", "example.invalid", ".example.invalid, other"])
def test_no_proxy_sends_straight_to_the_server(connect, serve, resolve, environment, no_proxy):
    server, proxy = serve(), serve()
    resolve("fc.example.invalid")
    environment(http_proxy=through(proxy), no_proxy=no_proxy)
    origin = f"{FAR}:{server.port}"
    request = signed(origin)

    connect(origin).exchange(request)
    connect(origin, proxy=through(proxy)).exchange(request)

    assert [received.target for received in server.requests] == [request.target] * 2
    assert proxy.accepted == 0


NO_PROXIES = [
    "",
    "*",
    "10.0.0.0/8",
    "10.1.2.3",
    "192.168.0.0/16, 10.1.0.0/16",
    "10.0.0.0/33",
    "fc.example.invalid",
    ".example.invalid",
    "fc.example.invalid:8443",
    "example.invalid:443,10.1.2.3/32",
    "2001:db8::1",
]


@pytest.mark.parametrize("no_proxy", NO_PROXIES)
@pytest.mark.parametrize(
    "host", ["10.1.2.3", "10.1.2.3:8443", "fc.example.invalid", "fc.example.invalid:8443", "[2001:db8::1]"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_environment_chooses_the_proxy_that_it_chooses_for_plain_requests(environment, no_proxy, host, scheme):
    environment(http_proxy="http://plain.invalid:1", all_proxy="http://all.invalid:2", no_proxy=no_proxy)
    origin = f"{scheme}://{host}"

    theirs = requests.Session().merge_environment_settings(origin, {}, None, None, None)["proxies"]

    assert proxy_for(settings_for(origin), origin) == requests.utils.select_proxy(origin, theirs)


@pytest.mark.parametrize(("host", "proxy"), [("10.1.2.3", None), ("11.1.2.3", "http://proxy.invalid:1")])
def test_no_proxy_knows_networks(environment, host, proxy):
    environment(https_proxy="http://proxy.invalid:1", no_proxy="10.0.0.0/8")

    assert proxy_for(settings_for(f"https://{host}"), f"https://{host}") == proxy


def test_this_machine_is_never_reached_through_a_proxy(connect, serve, environment):
    server, proxy = serve(), serve()
    environment(http_proxy=through(proxy), all_proxy=through(proxy))

    connect(server.origin).exchange(signed(server.origin))
    connect(server.origin, proxy=through(proxy)).exchange(signed(server.origin))

    assert (len(server.requests), proxy.accepted) == (2, 0)


@pytest.mark.parametrize("form", ["http://{}@127.0.0.1:{}", "http://{}@127.0.0.1:{}/", "{}@127.0.0.1:{}"])
def test_a_proxy_is_told_its_own_password_and_the_scheme_may_be_left_out(connect, serve, resolve, environment, form):
    proxy = serve()
    environment(http_proxy=form.format("us%40er:p%3Aw", proxy.port))
    request = signed(FAR)

    connect(FAR).exchange(request)

    assert proxy.requests[0].target == FAR + request.target
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNAZXI6cDp3"
    assert proxy.requests[0].headers["authorization"] == request.headers["authorization"]


def test_https_passes_a_proxy_in_a_tunnel_that_shows_it_nothing(connect, serve, resolve, environment, authority):
    def open_tunnel(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        connection.upgrade(authority.server)

    proxy = serve(open_tunnel)
    environment(https_proxy=through(proxy, f"user:{PROXY_PASSWORD}@"))
    origin = "https://fc.example.invalid"
    request = signed(origin)

    connect(origin, verify=str(authority.ca)).exchange(request)

    opening, inside = proxy.requests
    assert (opening.method, opening.target) == ("CONNECT", "fc.example.invalid:443")
    assert "proxy-authorization" in opening.headers
    assert not any(secret in opening.head.decode() for secret in secrets_of(request))
    assert inside.target == request.target
    assert "proxy-authorization" not in inside.headers
    assert request.headers.items() <= inside.headers.items()


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_the_tunnel_is_a_transport_error(connect, serve, resolve, status):
    proxy = serve(answer(status))
    origin = "https://fc.example.invalid"
    request = signed(origin)
    client = connect(origin, proxy=through(proxy, f"user:{PROXY_PASSWORD}@"))

    with pytest.raises(TransportError, match=str(status)) as caught:
        client.exchange(request)

    explains(caught.value, request, advice="proxy")


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://", "http://127.0.0.1:99999"])
def test_a_proxy_that_cannot_be_used_is_an_error_of_ours(connect, resolve, proxy):
    request = signed(FAR)

    with pytest.raises((TransportError, SettingsError)):
        connect(FAR, proxy=proxy).exchange(request)


# --- connections ------------------------------------------------------------------------------------------------------


KEPT = {
    "an empty body": answer(body=b""),
    "no body": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a body": answer(),
    "an error": answer(404, b'{"Code": "FunctionNotFound"}'),
    "a redirect": answer(302, b"moved", Location="/"),
    "chunks": raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("step", KEPT.values(), ids=list(KEPT))
def test_the_connection_is_used_again(connect, serve, step):
    server = serve(then=step)
    client = connect(server.origin)

    for _ in range(5):
        client.exchange(signed(server.origin))

    assert (len(server.requests), server.accepted) == (5, 1)


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock on which every look costs a second."""
    seconds = count()
    return lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=next(seconds))


OPERATIONS = {
    "list": (ListInvocations(function_ref("resize")), answer(body=b'{"tasks": []}')),
    "get": (GetInvocation(function_ref("resize"), "job-1"), answer(body=b'{"taskId": "job-1", "status": "Running"}')),
    "stop": (StopInvocation(function_ref("resize"), "job-1"), answer(204, b"")),
    "invoke": (Invoke(function_ref("resize"), b"{}", "job-1"), answer(202, b"")),
}


@pytest.mark.parametrize(("operation", "good"), OPERATIONS.values(), ids=list(OPERATIONS))
def test_a_connection_that_the_server_has_closed_meanwhile_costs_nothing_visible(connect, serve, operation, good):
    server = serve(then=then(good, close))
    client = connect(server.origin)

    for _ in range(4):
        client.run(call(operation, client.context))

    nonces = [received.headers["x-acs-signature-nonce"] for received in server.requests]
    assert len(nonces) == len(set(nonces)) == 4


@pytest.mark.parametrize("failing", [reset, close])
@pytest.mark.parametrize(("operation", "good"), OPERATIONS.values(), ids=list(OPERATIONS))
def test_a_connection_that_breaks_under_a_request_is_replaced_and_the_request_signed_anew(
    connect, serve, slept, clock, operation, good, failing
):
    server = serve(good, failing, good)
    client = connect(server.origin, {"now": clock})

    client.run(call(operation, client.context))
    client.run(call(operation, client.context))

    for name in ("x-acs-signature-nonce", "x-acs-date", "authorization"):
        assert len({received.headers[name] for received in server.requests}) == 3
    assert server.accepted == 2
    assert len(slept) == 1


def test_what_must_not_run_twice_is_not_sent_twice(connect, serve, slept):
    server = serve(answer(body=b""), reset)
    client = connect(server.origin)
    client.exchange(signed(server.origin))

    with pytest.raises(TransportError):
        client.run(call(Invoke(function_ref("resize"), b"{}"), client.context))

    assert len(server.requests) == 2
    assert slept == []


def test_a_broken_answer_does_not_poison_the_next_one(connect, serve):
    server = serve(raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), answer(body=b"whole"))
    client = connect(server.origin, read_timeout=1)

    with pytest.raises(TransportError):
        client.exchange(signed(server.origin))

    assert client.exchange(signed(server.origin)).body == b"whole"
    assert server.accepted == 2


# --- no complete answer -----------------------------------------------------------------------------------------------


def explains(error: TransportError, request: HttpRequest, *, transient: bool = True, advice: str | None = None) -> None:
    """The error says what was asked of whom, what happened and what to do, in one line and without a secret.

    :param advice: the kind of it that is expected.
    """
    assert str(error).endswith(tuple(f"({ADVICE[kind]})" for kind in ([advice] if advice else ADVICE)))
    text = str(error)
    assert text.startswith(f"{request.method} {request.origin}{request.path}: ")
    assert len(text.rpartition(": ")[2]) > 3
    assert len(text) < 900
    assert "\n" not in text
    assert " at 0x" not in text
    assert error.transient is transient
    assert error.__cause__ is None
    assert error.__context__ is None
    everything = text + repr(error) + "".join(traceback.format_exception(error))
    assert [secret for secret in secrets_of(request) if secret in everything] == []


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
GZIP = OK + b"content-encoding: gzip\r\n"

BROKEN = {
    "a reset before the answer": reset,
    "an end before the answer": close,
    "a reset in the middle of the head": then(raw(OK + b"content-le"), reset),
    "an end in the middle of a header": then(raw(OK + b"content-le"), close),
    "an end between two headers": then(raw(OK + b"x-fc-request-id: r-1\r\n"), close),
    "a reset in the middle of the body": then(raw(OK + b"content-length: 9\r\n\r\n{"), reset),
    "an end in the middle of the body": then(raw(OK + b"content-length: 9\r\n\r\n{"), close),
    "an end before the body": then(raw(OK + b"content-length: 9\r\n\r\n"), close),
    "a reset between two chunks": then(raw(CHUNKED + b"2\r\n{}\r\n"), reset),
    "an end between two chunks": then(raw(CHUNKED + b"2\r\n{}\r\n"), close),
    "an end in the middle of a chunk": then(raw(CHUNKED + b"9\r\n{}"), close),
    "an end before the first chunk": then(raw(CHUNKED), close),
    "a chunk without a size": then(raw(CHUNKED + b"size\r\n{}\r\n"), close),
    "a garbled status line": then(raw(b"HTTPS/one 200 OK\r\n\r\n"), close),
    "more garbage than anybody wants to read": then(raw(b"HTTPS/" + b"one " * 1000 + b"\r\n\r\n"), close),
    "a status that is no number": then(raw(b"HTTP/1.1 abc OK\r\n\r\n"), close),
    "something other than HTTP": then(raw(b"\x15\x03\x01\x00\x02\x02\x46 SSH-2.0-OpenSSH\r\n\r\n"), close),
    "a header without an end": then(raw(OK + b"x: " + b"y" * 70_000), close),
    "a length that is no number": then(raw(OK + b"content-length: many\r\n\r\n{}"), reset),
    "a body that is not compressed": then(raw(GZIP + b"content-length: 9\r\n\r\nnot gzip!"), close),
}


@pytest.mark.parametrize("step", BROKEN.values(), ids=list(BROKEN))
def test_a_transport_error_follows(connect, serve, step):
    server = serve(step)
    request = signed(server.origin, query={"prefix": "job-"})

    with pytest.raises(TransportError) as caught:
        connect(server.origin).exchange(request)

    explains(caught.value, request)
    assert len(server.requests) == 1


def test_a_server_that_sends_our_own_request_back_learns_nothing_new_to_log(connect, serve):
    server = serve(lambda connection: connection.send(server.requests[0].head + b"\r\n\r\n"))  # type: ignore[has-type]
    request = signed(server.origin)

    with pytest.raises(TransportError) as caught:
        connect(server.origin).exchange(request)

    explains(caught.value, request)


QUOTES = {
    "a chunk's size": CHUNKED + b"%b\r\n",
    "a length": OK + b"content-length: %b\r\n\r\n",
    "a header's name": OK + b"%b\x00: x\r\n\r\n",
    "a header's value": OK + b"x: \x00%b\r\n\r\n",
    "a line without a colon": OK + b"%b\r\n\r\n",
    "a status": b"HTTP/1.1 %b OK\r\n\r\n",
}


@pytest.mark.parametrize("signature", ["ACS3", "FC"])
@pytest.mark.parametrize("which", [0, 2, 3], ids=["key id", "token", "signature"])
@pytest.mark.parametrize("place", QUOTES.values(), ids=list(QUOTES))
def test_what_a_server_quotes_of_our_request_in_the_wrong_place_is_not_shown(connect, serve, place, which, signature):
    def quote(connection):
        connection.send(place.replace(b"%b", secret.encode()))
        connection.close()

    server = serve(quote)
    request = signed(server.origin, signature=signature)
    secret = secrets_of(request)[which]
    told = "nothing"
    try:
        connect(server.origin).exchange(request)
    except TransportError as error:
        told = "".join(traceback.format_exception(error))

    assert len(server.requests) == 1
    assert secret not in told


def test_a_refused_connection_is_a_transport_error(connect):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
        request = signed(origin)

        with pytest.raises(TransportError, match=r"refused|Connect call failed") as caught:
            connect(origin).exchange(request)

    explains(caught.value, request, advice="nobody listens")


def test_a_name_that_nobody_knows_is_a_transport_error(connect, resolve):
    request = signed(FAR)

    with pytest.raises(TransportError, match="Name or service not known") as caught:
        connect(FAR).exchange(request)

    explains(caught.value, request, advice="unknown host")


@pytest.mark.parametrize("host", ["fc..invalid", f"{'a' * 64}.invalid", "127.0.0.1:99999"])
def test_a_host_that_cannot_be_one_is_a_transport_error(connect, host):
    request = signed(f"http://{host}")

    with pytest.raises(TransportError) as caught:
        connect(f"http://{host}").exchange(request)

    explains(caught.value, request)


def test_a_proxy_that_is_not_there_is_a_transport_error_that_does_not_name_its_password(connect, resolve):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        request = signed(FAR)
        client = connect(FAR, proxy=f"http://user:{PROXY_PASSWORD}@127.0.0.1:{bound.getsockname()[1]}")

        with pytest.raises(TransportError) as caught:
            client.exchange(request)

    explains(caught.value, request, advice="proxy")


def test_https_to_a_server_that_speaks_http_is_a_transport_error(connect, serve):
    server = serve(on_connect=then(raw(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), silence))
    request = signed(f"https://127.0.0.1:{server.port}")

    with pytest.raises(TransportError, match=r"SSL|TLS|WRONG_VERSION") as caught:
        connect(request.origin, connect_timeout=2).exchange(request)

    explains(caught.value, request, advice="no TLS")
    assert server.requests == []


def test_http_to_a_server_that_speaks_tls_is_a_transport_error(connect, serve, authority):
    server = serve(tls=authority.server)
    request = signed(f"http://127.0.0.1:{server.port}")

    with pytest.raises(TransportError) as caught:
        connect(request.origin).exchange(request)

    explains(caught.value, request)


def test_the_reason_is_the_librarys_even_while_another_error_is_being_handled(connect, serve):
    server = serve(reset)
    client = connect(server.origin)

    try:
        raise RuntimeError("an error of the caller's")
    except RuntimeError:
        with pytest.raises(TransportError) as caught:
            client.exchange(signed(server.origin))

    assert "caller" not in str(caught.value)


@pytest.mark.parametrize("value", ["two\r\nlines", "nul\x00", "typographic ’ quote"])
def test_a_header_that_cannot_be_sent_is_an_error_of_ours_that_does_not_show_it(connect, serve, value):
    server = serve()
    request = signed(server.origin, headers={"x-fc-security-token": f"canary-token {value}"})

    with pytest.raises((TransportError, SettingsError)) as caught:
        connect(server.origin).exchange(request)

    assert "canary-token" not in "".join(traceback.format_exception(caught.value))
    assert server.requests == []


# --- time -------------------------------------------------------------------------------------------------------------

FOUND = b"HTTP/1.1 302 Found\r\nlocation: /\r\n"

DRIPS = {
    "its head": drip(OK + b"content-length: 2\r\n\r\n{}"),
    "its body": then(raw(OK + b"content-length: 100\r\n\r\n"), drip(b"." * 100)),
    "its chunks": then(raw(CHUNKED), drip(b"1\r\n.\r\n" * 20)),
    "the size of a chunk": then(raw(CHUNKED), drip(b"0" * 100)),
    "the body of a redirect": then(raw(FOUND + b"content-length: 99\r\n\r\n"), drip(b"." * 99)),
    "nothing": silence,
}


@pytest.mark.parametrize("step", DRIPS.values(), ids=list(DRIPS))
def test_an_exchange_ends_when_its_time_is_up_while_the_server_still_sends(connect, serve, step):
    server = serve(step)
    request = signed(server.origin)
    client = connect(server.origin)

    with takes(0.2, at_most=8), pytest.raises(TransportError) as caught:
        client.exchange(request, timeout=0.2)

    explains(caught.value, request)


def test_an_exchange_ends_when_its_time_is_up_also_when_the_server_has_just_sent_something(connect, serve):
    server = serve(then(raw(OK + b"content-length: 100\r\n\r\n"), drip(b"." * 11), silence))

    with takes(0.6, at_most=8), pytest.raises(TransportError):
        connect(server.origin).exchange(signed(server.origin), timeout=0.6)


def test_the_settings_limit_an_exchange_for_which_no_limit_is_given(connect, serve):
    server = serve(DRIPS["its body"])

    with takes(0.4, at_most=8), pytest.raises(TransportError):
        connect(server.origin, connect_timeout=0.1, read_timeout=0.15).exchange(signed(server.origin))


def test_a_server_that_falls_silent_is_given_up_after_the_read_timeout(connect, serve):
    server = serve(then(raw(OK + b"content-length: 9\r\n\r\n{"), silence))

    with takes(0.2, at_most=8), pytest.raises(TransportError):
        connect(server.origin, read_timeout=0.2).exchange(signed(server.origin))


def test_a_slow_answer_is_waited_for_while_no_pause_is_longer_than_the_read_timeout(connect, serve):
    body = b'{"a": 1}'.ljust(50)
    server = serve(then(raw(OK + b"content-length: 50\r\n\r\n"), drip(body)))

    with takes(2.2, at_most=60):
        assert connect(server.origin, read_timeout=2).exchange(signed(server.origin)).body == body


def test_a_server_that_does_not_shake_hands_is_given_up_after_the_connect_timeout(connect, serve):
    server = serve(on_connect=silence)
    request = signed(f"https://127.0.0.1:{server.port}")

    with takes(0.2, at_most=8), pytest.raises(TransportError) as caught:
        connect(request.origin, connect_timeout=0.2).exchange(request)

    explains(caught.value, request)


def test_a_server_that_does_not_accept_is_given_up_after_the_connect_timeout(connect):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        request = signed(f"http://127.0.0.1:{full.getsockname()[1]}")

        with takes(0.2, at_most=8), pytest.raises(TransportError) as caught:
            connect(request.origin, connect_timeout=0.2).exchange(request)

        for sock in waiting:
            sock.close()
    explains(caught.value, request)


# --- TLS and warnings -------------------------------------------------------------------------------------------------


def test_a_server_whose_authority_is_not_known_is_refused_by_default(connect, serve, authority):
    server = serve(tls=authority.server)
    request = signed(server.origin)

    with pytest.raises(CertificateError, match=r"(?i)certificate.verify.failed") as caught:
        connect(server.origin, verify=True).exchange(request)

    explains(caught.value, request, transient=False)
    assert server.requests == []


def test_what_to_do_about_a_certificate_is_said_with_the_error_which_is_not_retried(connect, serve, authority, slept):
    server = serve(tls=authority.server)
    client = connect(server.origin, verify=True)

    with pytest.raises(
        CertificateError, match=r"extra\.verify or in one of the variables REQUESTS_CA_BUNDLE, CURL_CA_BU"
    ):
        client.run(call(GetInvocation(function_ref("resize"), "job-1"), client.context))

    assert slept == []


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the variables that name authorities, and no others."""

    def trust(**variables: object) -> None:
        for name in CA_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return trust


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_the_authorities_of_the_environment_are_trusted(connect, serve, authority, trusting, variable):
    server = serve(tls=authority.server)
    trusting(**{variable: authority.ca})

    assert connect(server.origin, verify=True).exchange(signed(server.origin)).status == 200


def test_the_first_variable_that_names_authorities_counts_as_with_requests(connect, serve, authority, trusting):
    server = serve(tls=authority.server)

    trusting(REQUESTS_CA_BUNDLE="", CURL_CA_BUNDLE=authority.ca, SSL_CERT_FILE=certifi.where())
    assert connect(server.origin, verify=True).exchange(signed(server.origin)).status == 200
    trusting(REQUESTS_CA_BUNDLE=certifi.where(), CURL_CA_BUNDLE=authority.ca)
    with pytest.raises(CertificateError):
        connect(server.origin, verify=True).exchange(signed(server.origin))


def subject_hash(ca: Path) -> str:
    """The name under which OpenSSL looks for an authority in a directory: SHA-1 of the canonical subject."""
    subject = x509.load_pem_x509_certificate(ca.read_bytes()).subject
    text = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).lower().encode()
    value = bytes([0x0C, len(text)]) + text
    pair = bytes([0x06, 3, 0x55, 0x04, 0x03]) + value
    sequence = bytes([0x30, len(pair)]) + pair
    canonical = bytes([0x31, len(sequence)]) + sequence
    return f"{int.from_bytes(hashlib.sha1(canonical).digest()[:4], 'little'):08x}"


def test_a_directory_of_authorities_can_be_named_as_with_requests(connect, serve, authority, trusting, tmp_path):
    server = serve(tls=authority.server)
    (tmp_path / f"{subject_hash(authority.ca)}.0").write_bytes(authority.ca.read_bytes())
    trusting(REQUESTS_CA_BUNDLE=tmp_path)

    assert connect(server.origin, verify=True).exchange(signed(server.origin)).status == 200


def test_what_the_connection_says_of_authorities_wins_over_the_environment(connect, serve, authority, trusting):
    server = serve(tls=authority.server)
    trusting(REQUESTS_CA_BUNDLE=certifi.where())

    for verify in (str(authority.ca), False):
        assert connect(server.origin, verify=verify).exchange(signed(server.origin)).status == 200


@pytest.mark.parametrize("variable", CA_VARIABLES)
def test_a_variable_that_names_no_authorities_is_named(connect, serve, trusting, tmp_path, variable):
    server = serve()
    trusting(**{variable: tmp_path / "missing.pem"})

    with pytest.raises(SettingsError, match=rf"the variable {variable}: '.*missing\.pem' cannot be read"):
        connect(server.origin, verify=True).exchange(signed(server.origin))


def test_an_ipv6_address_is_reached(connect):
    with HTTPServer6(("::1", 0), AnswersOk) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        request = signed(f"http://[::1]:{server.server_port}")

        assert connect(request.origin).exchange(request).status == 200


class HTTPServer6(HTTPServer):
    address_family = socket.AF_INET6
    timeout = 10


class AnswersOk(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None: ...


def test_verify_names_the_authority_to_trust(connect, serve, authority):
    server = serve(tls=authority.server)
    client = connect(server.origin, verify=str(authority.ca))

    assert client.exchange(signed(server.origin)).status == 200
    assert client.exchange(signed(server.origin)).status == 200
    assert server.accepted == 1


def test_a_trusted_authority_does_not_make_up_for_the_wrong_name(connect, serve, authority, resolve):
    server = serve(tls=authority.server)
    resolve("other.example.invalid")
    request = signed(f"https://other.example.invalid:{server.port}")

    with pytest.raises(CertificateError, match=r"other\.example\.invalid"):
        connect(request.origin, verify=str(authority.ca)).exchange(request)

    assert server.requests == []


def test_without_verification_any_server_is_taken_and_that_is_said_once(connect, serve, authority, caplog):
    server = serve(tls=authority.server)

    for conn_id in ("one", "one", "two"):
        client = connect(server.origin, verify=False, conn_id=f"{caplog.handler!r} {conn_id}")
        client.exchange(signed(server.origin))
        client.exchange(signed(server.origin))

    assert len(server.requests) == 6
    assert [record.message.endswith("(verify is false)") for record in warnings_of(caplog)] == [True, True]


def test_http_to_another_machine_is_warned_about_once(connect, serve, resolve, caplog):
    server = serve()
    resolve("fc.example.invalid")
    origin = f"{FAR}:{server.port}"
    client = connect(origin)

    client.exchange(signed(origin))
    client.exchange(signed(origin))
    connect(server.origin).exchange(signed(server.origin))

    assert len(warnings_of(caplog)) == 1
    assert f"signed requests to {origin} without encryption" in warnings_of(caplog)[0].message


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("content", [None, b"", b"not a certificate"])
def test_a_file_that_holds_no_authority_is_a_mistake_in_the_connection(connect, serve, tmp_path, content):
    server = serve()
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError, match=f"verify.*{path}"):
        connect(server.origin, verify=str(path)).exchange(signed(server.origin))

    assert server.requests == []


@pytest.mark.parametrize("signature", ["FC", "ACS3"])
@pytest.mark.parametrize("step", [answer(), reset, answer(401)])
def test_no_log_shows_a_secret(connect, serve, caplog, signature, step):
    caplog.set_level(logging.DEBUG)
    server = serve(step)
    request = signed(server.origin, signature=signature)
    client = connect(server.origin)

    try:
        client.exchange(request)
    except TransportError as error:
        logging.getLogger(__name__).exception("failed: %r", error)

    shown = caplog.text + repr(client) + repr(settings_for(server.origin))
    assert [secret for secret in secrets_of(request) if secret in shown] == []


# What many requests to the same server cost


def test_many_requests_use_one_connection_and_find_their_way_once(connect, serve, monkeypatch, kind):
    module = sync if kind is Blocking else aio
    asked = []
    find = module.proxy_for
    monkeypatch.setattr(module, "proxy_for", lambda settings, origin: asked.append(origin) or find(settings, origin))
    server = serve()
    client = connect(server.origin)

    for _ in range(20):
        client.exchange(signed(server.origin))

    assert server.accepted == 1
    assert asked == [server.origin]
