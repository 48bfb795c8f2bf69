"""The three API generations as one table: paths, parameter names, envelope, field names, error bodies."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from operator import attrgetter
from typing import Any, Literal

from airflow_provider_fc.emulator.invocations import InvocationView

Operation = Literal["List", "Get", "Stop", "Invoke", "Config"]

_SHARED_FIELDS = {
    "qualifier": "qualifier",
    "requestId": "request_id",
    "status": "status",
    "startedTime": "started_time",
    "endTime": "end_time",
    "destinationStatus": "destination_status",
    "alreadyRetriedTimes": "already_retried_times",
    "instanceId": "instance_id",
    "events": "events",
}
_FC2_FIELDS = {
    "functionName": "function",
    "serviceName": "service",
    "invocationId": "id",
    "invocationErrorMessage": "error_message",
    **_SHARED_FIELDS,
}
_FC3_FIELDS = {"functionArn": "function", "taskId": "id", "taskErrorMessage": "error_message", **_SHARED_FIELDS}
_LATER_FIELDS = {"durationMs": "duration_ms"}


Rendering = tuple[tuple[str, ...], Callable[[InvocationView], tuple[Any, ...]]]
"""Names on the wire, and what reads their values; prepared once, since a page shows up to a hundred items."""


def rendering(fields: Mapping[str, str]) -> Rendering:
    return tuple(fields), attrgetter(*fields.values())


@dataclass(frozen=True)
class Generation:
    """One API generation.

    :param function_path: pattern between the version and the operation.
    :param collection: path segment of the invocations; ``stop_suffix`` follows an id in a Stop.
    :param qualifier_in_path: the qualifier follows the service name and a dot; otherwise it is a query parameter.
    :param task_mode_key: says in a function's configuration whether its invocations leave records.
    :param enable_header: with the value ``true`` an Invoke leaves one whatever the configuration says.
    :param empty_list: what a List without a match holds under ``envelope``; ``...`` leaves the key out.
    :param last_token: what the last page says as ``nextToken``; ``...`` leaves the key out.
    :param fields: field on the wire -> attribute of ``InvocationView``.
    :param payload_fields: the same, shown where payloads are.
    :param error_keys: where an error body says code, message and request id.
    :param codes: neutral error code -> this generation's spelling; others are spelled alike everywhere.
    :param actions: the operation's name, as ACS3 requests give it in ``x-acs-action``.
    """

    version: str
    function_path: str
    collection: str
    envelope: str
    prefix_parameter: str
    id_header: str
    default_limit: int
    fields: Mapping[str, str]
    payload_fields: Mapping[str, str]
    error_keys: tuple[str, ...]
    codes: Mapping[str, str]
    actions: Mapping[Operation, str]
    qualifier_in_path: bool = False
    task_mode_key: str = "statefulInvocation"
    enable_header: str = ""
    stop_suffix: str = ""
    stop_status: int = 200
    empty_list: object = None
    last_token: object = ...

    @cached_property
    def without_payloads(self) -> Rendering:
        return rendering(self.fields)

    @cached_property
    def with_payloads(self) -> Rendering:
        return rendering({**self.fields, **self.payload_fields})

    @cached_property
    def routes(self) -> Mapping[tuple[str, Operation], re.Pattern[str]]:
        function = f"/{self.version}{self.function_path}"
        one = rf"{function}/{self.collection}/(?P<id>[^/]+)"
        patterns: dict[tuple[str, Operation], str] = {
            ("GET", "List"): f"{function}/{self.collection}",
            ("GET", "Get"): one,
            ("PUT", "Stop"): one + self.stop_suffix,
            ("POST", "Invoke"): f"{function}/invocations",
            ("GET", "Config"): f"{function}/async-invoke-config",
        }
        return {key: re.compile(pattern) for key, pattern in patterns.items()}


FC_2016 = Generation(
    version="2016-08-15",
    function_path=r"/services/(?P<service>[^/.]+)(?:\.(?P<qualifier>[^/]+))?/functions/(?P<function>[^/]+)",
    qualifier_in_path=True,
    collection="stateful-async-invocations",
    envelope="invocations",
    prefix_parameter="invocationIdPrefix",
    id_header="x-fc-stateful-async-invocation-id",
    default_limit=50,
    fields=_FC2_FIELDS,
    payload_fields={"invocationPayload": "payload"},
    error_keys=("ErrorCode", "ErrorMessage"),
    codes={
        "SignatureWrong": "SignatureNotMatch",
        "InvocationNotFound": "StatefulAsyncInvocationNotFound",
        "InvocationAlreadyExists": "StatefulAsyncInvocationAlreadyExists",
        "InvocationAlreadyCompleted": "StatefulAsyncInvocationAlreadyCompleted",
    },
    actions={
        "List": "ListStatefulAsyncInvocations",
        "Get": "GetStatefulAsyncInvocation",
        "Stop": "StopStatefulAsyncInvocation",
        "Invoke": "InvokeFunction",
        "Config": "GetFunctionAsyncInvokeConfig",
    },
)
# All else as before: it is FC 2.0, too.
FC_2021 = replace(
    FC_2016,
    version="2021-04-06",
    function_path=r"/services/(?P<service>[^/]+)/functions/(?P<function>[^/]+)",
    qualifier_in_path=False,
    enable_header="x-fc-stateful-async-invocation-enable",
    fields=_FC2_FIELDS | _LATER_FIELDS,
    payload_fields={"invocationPayload": "payload", "returnPayload": "return_payload"},
)
FC_2023 = Generation(
    version="2023-03-30",
    function_path=r"/functions/(?P<function>[^/]+)",
    collection="async-tasks",
    stop_suffix="/stop",
    stop_status=204,
    envelope="tasks",
    empty_list=...,
    last_token="",
    prefix_parameter="prefix",
    id_header="x-fc-async-task-id",
    default_limit=20,
    fields=_FC3_FIELDS | _LATER_FIELDS,
    payload_fields={"taskPayload": "payload", "returnPayload": "return_payload"},
    error_keys=("Code", "Message", "RequestId"),
    codes={
        "SignatureWrong": "SignatureDoesNotMatch",
        "InvocationNotFound": "AsyncTaskNotFound",
        "InvocationAlreadyExists": "AsyncTaskAlreadyExists",
        "InvocationAlreadyCompleted": "AsyncTaskAlreadyCompleted",
    },
    actions={
        "List": "ListAsyncTasks",
        "Get": "GetAsyncTask",
        "Stop": "StopAsyncTask",
        "Invoke": "InvokeFunction",
        "Config": "GetAsyncInvokeConfig",
    },
    task_mode_key="asyncTask",
)
GENERATIONS = (FC_2016, FC_2021, FC_2023)


@dataclass(frozen=True)
class Route:
    """What a request asks for.

    :param operation: ``None`` for a path or method the API does not have.
    :param names: the parts of the path: ``service``, ``function``, ``qualifier``, ``id``.
    """

    generation: Generation
    operation: Operation | None
    names: Mapping[str, str]


def find_route(method: str, path: str) -> Route:
    """Read method and decoded path; an unknown version is answered in the oldest one's style."""
    generation = next((one for one in GENERATIONS if path.startswith(f"/{one.version}/")), FC_2016)
    for (verb, operation), pattern in generation.routes.items():
        found = pattern.fullmatch(path)
        if verb == method and found:
            return Route(
                generation,
                operation,
                {name: sys.intern(text) for name, text in found.groupdict().items() if text is not None},
            )
    return Route(generation, None, {})
