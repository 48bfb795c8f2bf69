"""What the emulator remembers of a request: no secret, no payload."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.emulator.generations import Route

_HEADERS = (
    "x-fc-invocation-type",
    "x-fc-stateful-async-invocation-id",
    "x-fc-async-task-id",
    "x-fc-async-delay",
)


class RequestRecord(msgspec.Struct, frozen=True, gc=False):
    """A request the emulator has dealt with.

    :param operation: ``List``, ``Get``, ``Stop``, ``Invoke``, or ``""`` for a path the API does not have.
    :param parameters: path parts by their meaning (``function``, ``service``, ``qualifier``, ``id``; or ``method`` and
        ``path`` themselves), the query and the headers of an invocation by their names on the wire.
    :param status: 0 if a fault broke the connection before the request was read.
    :param code: the error code of a refused one.
    :param at: epoch ms.
    :param faults: the names of the faults that hit it.
    """

    operation: str
    generation: str
    parameters: Mapping[str, str]
    status: int
    code: str
    request_id: str
    at: int
    faults: tuple[str, ...] = ()


def parameters_of(request: HttpRequest, route: Route) -> dict[str, str]:
    """Collect what a record may show of a request."""
    where = route.names if route.operation else {"method": request.method, "path": request.path}
    # A URL can carry a signature and a token in parameters of these names.
    query = {name: text for name, text in request.query.items() if not name.lower().startswith("x-")}
    sent = {name: request.headers[name] for name in _HEADERS if name in request.headers}
    return {**where, **query, **sent}
