"""Sends requests without a client library that would rewrite them."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from airflow_provider_fc.core.http import HttpRequest, HttpResponse


def send(request: HttpRequest, target: str | None = None) -> HttpResponse:
    """Put exactly this target and these headers on the wire."""
    connection = http.client.HTTPConnection(urlsplit(request.origin).netloc, timeout=60)
    try:
        connection.putrequest(request.method, target or request.target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"host": request.host, **request.headers, "content-length": len(request.body)}.items():
            connection.putheader(name, str(value))
        connection.endheaders(request.body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return HttpResponse(response.status, headers, response.read())
    finally:
        connection.close()
