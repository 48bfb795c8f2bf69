"""The four operations as values: what each one asks, and how its answer is read.

Sources: pages "ListStatefulAsyncInvocations", "GetStatefulAsyncInvocation", "StopStatefulAsyncInvocation",
"InvokeFunction" (2016-08-15 and 2021-04-06), "ListAsyncTasks", "GetAsyncTask", "StopAsyncTask" (2023-03-30).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.decoding import read_invocation, read_page
from airflow_provider_fc.core.errors import FunctionComputeError, MalformedBodyError, NoRecordError, ParameterError
from airflow_provider_fc.core.http import HttpRequest, HttpResponse, http_date
from airflow_provider_fc.core.invocations import Invocation, is_terminal
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE
from airflow_provider_fc.core.payload import encode_payload

Order = Literal["asc", "desc"]

T_co = TypeVar("T_co", covariant=True)


class Operation(Protocol[T_co]):
    """One API call as a value."""

    @property
    def function(self) -> FunctionRef: ...

    @property
    def kind(self) -> str:
        """Key into :attr:`Api.actions`."""

    @property
    def repeatable(self) -> bool:
        """Whether sending it twice does no more than sending it once."""

    def request(self, origin: str) -> HttpRequest: ...

    def read(self, response: HttpResponse) -> T_co:
        """Read the answer of a call that succeeded (any 2xx)."""


class Page(msgspec.Struct, frozen=True):
    """One page of a listing.

    :param next_token: ``None`` on the last page (servers leave the token out, or send an empty one).
    :param server_time: the answer's own ``Date`` in epoch ms, where it had one.
    """

    items: list[Invocation]
    next_token: str | None
    server_time: int | None


class ListInvocations(msgspec.Struct, frozen=True):
    """Which invocations of a function to list, and one page of them as a call.

    :param prefix: ids must start with it.
    :param statuses: any of these; all by default. Servers take one at most, so several are sorted out here.
    :param started_after: epoch ms, inclusive; what the server shows without a start time passes.
    :param started_before: likewise.
    :param order: by start time; always sent by the callers that depend on it, since the default is not documented.
    :param page_size: 1 to 100.
    :param token: of the page before; all else must stay the same while the pages are read.
    """

    function: FunctionRef
    prefix: str | None = None
    statuses: tuple[str, ...] = ()
    started_after: int | None = None
    started_before: int | None = None
    order: Order | None = None
    include_payload: bool = False
    page_size: int = MAX_PAGE_SIZE
    token: str | None = None

    kind: ClassVar[str] = "list"
    repeatable: ClassVar[bool] = True

    @classmethod
    def from_parameters(cls, function: FunctionRef, *, limit: int | None = None, **filters: object) -> ListInvocations:
        """Check the filters that the hooks' ``list_invocations`` takes.

        :param limit: no more than so many are wanted.
        :raises ParameterError: names the parameter and the fix.
        """
        rows = ((*FILTERS[name], name, value) for name, value in filters.items())
        operation = cls(function, **{field: check(name, value) for field, check, name, value in rows})
        if operation.started_after is not None and not operation._in_window(operation.started_after):
            raise ParameterError(
                "started_after", "is later than started_before, so nothing can match; exchange the two?"
            )
        if limit is None or operation.sorted_here:
            return operation
        return replace(operation, page_size=max(min(operation.page_size, limit), 1))

    def request(self, origin: str) -> HttpRequest:
        api = self.function.api
        # Whether the server includes the bounds is not documented: ask for a millisecond more, pick() cuts.
        query = {
            api.prefix_parameter: self.prefix,
            "status": self.statuses[0] if len(self.statuses) == 1 else None,
            "startedTimeBegin": None if self.started_after is None else max(self.started_after - 1, 0),
            "startedTimeEnd": None if self.started_before is None else self.started_before + 1,
            "sortOrderByTime": self.order,
            "includePayload": "true" if self.include_payload else None,
            "limit": self.page_size,
            "nextToken": self.token,
        }
        given = {name: str(value) for name, value in query.items() if value not in (None, "")}
        path = f"{self.function.path}/{api.collection}"
        return HttpRequest("GET", origin, path, {**self.function.query, **given}, _ACCEPT)

    def read(self, response: HttpResponse) -> Page:
        items, next_token = read_page(self.function.api, response.body)
        return Page(items, next_token, _server_time(response))

    def with_token(self, token: str) -> ListInvocations:
        return replace(self, token=token)

    @property
    def sorted_here(self) -> bool:
        """Whether the server cannot filter the statuses, so that a page of its may hold none of those wanted."""
        return len(self.statuses) > 1 and (self.order is not None or not all(map(is_terminal, self.statuses)))

    def listings(self) -> list[ListInvocations]:
        """Split it into listings that follow each other.

        Final statuses never change, so that each can have a listing that the server filters. As soon as one of several
        can change there is a single listing of everything, sorted out here: what moves between two filtered ones would
        be in neither. With an order, too: one listing is in order, several would have to be merged.
        """
        if len(self.statuses) < 2 or self.sorted_here:
            return [self]
        return [replace(self, statuses=(status,)) for status in self.statuses]

    def pick(self, items: list[Invocation]) -> list[Invocation]:
        """Pick out of what the server sent what was asked for: it may ignore any filter."""
        if self.prefix:
            items = [item for item in items if item.invocation_id.startswith(self.prefix)]
        if self.statuses:
            items = [item for item in items if item.status in self.statuses]
        if self.started_after is not None or self.started_before is not None:
            items = [item for item in items if item.started_time is None or self._in_window(item.started_time)]
        return items

    def _in_window(self, started: int) -> bool:
        after = self.started_after is None or started >= self.started_after
        return after and (self.started_before is None or started <= self.started_before)


def _order(name: str, value: object) -> Order | None:
    return parameters.choice(name, value, get_args(Order)) if parameters.is_given(name, value) else None


def _page_size(name: str, value: object) -> int:
    return parameters.whole_number(name, value, at_least=1, at_most=MAX_PAGE_SIZE) or MAX_PAGE_SIZE


FILTERS: dict[str, tuple[str, Callable[[str, object], Any]]] = {
    "invocation_id_prefix": ("prefix", parameters.id_prefix),
    "statuses": ("statuses", parameters.statuses),
    "started_after": ("started_after", parameters.epoch_ms),
    "started_before": ("started_before", parameters.epoch_ms),
    "order": ("order", _order),
    "include_payload": ("include_payload", parameters.boolean),
    "page_size": ("page_size", _page_size),
}
"""The hooks' parameters: the field of :class:`ListInvocations` that each becomes, and how it is checked."""


class GetInvocation(msgspec.Struct, frozen=True):
    """Read the record of one invocation."""

    function: FunctionRef
    invocation_id: str

    kind: ClassVar[str] = "get"
    repeatable: ClassVar[bool] = True

    @classmethod
    def from_parameters(cls, function: FunctionRef, invocation_id: object) -> GetInvocation:
        """Check the hooks' parameters."""
        return cls(function, parameters.invocation_id("invocation_id", invocation_id))

    def request(self, origin: str) -> HttpRequest:
        return HttpRequest("GET", origin, _item_path(self.function, self.invocation_id), self.function.query, _ACCEPT)

    def read(self, response: HttpResponse) -> Invocation:
        invocation = read_invocation(self.function.api, response.body)
        if invocation.invocation_id != self.invocation_id:
            raise MalformedBodyError(f"asked for {self.invocation_id!r}, got {invocation.invocation_id!r}")
        return invocation


class StopInvocation(msgspec.Struct, frozen=True):
    """End one invocation that is queued or running."""

    function: FunctionRef
    invocation_id: str

    kind: ClassVar[str] = "stop"
    repeatable: ClassVar[bool] = True

    @classmethod
    def from_parameters(cls, function: FunctionRef, invocation_id: object) -> StopInvocation:
        """Check the hooks' parameters."""
        return cls(function, parameters.invocation_id("invocation_id", invocation_id))

    def request(self, origin: str) -> HttpRequest:
        path = _item_path(self.function, self.invocation_id) + self.function.api.stop_suffix
        return HttpRequest("PUT", origin, path, self.function.query, _ACCEPT)

    def read(self, response: HttpResponse) -> None:
        """Read nothing: nothing is documented in the answer; 200, 204 and ``{}`` all occur."""


class Accepted(msgspec.Struct, frozen=True):
    """FC has taken an invocation.

    :param request_id: equals the ``request_id`` of the invocation itself (fc-java-sdk's live test).
    """

    invocation_id: str
    request_id: str | None


class Invoke(msgspec.Struct, frozen=True):
    """Start one invocation asynchronously.

    :param invocation_id: without one FC makes one up, and a repeated call would run the function twice.
    :param delay: seconds FC holds it back, 0 to 3600.
    """

    function: FunctionRef
    payload: bytes = b""
    invocation_id: str | None = None
    delay: int | None = None

    kind: ClassVar[str] = "invoke"

    @classmethod
    def from_parameters(
        cls, function: FunctionRef, payload: object = None, *, invocation_id: object = None, delay: object = None
    ) -> Invoke:
        """Check the hooks' and the operator's parameters.

        An invocation always gets an id, so that a repeated submission can never run the function twice.
        """
        given = parameters.is_given("invocation_id", invocation_id)
        return cls(
            function,
            payload=encode_payload(payload),
            invocation_id=parameters.new_invocation_id("invocation_id", invocation_id)
            if given
            else f"airflow-{uuid4().hex}",
            delay=parameters.delay("delay", delay),
        )

    @property
    def repeatable(self) -> bool:
        return self.invocation_id is not None

    def request(self, origin: str) -> HttpRequest:
        api = self.function.api
        headers = {**_ACCEPT, "content-type": "application/octet-stream", "x-fc-invocation-type": "Async"}
        if self.invocation_id:
            headers[api.invocation_id_header] = self.invocation_id
        if api.enable_header:
            headers[api.enable_header] = "true"
        if self.delay:
            headers["x-fc-async-delay"] = str(self.delay)
        path = f"{self.function.path}/invocations"
        return HttpRequest("POST", origin, path, self.function.query, headers, self.payload)

    def read(self, response: HttpResponse) -> Accepted:
        # The header that returns the id is not documented for FC 3.0, so every known spelling is looked for.
        named = next(filter(None, (response.headers.get(name) for name in _INVOCATION_ID_HEADERS)), None)
        if response.status != _ACCEPTED and not named:
            raise self._not_accepted(response)
        request_id = response.headers.get("x-fc-request-id")
        # Without any id of its own an invocation is known by its request id (page "Task deduplication").
        invocation_id = self.invocation_id or named or request_id
        if not invocation_id:
            raise MalformedBodyError("the answer names neither the invocation nor the request")
        return Accepted(invocation_id, request_id)

    def _not_accepted(self, response: HttpResponse) -> FunctionComputeError:
        """Tell a function that has run from a proxy's answer, after which the invocation may be sent again."""
        status, function = response.status, self.function
        if not any(name.startswith(_OWN_HEADERS) for name in response.headers):
            return MalformedBodyError(f"HTTP {status} without a request id is not Function Compute's answer")
        action = function.api.actions[self.kind]
        failed = response.headers.get("x-fc-error-type")
        request_id = response.headers.get("x-fc-request-id") or response.headers.get("x-acs-request-id")
        end = f" and ended with {failed}" if failed else ""
        return NoRecordError(
            f"{action}: HTTP {status} instead of {_ACCEPTED}: {function.function_name} has run "
            f"synchronously{end}, and there is no record of it. It has an HTTP trigger, or is not in asynchronous task "
            f"mode; {function.api.how_to_keep_records} "
            f"[request id {request_id or 'unknown'}]"
        )


_ACCEPTED = 202
"""Any other 2xx means that the invocation was not queued (page "HTTP triggers", asynchronous invocation)."""

_OWN_HEADERS = ("x-fc-", "x-acs-")

_ACCEPT = {"accept": "application/json"}

_INVOCATION_ID_HEADERS = ("x-fc-stateful-async-invocation-id", "x-fc-async-task-id")


def _item_path(function: FunctionRef, invocation_id: str) -> str:
    return f"{function.path}/{function.api.collection}/{invocation_id}"


def _server_time(response: HttpResponse) -> int | None:
    moment = http_date(response.headers.get("date"))
    return None if moment is None else int(moment.timestamp() * 1000)
