"""HTTP messages as values, and the one place that percent-encodes what goes on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote


# The same few texts stand in every request of a listing.
@lru_cache(maxsize=1024)
def percent_encode(text: str) -> str:
    """Encode as RFC 3986 wants it: everything but letters, digits and ``-._~`` (a space is ``%20``, never ``+``)."""
    return quote(text, safe="~")


@lru_cache(maxsize=256)
def encode_path(path: str) -> str:
    """Percent-encode a decoded path, keeping its slashes."""
    return quote(path, safe="/~")


def encode_query(parameters: Mapping[str, str]) -> str:
    """Percent-encode query parameters, sorted by name: the order in which both signatures read them.

    Sorting what is sent as well as what is signed keeps the two texts identical.
    """
    return "&".join(f"{percent_encode(name)}={percent_encode(parameters[name])}" for name in sorted(parameters))


@lru_cache(maxsize=16)
def http_date(text: str | None) -> datetime | None:
    """Read a ``Date``-like header as UTC; ``None`` when it is absent or unreadable."""
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request before or after signing.

    :param method: upper case.
    :param origin: scheme and authority without a trailing slash, for example ``https://fcv3.cn-hangzhou.aliyuncs.com``.
    :param path: decoded path, starting with a slash.
    :param query: decoded parameters; empty values are left out by whoever builds the request, because servers and
        official SDKs disagree on how to sign them (fc-api: alibabacloud_gateway_fc signs ``k``, tea_openapi ``k=``).
    :param headers: names in lower case.
    """

    method: str
    origin: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def host(self) -> str:
        """The authority: what the ``Host`` header says."""
        return self.origin.partition("://")[2]

    @property
    def target(self) -> str:
        """Percent-encoded path and query: these bytes are signed and must reach the wire unchanged."""
        query = encode_query(self.query)
        return encode_path(self.path) + (f"?{query}" if query else "")

    @property
    def url(self) -> str:
        return self.origin + self.target


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete response: the body has been read and its length checked by the transport.

    :param headers: names in lower case.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
