"""Reads a request as it stands on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from airflow_provider_fc.core.http import HttpRequest

# Requests through a proxy name the whole address; every server has to take that form (RFC 9112, 3.2.2).
_ORIGIN = re.compile(r"\Ahttps?://[^/?]*", re.IGNORECASE)


def read_request(method: str, target: str, headers: Mapping[str, str], body: bytes) -> HttpRequest:
    """Read a request; no URL library may have touched the target, since it would normalise what was signed."""
    path, _, query = _ORIGIN.sub("", target).partition("?")
    names = {name.lower(): _clean(value) for name, value in headers.items()}
    return HttpRequest(
        method=method,
        origin=f"http://{names.get('host', '')}",
        path=unquote(path, errors="replace"),
        # Like every server's, this reads "+" as a space; the official SDKs send it so and sign %20.
        query=dict(parse_qsl(query, keep_blank_values=True, errors="replace")),
        headers=names,
        body=body,
    )


def _clean(header: str) -> str:
    """Make a header text that can be hashed: aiohttp keeps undecodable bytes as lone surrogates."""
    return header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
