"""What the connection test asks, and what it says about the answer."""

from __future__ import annotations

from typing import Any

import pytest
from harness import World
from msgspec.structs import replace

from airflow_provider_fc.core.api import APIS
from airflow_provider_fc.core.connection_test import check, explain, probe
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    ApiError,
    CertificateError,
    FunctionComputeError,
    MalformedBodyError,
    NotFoundError,
    SettingsError,
    TransportError,
    UnavailableError,
)
from airflow_provider_fc.core.flow import GetCredentials
from airflow_provider_fc.core.operations import ListInvocations
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials


def settings(**fields: Any) -> Settings:
    return Settings("fc_default", Auth(), endpoint="https://fc.test", **fields)


@pytest.mark.parametrize(
    ("api_version", "path"),
    [
        (
            "2016-08-15",
            "/2016-08-15/services/airflow-connection-test/functions/airflow-connection-test/stateful-async-invocations",
        ),
        (
            "2021-04-06",
            "/2021-04-06/services/airflow-connection-test/functions/airflow-connection-test/stateful-async-invocations",
        ),
        ("2023-03-30", "/2023-03-30/functions/airflow-connection-test/async-tasks"),
        (None, "/2023-03-30/functions/airflow-connection-test/async-tasks"),
    ],
)
def test_the_probe_is_a_read_in_the_connection_s_own_version(api_version: str | None, path: str) -> None:
    operation = probe(settings(api_version=api_version))

    assert isinstance(operation, ListInvocations)
    assert operation.request("https://fc.test").method == "GET"
    assert operation.request("https://fc.test").path == path
    assert operation.page_size == 1


def api_error(kind: type[ApiError], status: int, code: str | None) -> ApiError:
    return kind("ListAsyncTasks", status, code, "message", "request-1")


@pytest.mark.parametrize(
    ("error", "accepted", "begins"),
    [
        (api_error(NotFoundError, 404, "FunctionNotFound"), True, "Function Compute at https://fc.test accepted"),
        (api_error(NotFoundError, 404, "ServiceNotFound"), True, "Function Compute at https://fc.test accepted"),
        (api_error(NotFoundError, 404, "AsyncTaskNotFound"), True, "Function Compute at https://fc.test accepted"),
        (api_error(NotFoundError, 404, "FUNCTION_NOT_FOUND"), True, "Function Compute at https://fc.test accepted"),
        (api_error(NotFoundError, 404, "ServiceNotExist"), True, "Function Compute at https://fc.test accepted"),
        (api_error(NotFoundError, 404, None), False, "Wrong endpoint"),
        (api_error(NotFoundError, 404, "NoSuchBucket"), False, "Wrong endpoint"),
        (api_error(NotFoundError, 404, "InvalidAction.NotFound"), False, "Wrong endpoint"),
        (api_error(NotFoundError, 404, "PathNotSupported"), False, "Wrong endpoint"),
        (api_error(AccessDeniedError, 403, "InvalidAccessKeyID"), False, "Wrong key: the AccessKey ID"),
        (api_error(AccessDeniedError, 404, "InvalidAccessKeyId.NotFound"), False, "Wrong key: the AccessKey ID"),
        (api_error(AccessDeniedError, 403, "SignatureNotMatch"), False, "Wrong key or endpoint"),
        (api_error(AccessDeniedError, 403, "InvalidSecurityToken.Expired"), False, "Wrong token"),
        (api_error(AccessDeniedError, 403, "SecurityTokenExpired"), False, "Wrong token"),
        (api_error(AccessDeniedError, 400, "MissingSecurityToken"), False, "Wrong token"),
        (api_error(AccessDeniedError, 400, "IncompleteSignature"), False, "Wrong key or endpoint"),
        (api_error(AccessDeniedError, 400, "InvalidTimeStamp.Expired"), False, "Wrong clock"),
        (api_error(AccessDeniedError, 403, "RequestTimeTooSkewed"), False, "Wrong clock"),
        (api_error(AccessDeniedError, 403, "AccessDenied"), False, "Missing permission"),
        (api_error(AccessDeniedError, 403, None), False, "Wrong endpoint"),
        (CertificateError("self-signed"), False, "Certificate not trusted: that of https://fc.test"),
        (TransportError("refused"), False, "Unreachable: no answer from https://fc.test"),
        (api_error(UnavailableError, 503, "ServiceUnavailable"), False, "Try again"),
        (api_error(UnavailableError, 429, "Throttling"), False, "Try again"),
        (api_error(UnavailableError, 400, "SignatureNonceUsed"), False, "Try again"),
        (api_error(UnavailableError, 502, None), False, "Wrong endpoint"),
        (api_error(ApiError, 400, "InvalidArgument"), False, "Wrong endpoint"),
        (api_error(ApiError, 400, "InvalidVersion"), False, "Wrong endpoint"),
        (MalformedBodyError("<html>"), False, "Wrong endpoint"),
    ],
    ids=str,
)
def test_what_went_wrong_is_named(error: FunctionComputeError, accepted: bool, begins: str) -> None:
    verdict, text = explain(error, "https://fc.test")

    assert verdict is accepted
    assert text.startswith(begins)
    assert accepted or f"Details: {error}" in text


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (("emulator-key-id", "emulator-key-secret"), ""),
        (("nobody", "x"), "Wrong key: "),
        (("emulator-key-id", "x"), "Wrong key: the AccessKey secret"),
    ],
    ids=["right", "unknown id", "wrong secret"],
)
@pytest.mark.parametrize("api_version", [None, *APIS])
def test_the_emulator_s_answers_are_understood(api_version: str | None, keys: tuple[str, str], expected: str) -> None:
    world = World()
    world.credentials = Credentials(*keys)
    context = replace(world.context, settings=settings(api_version=api_version))

    verdict, text = world.run(check(context))

    assert verdict is (expected == "")
    assert text.startswith(expected or "Function Compute at https://fc.test accepted the credentials")
    assert len(world.sent) == 1


OWN_SIDE = {
    "an extra is missing": (
        SettingsError("fc_default", ["auth_type 'ram_role_arn' needs an extra: pip install ..."]),
        "Connection 'fc_default' cannot be used for Function Compute: auth_type 'ram_role_arn' needs an extra",
    ),
    "the role is refused": (api_error(AccessDeniedError, 403, "NoPermission"), "No credentials: "),
    "the key of the role is wrong": (
        api_error(AccessDeniedError, 404, "InvalidAccessKeyId.NotFound"),
        "No credentials",
    ),
    "STS is busy": (api_error(UnavailableError, 503, "ServiceUnavailable"), "No credentials: "),
    "the metadata service does not answer": (TransportError("GET http://100.100.100.200: timed out"), "No credentials"),
    "the credentials URI answers with a page": (MalformedBodyError("<html>"), "No credentials: "),
}


@pytest.mark.parametrize(("error", "begins"), OWN_SIDE.values(), ids=OWN_SIDE)
def test_what_fails_before_anything_is_sent_is_not_blamed_on_the_endpoint(
    error: FunctionComputeError, begins: str
) -> None:
    flow = check(replace(World().context, settings=settings()))
    assert isinstance(next(flow), GetCredentials)

    with pytest.raises(StopIteration) as ended:
        flow.throw(error)

    verdict, text = ended.value.value
    assert verdict is False
    assert text.startswith(begins)
    assert str(error) in text
    assert not any(word in text for word in ("Wrong endpoint", "Unreachable", "may not list"))


def test_a_connection_without_an_address_for_its_version_is_told_without_a_request() -> None:
    fc_2 = Settings("fc_default", Auth(), region_id="cn-hangzhou", api_version="2016-08-15")
    world = World()

    verdict, text = world.run(check(replace(world.context, settings=fc_2)))

    assert verdict is False
    assert text.startswith("Connection 'fc_default' cannot be used")
    assert "account_id is missing" in text
    assert world.sent == []


def test_a_test_takes_no_longer_than_somebody_waits_for_it() -> None:
    world = World()
    world.answer = lambda request: TransportError("timed out")
    world.seconds_per_request = 6
    patient = replace(world.context, settings=settings(max_attempts=100))

    verdict, text = world.run(check(patient))

    assert verdict is False
    assert text.startswith("Unreachable: no answer from https://fc.test")
    assert len(world.sent) <= 3
