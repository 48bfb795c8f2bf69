"""The control paths under ``/_emulator``: what a test arranges and asks, outside the API."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

import msgspec

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.emulator.app import FunctionComputeApp
from airflow_provider_fc.emulator.schema import NewFaults, NewInvocations, SchemaError, read_json

PREFIX = "/_emulator/"


class ControlPaths:
    """Answers control requests; they carry no signature, so only clients of this machine may send them."""

    def __init__(self, app: FunctionComputeApp) -> None:
        self._app = app
        self._state = app.state
        self._routes: dict[tuple[str, str], Callable[[bytes], object]] = {
            ("POST", "invocations"): self._add_invocations,
            ("GET", "requests"): lambda _: {"requests": list(app.requests)},
            ("DELETE", "requests"): lambda _: app.requests.clear(),
            ("GET", "executions"): lambda _: {"executions": self._state.jobs.executions},
            ("GET", "switches"): lambda _: self._state.switches,
            ("POST", "switches"): self._set_switches,
            ("DELETE", "switches"): lambda _: self._state.reset_switches(),
            ("GET", "faults"): lambda _: {"faults": app.faults},
            ("POST", "faults"): self._add_faults,
            ("DELETE", "faults"): lambda _: app.clear_faults(),
        }

    def handle(self, request: HttpRequest, client: str | None) -> HttpResponse:
        """Answer a request whose path begins with ``PREFIX``.

        :param client: the address it comes from.
        """
        if client is None or not ip_address(client).is_loopback:
            return _json(403, {"error": "control paths answer clients of this machine only"})
        if "origin" in request.headers:  # a browser's, on this machine but not of its user's making
            return _json(403, {"error": "control paths answer no web page: the request carries an Origin header"})
        name = request.path.removeprefix(PREFIX)
        act = self._routes.get((request.method, name))
        if act is None:
            paths = ", ".join(f"{method} {PREFIX}{path}" for method, path in self._routes)
            return _json(404, {"error": f"no {request.method} {request.path}; there are {paths}"})
        if request.body and request.method != "POST":  # to delete one of several, for example, is not possible
            return _json(400, {"error": f"{request.method} {request.path} concerns everything and takes no body"})
        try:
            body = act(request.body)
        except SchemaError as error:
            return _json(400, {"error": str(error)})
        return HttpResponse(204) if body is None else _json(200, body)

    def _add_invocations(self, body: bytes) -> object:
        return {"ids": self._state.add(read_json(body, NewInvocations).invocations)}

    def _add_faults(self, body: bytes) -> object:
        self._app.add_faults(read_json(body, NewFaults).faults)
        return {"faults": self._app.faults}

    def _set_switches(self, body: bytes) -> object:
        return self._state.set_switches(**read_json(body, dict))


def _json(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, msgspec.json.encode(body))
