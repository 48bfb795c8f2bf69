"""Hook parameters -> checked operations, for the blocking and the non-blocking hook alike."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args
from uuid import uuid4

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.api import FunctionRef, function_ref
from airflow_provider_fc.core.errors import AlreadyExistsError, ParameterError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.limits import MAX_PAGE_SIZE
from airflow_provider_fc.core.listing import Query
from airflow_provider_fc.core.operations import (
    Accepted,
    GetInvocation,
    Invoke,
    Order,
    StopInvocation,
)
from airflow_provider_fc.core.payload import encode_payload
from airflow_provider_fc.core.settings import Settings


def function_of(
    settings: Settings, function_name: object, service_name: object = None, qualifier: object = None
) -> FunctionRef:
    """The function in the API version that the service name and the connection imply."""
    return function_ref(function_name, service_name, qualifier, api_version=settings.api_version)


def list_query(
    function: FunctionRef,
    *,
    invocation_id_prefix: object = None,
    statuses: object = None,
    started_after: object = None,
    started_before: object = None,
    order: object = None,
    include_payload: object = False,
    page_size: object = MAX_PAGE_SIZE,
    limit: int | None = None,
) -> Query:
    """:raises ParameterError: names the parameter and the fix."""
    size = parameters.whole_number("page_size", page_size, at_least=1, at_most=MAX_PAGE_SIZE) or MAX_PAGE_SIZE
    query = Query(
        function=function,
        prefix=parameters.id_prefix("invocation_id_prefix", invocation_id_prefix),
        statuses=parameters.statuses("statuses", statuses),
        started_after=parameters.epoch_ms("started_after", started_after),
        started_before=parameters.epoch_ms("started_before", started_before),
        order=parameters.choice("order", order, get_args(Order)) if parameters.is_given("order", order) else None,
        include_payload=parameters.boolean("include_payload", include_payload),
        page_size=size,
    )
    if limit is None or query.filtered_here:
        return query
    return replace(query, page_size=max(min(size, limit), 1))


def get_operation(function: FunctionRef, invocation_id: object) -> GetInvocation:
    return GetInvocation(function, parameters.invocation_id("invocation_id", invocation_id))


def stop_operation(function: FunctionRef, invocation_id: object) -> StopInvocation:
    return StopInvocation(function, parameters.invocation_id("invocation_id", invocation_id))


def stop_operations(function: FunctionRef, invocation_ids: object) -> list[StopInvocation]:
    """One for each id; any number of them, none among them."""
    ids = parameters.invocation_ids("invocation_ids", invocation_ids, at_most=None, may_be_empty=True)
    return [StopInvocation(function, invocation_id) for invocation_id in ids]


def concurrency(value: object) -> int:
    """How many requests may be under way at the same time."""
    number = parameters.whole_number("max_concurrency", value, at_least=1)
    if number is None:
        raise ParameterError("max_concurrency", "is missing; give a whole number above 0")
    return number


def invoke_operation(
    function: FunctionRef, payload: object = None, *, invocation_id: object = None, delay: object = None
) -> Invoke:
    """An invocation always gets an id, so that a repeated submission can never run the function twice."""
    return Invoke(
        function,
        payload=encode_payload(payload),
        invocation_id=_id_to_submit(invocation_id),
        delay=parameters.delay("delay", delay),
    )


def _id_to_submit(value: object) -> str:
    return new_id(value) if parameters.is_given("invocation_id", value) else f"airflow-{uuid4().hex}"


def new_id(value: object) -> str:
    """An id fit for submission: server-made ids may begin with a digit, ours may not ("InvokeFunction")."""
    text = parameters.invocation_id("invocation_id", value)
    if not (text[0].isalpha() or text[0] == "_"):
        raise ParameterError("invocation_id", f"{text!r} must begin with a letter or _; put a word before it")
    return text


def submit(operation: Invoke, context: Context) -> Flow[Accepted]:
    """Start an invocation. If an answer was lost, the conflict that the repeated request meets is the confirmation.

    :raises AlreadyExistsError: the id had been used before this call.
    """
    try:
        return (yield from call(operation, context))
    except AlreadyExistsError as error:
        if not error.repeated or operation.invocation_id is None:
            raise
        return Accepted(operation.invocation_id, None)
