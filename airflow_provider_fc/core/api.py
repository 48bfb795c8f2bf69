"""The three API generations as one table.

Sources: the operation pages of each version and the official SDKs (aliyun-fc2 and fc-go-sdk for 2016-08-15,
alibabacloud_fc_open20210406, alibabacloud_fc20230330). Where a page and an SDK disagree the SDK is followed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.limits import MAX_FUNCTION_NAME_LENGTH, MAX_QUALIFIER_LENGTH, MAX_SERVICE_NAME_LENGTH
from airflow_provider_fc.core.signing import Signature


class Api(msgspec.Struct, frozen=True):
    """How one API version spells what all of them can do.

    :param qualifier_in_path: ``service.qualifier`` in the path; otherwise a ``qualifier`` query parameter.
    :param collection: path segment under which a function's invocations live.
    :param stop_suffix: what stopping appends to the path of the invocation.
    :param prefix_parameter: query parameter of the id prefix.
    :param invocation_id_header: header that carries the id of an invocation to start.
    :param enable_header: header that asks for a queryable invocation where the function is not in task mode.
    :param task_mode_key: of a function's asynchronous invoke configuration: whether its invocations leave records.
    :param actions: names of the operations, also sent as ``x-acs-action``.
    :param envelope: key of the list in a page of a listing.
    :param spellings: keys of those fields of an invocation that are not just our name in camel case; where there are
        several, the likeliest first.
    """

    version: str
    signature: Signature
    has_services: bool
    qualifier_in_path: bool
    collection: str
    stop_suffix: str
    prefix_parameter: str
    invocation_id_header: str
    enable_header: str | None
    task_mode_key: str
    actions: Mapping[str, str]
    envelope: str
    spellings: Mapping[str, Sequence[str]]

    @property
    def how_to_keep_records(self) -> str:
        """How a function is put into asynchronous task mode, in the words of its generation."""
        operation = self.actions["config"].replace("Get", "Put", 1)
        header = ", or let api_version 2021-04-06 ask for a record with each invocation" if self.has_services else ""
        return (
            "switch asynchronous task mode on for the qualifier that is invoked: in the console, or with "
            f'{operation} and {{"{self.task_mode_key}": true}}{header}'
        )


_STATEFUL_ACTIONS = {
    "list": "ListStatefulAsyncInvocations",
    "get": "GetStatefulAsyncInvocation",
    "stop": "StopStatefulAsyncInvocation",
    "invoke": "InvokeFunction",
    "config": "GetFunctionAsyncInvokeConfig",
}

_STATEFUL_SPELLINGS = {
    "error_message": ["invocationErrorMessage"],
    # The pages of 2016-08-15 print this key with a capital letter, the SDKs without.
    "payload": ["invocationPayload", "InvocationPayload"],
}

APIS: dict[str, Api] = {
    api.version: api
    for api in (
        Api(
            version="2016-08-15",
            signature="FC",
            has_services=True,
            qualifier_in_path=True,
            collection="stateful-async-invocations",
            stop_suffix="",
            prefix_parameter="invocationIdPrefix",
            invocation_id_header="x-fc-stateful-async-invocation-id",
            enable_header=None,
            task_mode_key="statefulInvocation",
            actions=_STATEFUL_ACTIONS,
            envelope="invocations",
            spellings=_STATEFUL_SPELLINGS,
        ),
        Api(
            version="2021-04-06",
            signature="ACS3",
            has_services=True,
            qualifier_in_path=False,
            collection="stateful-async-invocations",
            stop_suffix="",
            prefix_parameter="invocationIdPrefix",
            invocation_id_header="x-fc-stateful-async-invocation-id",
            enable_header="x-fc-stateful-async-invocation-enable",
            task_mode_key="statefulInvocation",
            actions=_STATEFUL_ACTIONS,
            envelope="invocations",
            spellings=_STATEFUL_SPELLINGS,
        ),
        Api(
            version="2023-03-30",
            signature="ACS3",
            has_services=False,
            qualifier_in_path=False,
            collection="async-tasks",
            stop_suffix="/stop",
            prefix_parameter="prefix",
            invocation_id_header="x-fc-async-task-id",
            enable_header=None,
            task_mode_key="asyncTask",
            actions={
                "list": "ListAsyncTasks",
                "get": "GetAsyncTask",
                "stop": "StopAsyncTask",
                "invoke": "InvokeFunction",
                "config": "GetAsyncInvokeConfig",
            },
            envelope="tasks",
            spellings={
                "invocation_id": ["taskId"],
                "function_name": ["functionArn"],
                "error_message": ["taskErrorMessage"],
                # The parameter "includePayload" of ListAsyncTasks is explained by the second name.
                "payload": ["taskPayload", "invocationPayload"],
            },
        ),
    )
}

DEFAULT_VERSIONS = {True: "2016-08-15", False: "2023-03-30"}
"""The version used with and without a service name."""


class FunctionRef(msgspec.Struct, frozen=True):
    """Which function, in whose terms: a service name means FC 2.0, none means FC 3.0."""

    api: Api
    function_name: str
    service_name: str | None = None
    qualifier: str | None = None

    @property
    def path(self) -> str:
        """Decoded path of the function, version prefix included (all SDKs send it; the 2016 pages leave it out)."""
        function = f"/functions/{self.function_name}"
        if not self.api.has_services:
            return f"/{self.api.version}{function}"
        in_path = f".{self.qualifier}" if self.api.qualifier_in_path and self.qualifier else ""
        return f"/{self.api.version}/services/{self.service_name}{in_path}{function}"

    def to_json(self) -> dict[str, str | None]:
        return {
            "api_version": self.api.version,
            "function_name": self.function_name,
            "service_name": self.service_name,
            "qualifier": self.qualifier,
        }

    @classmethod
    def from_json(cls, wire: Mapping[str, Any]) -> FunctionRef:
        return cls(APIS[wire["api_version"]], wire["function_name"], wire["service_name"], wire["qualifier"])

    @property
    def query(self) -> dict[str, str]:
        if self.qualifier and not self.api.qualifier_in_path:
            return {"qualifier": self.qualifier}
        return {}


def function_ref(
    function_name: object,
    service_name: object = None,
    qualifier: object = None,
    *,
    api_version: str | None = None,
) -> FunctionRef:
    """Check the names and choose the API version: a service name means FC 2.0, none means FC 3.0.

    Only ``None`` itself leaves ``service_name`` and ``qualifier`` out. Blank text and the text ``None`` are what a
    template makes of nothing: they would silently mean another function or version.

    :raises ParameterError: a name that FC cannot have (pages "CreateService", "CreateFunction", "CreateAlias"), or an
        ``api_version`` of the other generation.
    """
    service = service_name if parameters.is_given("service_name", service_name) else None
    if api_version is not None and APIS[api_version].has_services != (service is not None):
        raise ParameterError(
            "service_name",
            f"{service!r} does not fit api_version {api_version!r} of the connection: "
            + (
                "FC 2.0 addresses functions by service, so give service_name"
                if service is None
                else "FC 3.0 has no services"
            )
            + ", or remove api_version from the connection's extra",
        )
    if service is not None:
        _refuse_moved_name(function_name, service)
    return FunctionRef(
        api=APIS[api_version or DEFAULT_VERSIONS[service is not None]],
        function_name=_function_name(function_name),
        service_name=None if service is None else _name("service_name", service, MAX_SERVICE_NAME_LENGTH),
        qualifier=_qualifier(qualifier),
    )


# A function that was moved from FC 2.0 to FC 3.0 is "service$function" there (the serverless devs' tool devsapp/fc3,
# src/subCommands/2to3/index.ts, makes such names).
_MOVED = "$"


def _refuse_moved_name(function_name: object, service_name: object) -> None:
    """Have the author choose between a function of FC 2.0 and the one that it became in FC 3.0.

    :raises ParameterError: one of the names holds a ``$``.
    """
    for parameter, value in (("function_name", function_name), ("service_name", service_name)):
        parameters.refuse_template(parameter, value)
        if isinstance(value, str) and _MOVED in value:
            service, _, function = value.rpartition(_MOVED)
            raise ParameterError(
                parameter,
                f"{value!r} with a $ is a name of FC 3.0, but service_name means FC 2.0; give function_name={value!r} "
                f"and no service_name for FC 3.0, "
                f"or service_name={service!r} and function_name={function!r} for FC 2.0",
            )


def _function_name(value: object) -> str:
    """Check a function's name, or both halves of one that came from FC 2.0."""
    if not isinstance(value, str) or _MOVED not in value or "{" in value:
        return _name("function_name", value, MAX_FUNCTION_NAME_LENGTH)
    service, _, function = value.partition(_MOVED)
    halves = (service, MAX_SERVICE_NAME_LENGTH), (function, MAX_FUNCTION_NAME_LENGTH)
    if not all(_NAME.fullmatch(half) and len(half) <= longest for half, longest in halves):
        raise ParameterError(
            "function_name",
            f"{value!r} is not a legal name: a function that came from FC 2.0 is service$function, with one $, at most "
            f"{MAX_SERVICE_NAME_LENGTH} characters before and {MAX_FUNCTION_NAME_LENGTH} behind it, on both sides "
            "letters, digits, _ and -, not starting with a digit or -",
        )
    return value


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_QUALIFIER = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_QUALIFIER_LENGTH}}}")  # an alias, LATEST, or a version number


def _name(parameter: str, value: object, longest: int) -> str:
    if parameters.is_absent(value):
        raise ParameterError(parameter, "is missing; give the name as it stands in the Function Compute console")
    name = parameters.text(parameter, value)
    if not _NAME.fullmatch(name) or len(name) > longest:
        raise ParameterError(
            parameter,
            f"{value!r} is not a legal name: letters, digits, _ and -, not starting with a digit or -, "
            f"at most {longest} characters; of an ARN give the name alone",
        )
    return str.__str__(name)


def _qualifier(value: object) -> str | None:
    if not parameters.is_given("qualifier", value):
        return None
    parameters.refuse_template("qualifier", value)
    text = str(value)  # a version may well be given as a number
    if isinstance(value, bool) or not _QUALIFIER.fullmatch(text):
        raise ParameterError("qualifier", f"{value!r} is neither a version, an alias nor LATEST; give one of them")
    return text
