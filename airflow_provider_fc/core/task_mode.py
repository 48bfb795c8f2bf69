"""Whether a function keeps records of its invocations: only in asynchronous task mode can they be watched.

Sources: pages "GetAsyncInvokeConfig" (2023-03-30), "GetFunctionAsyncInvokeConfig" (2016-08-15, 2021-04-06) and the
official SDKs; that a function without any such configuration answers ``AsyncConfigNotExists`` is what the serverless
devs' tools and terraform-provider-alicloud expect.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from airflow_provider_fc.core.api import FunctionRef
from airflow_provider_fc.core.errors import FunctionComputeError, MalformedBodyError, NoRecordError, NotFoundError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.invoking import look_up
from airflow_provider_fc.core.operations import GetInvocation

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GetTaskMode:
    """Ask for a function's asynchronous invoke configuration, of which one field matters here."""

    function: FunctionRef

    kind: ClassVar[str] = "config"
    repeatable: ClassVar[bool] = True

    def request(self, origin: str) -> HttpRequest:
        path = f"{self.function.path}/async-invoke-config"
        return HttpRequest("GET", origin, path, self.function.query, {"accept": "application/json"})

    def read(self, response: HttpResponse) -> bool:
        """Tell whether task mode is on; a key that is missing or null is off, as in the SDKs' optional fields."""
        try:
            fields = msgspec.json.decode(response.body, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedBodyError(f"the asynchronous invoke configuration cannot be read: {error}") from None
        value = fields.get(self.function.api.task_mode_key)
        if not (value is None or isinstance(value, bool)) or not fields.keys() & _ALWAYS_THERE:
            raise MalformedBodyError("the answer is no asynchronous invoke configuration")
        return bool(value)


# By these an answer of Function Compute is known from any other JSON object.
_ALWAYS_THERE = {"asyncTask", "statefulInvocation", "createdTime", "lastModifiedTime", "functionArn", "function"}


def keeps_records(function: FunctionRef, context: Context) -> Flow[bool | None]:
    """Tell whether the function is in task mode; ``None`` when that cannot be known.

    The permission for it is optional, so a refusal, like any other error, only leaves the question open.
    """
    if function.api.enable_header:
        return None  # each of our submissions asks for a record by this header, whatever the configuration says
    try:
        return (yield from call(GetTaskMode(function), context))
    except NotFoundError as error:
        return False if error.missing == "configuration" else None
    except FunctionComputeError as error:
        log.debug("Whether %s is in asynchronous task mode is not known: %s", function.function_name, error)
        return None


def expect_record(function: FunctionRef, invocation_id: str, context: Context) -> Flow[None]:
    """Find out whether an invocation that was accepted and cannot be seen will ever be.

    Only what Function Compute says of the function proves that there will be no record: a missing one alone may also be
    late.

    :raises NoRecordError: the function is not in task mode, and there is no record of the invocation.
    """
    if (yield from keeps_records(function, context)) is not False:
        return
    try:
        yield from look_up(GetInvocation(function, invocation_id), context, seconds=context.policies.records.lag)
    except NotFoundError as error:
        if not error.is_invocation:
            raise
        raise NoRecordError(
            f"{invocation_id} was accepted, but {function.function_name} is not in asynchronous task mode, so the "
            f"invocation runs without a record and nothing can be waited for; {function.api.how_to_keep_records}"
        ) from None
