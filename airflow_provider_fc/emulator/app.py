"""A pure Function Compute: request in, response out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator import responses, tokens
from airflow_provider_fc.emulator.auth import Verifier
from airflow_provider_fc.emulator.delivery import Delivery
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.faults import Arrival, Asked, FaultRule
from airflow_provider_fc.emulator.generations import Generation, Operation, Route, find_route
from airflow_provider_fc.emulator.injector import FaultInjector, FaultReport, Interference
from airflow_provider_fc.emulator.listing import Page, Query
from airflow_provider_fc.emulator.parameters import Parameters
from airflow_provider_fc.emulator.records import RequestRecord, parameters_of
from airflow_provider_fc.emulator.schema import NewFaults, listed, read
from airflow_provider_fc.emulator.state import FunctionComputeState

ACCESS_KEY_ID = "emulator-key-id"
ACCESS_KEY_SECRET = "emulator-key-secret"  # plainly fake: nothing else in the world accepts it
REQUESTS_KEPT = 100_000


@dataclass(frozen=True)
class Call:
    """A request that was understood and allowed."""

    request: HttpRequest
    request_id: str
    route: Route
    parameters: Parameters
    faults: Interference

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

    The others are those of ``FunctionComputeEmulator``.
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
        self._injector = FaultInjector()
        self._arn = f"acs:fc:{region}:{account_id}:functions/"
        self._verifier = Verifier(Credentials(access_key_id, access_key_secret, security_token), self.state.clock)
        self._handlers: dict[Operation, Callable[[Call], HttpResponse]] = {
            "List": self._list,
            "Get": self._get,
            "Stop": self._stop,
            "Invoke": self._invoke,
            "Config": self._config,
        }

    @property
    def credentials(self) -> Credentials:
        """What requests are checked against; set it to rotate the keys."""
        return self._verifier.credentials

    @credentials.setter
    def credentials(self, credentials: Credentials) -> None:
        self._verifier.credentials = credentials

    @property
    def faults(self) -> list[FaultReport]:
        """The rules in force, with how often each has acted."""
        return self._injector.reports

    def add_faults(self, faults: Iterable[FaultRule | Mapping[str, Any]]) -> None:
        """Let things go wrong from now on.

        :raises SchemaError: a key or value is wrong; then none is added.
        """
        self._injector.add(read({"faults": listed("faults", faults)}, NewFaults).faults, self.state.clock())

    def clear_faults(self) -> None:
        """Let nothing go wrong any more."""
        self._injector.clear()

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request: ``path`` and ``query`` as decoded from the raw target, header names in lower case.

        :raises ConnectionResetError: a fault keeps the answer from arriving whole. One that takes time does nothing.
        """
        response, delivery = self.exchange(request)
        if not delivery.arrives:
            raise ConnectionResetError("a fault injected into the emulator broke the connection")
        return response

    def exchange(self, request: HttpRequest) -> tuple[HttpResponse, Delivery]:
        """Answer one request, and say how the response is to travel."""
        route = find_route(request.method, request.path)
        faults = self._injector.meet(_arrival(request, route, self.state.clock()))
        request_id = self.state.new_id()
        code = ""
        try:
            faults.refuse()
            response = self._answer(Call(request, request_id, route, Parameters(request.query), faults))
        except Refusal as refusal:
            code = route.generation.codes.get(refusal.code, refusal.code)
            response = responses.error(route.generation, refusal, code, request_id)
        headers = {"x-fc-request-id": request_id, "date": _date(faults.server_time), **response.headers}
        response = faults.alter(HttpResponse(response.status, headers, response.body))
        delivery = faults.deliver(response)
        self._record(request, route, response.status, code, request_id, faults.fired)
        return response, delivery

    def _answer(self, call: Call) -> HttpResponse:
        operation = call.route.operation
        if operation is None:
            raise Refusal("PathNotSupported", f"{call.request.method} {call.request.path} is not part of the API")
        generation, now = call.generation, call.faults.server_time
        self._verifier.check(call.request, generation.version, generation.actions[operation], now)
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
        start, turn = tokens.decode(token, query) if token else (None, 0)

        def fetch(asked: Asked) -> Page:
            return self.state.list_page(
                query, limit=asked.limit, after=asked.start, payloads=payloads, lens=call.faults.lens
            )

        page = call.faults.page(Asked(start, turn, limit), fetch)
        return responses.page(generation, page, query, self._arn, payloads=payloads)

    def _get(self, call: Call) -> HttpResponse:
        shown = self.state.get(call.service, call.function, call.id, qualifier=call.qualifier, lens=call.faults.lens)
        return responses.invocation(call.generation, shown, self._arn)

    def _stop(self, call: Call) -> HttpResponse:
        self.state.stop(call.service, call.function, call.id, qualifier=call.qualifier, lens=call.faults.lens)
        return HttpResponse(call.generation.stop_status)

    def _invoke(self, call: Call) -> HttpResponse:
        headers = Parameters(call.request.headers)
        if headers.text("x-fc-invocation-type") != "Async":
            raise Refusal(
                "InvalidArgument", "only asynchronous invocations exist here: send x-fc-invocation-type: Async"
            )
        switches, asked_for = self.state.switches, headers.text(call.generation.enable_header) == "true"
        at_once = call.function in switches.runs_synchronously
        id = self.state.submit(
            call.service,
            call.function,
            qualifier=call.qualifier,
            id=headers.text(call.generation.id_header),
            payload=call.request.body,
            delay=headers.number("x-fc-async-delay", 0, lowest=0, highest=3600),
            request_id=call.request_id,
            recorded=not at_once and (asked_for or switches.keeps_records(call.function)),
        )
        return HttpResponse(200) if at_once else HttpResponse(202, {call.generation.id_header: id})

    def _config(self, call: Call) -> HttpResponse:
        self.state.check_function(call.service, call.function)
        switches = self.state.switches
        on = switches.keeps_records(call.function)
        if switches.unconfigured and not on:
            raise Refusal("AsyncConfigNotExists", f"function {call.function!r} has no asynchronous configuration")
        return responses.task_mode(call.generation, on=on)

    def _record(
        self, request: HttpRequest, route: Route, status: int, code: str, request_id: str, faults: tuple[str, ...]
    ) -> None:
        record = RequestRecord(
            operation=route.operation or "",
            generation=route.generation.version,
            parameters=parameters_of(request, route),
            status=status,
            code=code,
            request_id=request_id,
            at=self.state.now,
            faults=faults,
        )
        self.requests.append(record)
        if self._on_request is not None:
            self._on_request(record)


def _arrival(request: HttpRequest, route: Route, now: float) -> Arrival:
    headers = request.headers
    return Arrival(
        operation=route.operation,
        function=route.names.get("function", ""),
        id=route.names.get("id") or headers.get(route.generation.id_header, ""),
        status_filter=request.query.get("status", ""),
        continued=bool(request.query.get("nextToken")),
        security_token=headers.get("x-acs-security-token") or headers.get("x-fc-security-token", ""),
        now=now,
        server_time=now,
    )


def _date(seconds: float) -> str:
    return format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
