"""Hook parameters -> checked operations, for the blocking and the non-blocking hook alike."""

from __future__ import annotations

from uuid import uuid4

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.api import FunctionRef, function_ref
from airflow_provider_fc.core.errors import AlreadyExistsError, ParameterError
from airflow_provider_fc.core.flow import Context, Flow, call
from airflow_provider_fc.core.operations import (
    Accepted,
    GetInvocation,
    Invoke,
    StopInvocation,
)
from airflow_provider_fc.core.payload import encode_payload
from airflow_provider_fc.core.settings import Settings


def function_of(
    settings: Settings, function_name: object, service_name: object = None, qualifier: object = None
) -> FunctionRef:
    """The function in the API version that the service name and the connection imply."""
    return function_ref(function_name, service_name, qualifier, api_version=settings.api_version)


def get_operation(function: FunctionRef, invocation_id: object) -> GetInvocation:
    return GetInvocation(function, parameters.invocation_id("invocation_id", invocation_id))


def stop_operation(function: FunctionRef, invocation_id: object) -> StopInvocation:
    return StopInvocation(function, parameters.invocation_id("invocation_id", invocation_id))


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
