"""The error tree, what it promises, and its way from the triggerer to the worker."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core import errors
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyCompletedError,
    AlreadyExistsError,
    ApiError,
    CertificateError,
    ConnectionNotFoundError,
    DeadlineExceeded,
    FunctionComputeError,
    InvocationsFailedError,
    InvocationsLostError,
    MalformedBodyError,
    NoInvocationsError,
    NoRecordError,
    NotFoundError,
    PagingError,
    ParameterError,
    ProtocolError,
    ResultTooLargeError,
    SettingsError,
    TransportError,
    TriggerError,
    UnavailableError,
    WaitError,
    WaitTimeoutError,
    from_fields,
    to_fields,
)

# class -> (base, transient)
TREE: dict[type[FunctionComputeError], tuple[type[Exception], bool]] = {
    FunctionComputeError: (Exception, False),
    SettingsError: (FunctionComputeError, False),
    ConnectionNotFoundError: (SettingsError, False),
    ParameterError: (FunctionComputeError, False),
    ResultTooLargeError: (FunctionComputeError, False),
    TransportError: (FunctionComputeError, True),
    CertificateError: (TransportError, False),
    ProtocolError: (FunctionComputeError, False),
    MalformedBodyError: (ProtocolError, True),
    PagingError: (ProtocolError, True),
    ApiError: (FunctionComputeError, False),
    AccessDeniedError: (ApiError, False),
    NotFoundError: (ApiError, False),
    AlreadyExistsError: (ApiError, False),
    AlreadyCompletedError: (ApiError, False),
    UnavailableError: (ApiError, True),
    NoRecordError: (FunctionComputeError, False),
    DeadlineExceeded: (FunctionComputeError, False),
    WaitError: (FunctionComputeError, False),
    InvocationsFailedError: (WaitError, False),
    InvocationsLostError: (WaitError, False),
    NoInvocationsError: (WaitError, False),
    WaitTimeoutError: (WaitError, False),
    TriggerError: (WaitError, False),
}


def made(kind: type[FunctionComputeError], text: str = "what went wrong") -> FunctionComputeError:
    if issubclass(kind, ApiError):
        return kind("ListAsyncTasks", 503, "ServiceUnavailable", text, "request-1", hint="wait", retry_after=7.0)
    if issubclass(kind, SettingsError):
        return kind("fc_default", [text, "second problem"])
    if issubclass(kind, ParameterError):
        return kind("limit", text)
    return kind(text)


KINDS = pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)


def test_the_tree_is_complete() -> None:
    defined = {
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FunctionComputeError)
    }

    assert defined == set(TREE)


@KINDS
def test_each_error_stands_where_the_tree_says(kind: type[FunctionComputeError]) -> None:
    base, transient = TREE[kind]

    assert kind.__bases__[0] is base
    assert made(kind).transient is transient


@KINDS
def test_no_error_is_one_of_airflow_s(kind: type[FunctionComputeError]) -> None:
    """Airflow turns any AirflowException into a skip when a deferred sensor resumes with soft_fail."""
    assert not any("airflow.exceptions" in base.__module__ for base in kind.__mro__)
    assert {base.__module__ for base in kind.__mro__} == {"airflow_provider_fc.core.errors", "builtins"}


def test_a_parameter_error_is_a_value_error() -> None:
    assert issubclass(ParameterError, ValueError)


def test_a_settings_error_names_every_problem() -> None:
    error = SettingsError("fc_prod", ["host is wrong", "login is missing"])

    assert str(error) == (
        "Connection 'fc_prod' cannot be used for Function Compute:\n  - host is wrong\n  - login is missing"
    )
    assert (error.conn_id, error.problems) == ("fc_prod", ("host is wrong", "login is missing"))


def test_a_parameter_error_names_the_parameter() -> None:
    error = ParameterError("limit", "'x' is not a whole number")

    assert str(error) == "limit: 'x' is not a whole number"
    assert error.name == "limit"


@pytest.mark.parametrize(
    ("arguments", "hint", "text"),
    [
        (("Get", 404, "NotFound", "gone", "r"), None, "Get: HTTP 404 NotFound: gone [request id r]"),
        (("Get", 404, "NotFound", "gone", "r"), "look", "Get: HTTP 404 NotFound: gone (look) [request id r]"),
        (("Get", 502, None, "", None), None, "Get: HTTP 502 without an error code: no message [request id unknown]"),
    ],
)
def test_an_api_error_says_all_that_support_will_ask_for(
    arguments: tuple[Any, ...], hint: str | None, text: str
) -> None:
    assert str(ApiError(*arguments, hint=hint)) == text


# From the triggerer to the worker


@KINDS
def test_an_error_arrives_as_what_it_was(kind: type[FunctionComputeError]) -> None:
    sent = made(kind)

    arrived = from_fields(json.loads(json.dumps(to_fields(sent))))

    assert type(arrived) is kind
    assert str(arrived) == str(sent)
    assert arrived.transient == sent.transient
    assert to_fields(arrived) == to_fields(sent)


@pytest.mark.parametrize("kind", [kind for kind in TREE if issubclass(kind, ApiError)], ids=lambda kind: kind.__name__)
def test_an_api_error_keeps_what_can_be_asked_of_it(kind: type[ApiError]) -> None:
    arrived = from_fields(to_fields(made(kind)))

    assert isinstance(arrived, ApiError)
    assert (arrived.operation, arrived.status, arrived.code) == ("ListAsyncTasks", 503, "ServiceUnavailable")
    assert (arrived.message, arrived.request_id) == ("what went wrong", "request-1")
    assert arrived.retry_after is None


@given(st.text())
def test_any_text_arrives(text: str) -> None:
    assert str(from_fields(to_fields(TransportError(text)))) == text


@pytest.mark.parametrize(
    "name",
    ["Nonsense", "", None, 5, "Any", "Mapping", "to_fields", "__doc__", "_CARRIED", "Exception", "os.system"],
    ids=str,
)
def test_an_unknown_class_becomes_a_trigger_error_and_never_something_else(name: Any) -> None:
    arrived = from_fields({"class": name, "text": "boom"})

    assert type(arrived) is TriggerError
    assert str(arrived) == "boom"


@pytest.mark.parametrize("fields", [{}, {"class": "ApiError"}, {"text": "boom"}, {"class": ["x"], "text": 5}], ids=str)
def test_fields_that_are_missing_still_make_an_error(fields: dict[str, Any]) -> None:
    assert isinstance(from_fields(fields), FunctionComputeError)


def test_an_error_on_its_way_holds_no_more_than_the_documented_fields() -> None:
    assert to_fields(made(TransportError)) == {"class": "TransportError", "text": "what went wrong"}
    assert to_fields(made(NotFoundError)).keys() == {
        "class",
        "text",
        "operation",
        "status",
        "code",
        "message",
        "request_id",
    }


@KINDS
def test_an_error_survives_pickling(kind: type[FunctionComputeError]) -> None:
    """Executors and process pools send exceptions this way."""
    sent = made(kind)

    arrived = pickle.loads(pickle.dumps(sent))

    assert type(arrived) is kind
    assert str(arrived) == str(sent)
    assert vars(arrived) == vars(sent)
