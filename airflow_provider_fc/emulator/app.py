"""A pure Function Compute: request in, response out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import msgspec

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator import tokens
from airflow_provider_fc.emulator.auth import Verifier
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.generations import Generation, Operation, Route, find_route
from airflow_provider_fc.emulator.invocations import InvocationView
from airflow_provider_fc.emulator.listing import Query
from airflow_provider_fc.emulator.parameters import Parameters
from airflow_provider_fc.emulator.state import FunctionComputeState

ACCESS_KEY_ID = "emulator-key-id"
ACCESS_KEY_SECRET = "emulator-key-secret"  # plainly fake: nothing else in the world accepts it
REQUESTS_KEPT = 100_000


class RequestRecord(msgspec.Struct, frozen=True):
    """A request the emulator has answered: no secret, no payload.

    :param operation: ``List``, ``Get``, ``Stop``, ``Invoke``, or ``""`` for a path the API does not have.
    :param parameters: path parts by their meaning (``function``, ``service``, ``qualifier``, ``id``; or ``method`` and
        ``path`` themselves), the query and the headers of an invocation by their names on the wire.
    :param code: the error code of a refused one.
    :param at: epoch ms.
    """

    operation: str
    generation: str
    parameters: Mapping[str, str]
    status: int
    code: str
    request_id: str
    at: int


@dataclass(frozen=True)
class Call:
    """A request that was understood and allowed."""

    request: HttpRequest
    request_id: str
    route: Route
    parameters: Parameters

    @property
    def generation(self) -> Generation:
        return self.route.generation

    @property
    def service(self) -> str:
        return self.route.names.get("service", "")

    @property
    def function(self) -> str:
        return self.route.names["function"]

    @property
    def id(self) -> str:
        return self.route.names["id"]

    @property
    def qualifier(self) -> str | None:
        if self.generation.qualifier_in_path:
            return self.route.names.get("qualifier")
        return self.parameters.text("qualifier")


class FunctionComputeApp:
    """Answers signed requests of the three API generations.

    :param state: what there is to answer about; its clock is the server's.
    :param access_key_id: with ``access_key_secret`` the only valid key pair.
    :param security_token: the token every request has to carry.
    :param on_request: told of every request that was answered.
    """

    def __init__(
        self,
        state: FunctionComputeState | None = None,
        *,
        access_key_id: str = ACCESS_KEY_ID,
        access_key_secret: str = ACCESS_KEY_SECRET,
        security_token: str | None = None,
        region: str = "cn-hangzhou",
        account_id: str = "123456789",
        on_request: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self.state = state if state is not None else FunctionComputeState()
        self.requests: deque[RequestRecord] = deque(maxlen=REQUESTS_KEPT)
        self._on_request = on_request
        self._arn = f"acs:fc:{region}:{account_id}:functions/"
        self._verifier = Verifier(Credentials(access_key_id, access_key_secret, security_token), self.state.clock)
        self._handlers: dict[Operation, Callable[[Call], HttpResponse]] = {
            "List": self._list,
            "Get": self._get,
            "Stop": self._stop,
            "Invoke": self._invoke,
        }

    @property
    def credentials(self) -> Credentials:
        """What requests are checked against; set it to rotate the keys."""
        return self._verifier.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self._verifier.credentials = credentials

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request: ``path`` and ``query`` as decoded from the raw target, header names in lower case."""
        route = find_route(request.method, request.path)
        request_id = self.state.new_id()
        code = ""
        try:
            response = self._answer(Call(request, request_id, route, Parameters(request.query)))
        except Refusal as refusal:
            code = route.generation.codes.get(refusal.code, refusal.code)
            response = _error(route.generation, refusal.status, code, refusal.message, request_id)
        self._record(request, route, response.status, code, request_id)
        headers = {"x-fc-request-id": request_id, "date": self._date(), **response.headers}
        return HttpResponse(response.status, headers, response.body)

    def _answer(self, call: Call) -> HttpResponse:
        operation = call.route.operation
        if operation is None:
            raise Refusal("PathNotSupported", f"{call.request.method} {call.request.path} is not part of the API")
        self._verifier.check(call.request, call.generation.version, call.generation.actions[operation])
        return self._handlers[operation](call)

    def _list(self, call: Call) -> HttpResponse:
        read, generation = call.parameters, call.generation
        query = Query(
            service=call.service,
            function=call.function,
            qualifier=call.qualifier,
            prefix=read.text(generation.prefix_parameter) or "",
            status=read.text("status"),
            started_from=read.number("startedTimeBegin"),
            started_to=read.number("startedTimeEnd"),
            order=read.order("sortOrderByTime", self.state.switches.default_order),
        )
        limit = read.number("limit", generation.default_limit, lowest=1, highest=100)
        token = read.text("nextToken")
        payloads = read.flag("includePayload")
        page = self.state.list_page(
            query, limit=limit, after=tokens.decode(token, query) if token else None, payloads=payloads
        )
        items = [self._item(generation, item, payloads=payloads) for item in page.items]
        body = {
            generation.envelope: items or generation.empty_list,
            "nextToken": generation.last_token if page.following is None else tokens.encode(page.following, query),
        }
        return _json(200, {key: value for key, value in body.items() if value is not ...})

    def _get(self, call: Call) -> HttpResponse:
        shown = self.state.get(call.service, call.function, call.id, qualifier=call.qualifier)
        return _json(200, self._item(call.generation, shown, payloads=True))

    def _stop(self, call: Call) -> HttpResponse:
        self.state.stop(call.service, call.function, call.id, qualifier=call.qualifier)
        return HttpResponse(call.generation.stop_status)

    def _invoke(self, call: Call) -> HttpResponse:
        headers = Parameters(call.request.headers)
        if headers.text("x-fc-invocation-type") != "Async":
            raise Refusal(
                "InvalidArgument", "only asynchronous invocations exist here: send x-fc-invocation-type: Async"
            )
        id = self.state.submit(
            call.service,
            call.function,
            qualifier=call.qualifier,
            id=headers.text(call.generation.id_header),
            payload=call.request.body,
            delay=headers.number("x-fc-async-delay", 0, lowest=0, highest=3600),
            request_id=call.request_id,
        )
        return HttpResponse(202, {call.generation.id_header: id})

    def _item(self, generation: Generation, shown: InvocationView, *, payloads: bool) -> dict[str, Any]:
        values = msgspec.structs.asdict(shown) | {"function_arn": self._arn + shown.function}
        fields = {**generation.fields, **(generation.payload_fields if payloads else {})}
        return {wire: values[name] for wire, name in fields.items()}

    def _record(self, request: HttpRequest, route: Route, status: int, code: str, request_id: str) -> None:
        record = RequestRecord(
            operation=route.operation or "",
            generation=route.generation.version,
            parameters=_recorded(request, route),
            status=status,
            code=code,
            request_id=request_id,
            at=self.state.now,
        )
        self.requests.append(record)
        if self._on_request is not None:
            self._on_request(record)

    def _date(self) -> str:
        return format_datetime(datetime.fromtimestamp(self.state.clock(), UTC), usegmt=True)


_RECORDED_HEADERS = (
    "x-fc-invocation-type",
    "x-fc-stateful-async-invocation-id",
    "x-fc-async-task-id",
    "x-fc-async-delay",
)


def _recorded(request: HttpRequest, route: Route) -> dict[str, str]:
    where = route.names if route.operation else {"method": request.method, "path": request.path}
    # A URL can carry a signature and a token in parameters of these names.
    query = {name: text for name, text in request.query.items() if not name.lower().startswith("x-")}
    sent = {name: request.headers[name] for name in _RECORDED_HEADERS if name in request.headers}
    return {**where, **query, **sent}


def _json(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, msgspec.json.encode(body))


def _error(generation: Generation, status: int, code: str, message: str, request_id: str) -> HttpResponse:
    return _json(status, dict(zip(generation.error_keys, (code, message, request_id), strict=False)))
