"""Error answers of every style -> the right exception, with what helps to mend it and nothing that must stay secret."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from core.conversation import START, json_answer
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.api_errors import error_from
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyCompletedError,
    AlreadyExistsError,
    ApiError,
    NotFoundError,
    UnavailableError,
)
from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.signing import Credentials, sign, signed_hash

HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


KEYS = Credentials("key-id", "top-secret", "CAIS+token==")
SENT = sign(
    HttpRequest("GET", "https://fc.test", "/2023-03-30/functions/f/async-tasks"),
    KEYS,
    signature="ACS3",
    now=START,
    nonce="n",
    action="ListAsyncTasks",
    version="2023-03-30",
)


def error(response: HttpResponse, now: datetime = START) -> ApiError:
    return error_from("ListAsyncTasks", SENT, response, redact=KEYS.redact, now=now)


def refused(status: int, code: str | None, **headers: str) -> ApiError:
    return error(json_answer({"Code": code, "Message": "no", "RequestId": "r"}, status, **headers))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        # Nothing but a status
        (400, None, ApiError),
        (401, None, AccessDeniedError),
        (403, None, AccessDeniedError),
        (404, None, NotFoundError),
        (405, None, ApiError),
        (408, None, UnavailableError),
        (409, None, AlreadyExistsError),
        (412, None, ApiError),
        (413, None, ApiError),
        (425, None, UnavailableError),
        (429, None, UnavailableError),
        (499, None, UnavailableError),
        (500, None, UnavailableError),
        (502, None, UnavailableError),
        (503, None, UnavailableError),
        (504, None, UnavailableError),
        (301, None, ApiError),
        (307, None, ApiError),
        (100, None, ApiError),
        # The documented codes under their documented statuses
        (400, "InvalidArgument", ApiError),
        (400, "MissingRequiredHeader", ApiError),
        (400, "PathNotSupported", ApiError),
        (400, "EntityTooLarge", ApiError),
        (403, "AccessDenied", AccessDeniedError),
        (403, "InvalidAccessKeyID", AccessDeniedError),
        (403, "SignatureNotMatch", AccessDeniedError),
        (403, "SignatureDoesNotMatch", AccessDeniedError),
        (404, "ServiceNotFound", NotFoundError),
        (404, "FunctionNotFound", NotFoundError),
        (404, "AliasNotFound", NotFoundError),
        (404, "VersionNotFound", NotFoundError),
        (404, "StatefulAsyncInvocationNotFound", NotFoundError),
        (404, "AsyncTaskNotFound", NotFoundError),
        (409, "StatefulAsyncInvocationAlreadyExists", AlreadyExistsError),
        (409, "AsyncTaskAlreadyExists", AlreadyExistsError),
        (409, "ConcurrentUpdateError", UnavailableError),
        (412, "StatefulAsyncInvocationAlreadyCompleted", AlreadyCompletedError),
        (412, "CAExited", ApiError),
        (412, "CAFileNotFound", NotFoundError),
        (412, "PreconditionFailed", ApiError),
        (429, "ResourceExhausted", UnavailableError),
        (429, "ResourceThrottled", UnavailableError),
        (499, "ClientClosedRequest", UnavailableError),
        (500, "InternalServerError", UnavailableError),
        (503, "ResourceThrottled", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
        (503, "ServerBusy", UnavailableError),
        # Codes that mean the same whatever their status is
        (400, "Throttling", UnavailableError),
        (400, "Throttling.User", UnavailableError),
        (400, "Throttling.Api", UnavailableError),
        (400, "SignatureNonceUsed", UnavailableError),
        (400, "InvalidTimeStamp.Expired", AccessDeniedError),
        (400, "InvalidSecurityToken.Expired", AccessDeniedError),
        (400, "MissingSecurityToken", AccessDeniedError),
        (400, "IncompleteSignature", AccessDeniedError),
        (400, "StatefulAsyncInvocationAlreadyExists", AlreadyExistsError),
        (400, "StatefulAsyncInvocationAlreadyCompleted", AlreadyCompletedError),
        (400, "FunctionNotFound", NotFoundError),
        # Other spellings, met in the struct pages and in other people's programs
        (400, "FUNCTION_NOT_FOUND", NotFoundError),
        (400, "ServiceNotExist", NotFoundError),
        (400, "ASYNC_TASK_NOT_EXIST", NotFoundError),
        (400, "ASYNC_TASK_ALREADY_EXISTS", AlreadyExistsError),
        (400, "ASYNC_TASK_ALREADY_COMPLETED", AlreadyCompletedError),
        # Alibaba Cloud's common gateway: a wrong key is "not found", yet the key is what is wrong
        (404, "InvalidAccessKeyId.NotFound", AccessDeniedError),
        (403, "InvalidAccessKeyId.Inactive", AccessDeniedError),
        (404, "InvalidAction.NotFound", NotFoundError),
        (403, "Forbidden.RAM", AccessDeniedError),
        (400, "SignatureDoesNotMatch", AccessDeniedError),
    ],
)
def test_status_and_code_choose_the_exception(status: int, code: str | None, kind: type[ApiError]) -> None:
    assert type(refused(status, code)) is kind


@pytest.mark.parametrize(
    ("code", "message", "request_id"),
    [
        ("Code", "Message", "RequestId"),
        ("Code", "Message", "RequestID"),
        ("code", "message", "requestId"),
        ("ErrorCode", "ErrorMessage", "RequestId"),
        ("errorCode", "errorMessage", "requestId"),
    ],
)
def test_every_spelling_of_an_error_body_is_read(code: str, message: str, request_id: str) -> None:
    body = {code: "FunctionNotFound", message: "no such function", request_id: "r-1", "Recommend": "ignored"}

    caught = error(json_answer(body, 404))

    assert isinstance(caught, NotFoundError)
    assert (caught.code, caught.message, caught.request_id) == ("FunctionNotFound", "no such function", "r-1")
    assert (caught.status, caught.operation) == (404, "ListAsyncTasks")


@pytest.mark.parametrize(
    ("body", "headers", "request_id"),
    [
        ({"RequestId": "body"}, {"x_fc_request_id": "header"}, "body"),
        ({}, {"x_fc_request_id": "fc", "x_acs_request_id": "acs"}, "fc"),
        ({}, {"x_acs_request_id": "acs"}, "acs"),
        ({"RequestId": ""}, {"x_fc_request_id": "fc"}, "fc"),
        ({}, {}, None),
    ],
)
def test_the_request_id_is_found_in_the_body_or_the_headers(
    body: dict[str, str], headers: dict[str, str], request_id: str | None
) -> None:
    caught = error(json_answer(body, 500, **headers))

    assert caught.request_id == request_id
    assert f"[request id {request_id or 'unknown'}]" in str(caught)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HTML,
        b"[]",
        b'"text"',
        b"null",
        b'{"Code": 5, "Message": ["x"]}',
        b'{"Code": ""}',
        b'{"Code": "cut',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_a_body_that_is_no_error_of_function_compute_still_makes_an_error(body: bytes) -> None:
    caught = error(HttpResponse(502, {"content-type": "text/html"}, body))

    assert isinstance(caught, UnavailableError)
    assert caught.code is None
    assert "HTTP 502 without an error code: the body is not an error of Function Compute" in str(caught)
    assert "nginx" not in str(caught)


@given(
    st.integers(100, 599), st.binary(max_size=100), st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text())
)
def test_any_answer_makes_an_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    caught = error(HttpResponse(status, headers, body))

    assert caught.status == status
    assert caught.retry_after is None or 0 <= caught.retry_after <= 60


def test_a_message_that_was_cut_in_the_middle_of_a_character_is_read() -> None:
    caught = error(HttpResponse(404, {}, b'{"Code": "FunctionNotFound", "Message": "no \xe9\x9b"}'))

    assert (caught.code, caught.message) == ("FunctionNotFound", "no �")


# Hints


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (403, "InvalidAccessKeyID", "the AccessKey ID is unknown or disabled; correct login"),
        (404, "InvalidAccessKeyId.NotFound", "the AccessKey ID is unknown or disabled; correct login"),
        (403, "SignatureNotMatch", "the AccessKey secret does not fit"),
        (400, "SignatureDoesNotMatch", "another account or region; check password"),
        (403, "InvalidSecurityToken", "the STS token is wrong or has expired; renew login, password"),
        (400, "InvalidTimeStamp.Expired", "the clock of this machine is wrong; set it"),
        (403, "AccessDenied", "RAM permission for this operation; add it"),
        (404, "FunctionNotFound", "check function_name"),
        (404, "FunctionNotFound", "service_name: it is given for a function of FC 2.0, and left out"),
        (404, "ServiceNotFound", "check service_name"),
        (404, "ServiceNotFound", "leave service_name out for a function of FC 3.0"),
        (409, "StatefulAsyncInvocationAlreadyExists", "an invocation id can be used once: give another one or none"),
        (400, "ASYNC_TASK_ALREADY_EXISTS", "or look at that invocation (get_invocation)"),
        (400, "EntityTooLarge", "128 KB"),
        (413, "RequestEntityTooLarge", "128 KB"),
        (413, None, "128 KB"),
        (307, None, "redirects are not followed"),
    ],
)
def test_a_refusal_comes_with_what_to_do(status: int, code: str | None, hint: str) -> None:
    assert hint in str(refused(status, code))


@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (503, None), (400, "SignatureNonceUsed")])
def test_where_we_know_nothing_to_do_we_say_nothing(status: int, code: str | None) -> None:
    assert (
        str(refused(status, code))
        == f"ListAsyncTasks: HTTP {status} {code or 'without an error code'}: no [request id r]"
    )


@pytest.mark.parametrize(
    ("status", "code", "named"),
    [
        (403, "SignatureNotMatch", True),
        (400, "SignatureDoesNotMatch", True),
        (400, "SignatureNonceUsed", False),
        (403, "AccessDenied", False),
    ],
)
def test_a_wrong_signature_comes_with_the_hash_of_what_was_signed(status: int, code: str, named: bool) -> None:
    assert (f"SHA-256 of what was signed: {signed_hash(SENT)}" in str(refused(status, code))) is named


@pytest.mark.parametrize(
    ("minutes", "named"), [(0, False), (0.9, False), (-0.9, False), (1, True), (-1, True), (16, True), (-480, True)]
)
def test_clocks_that_differ_are_named_when_access_is_denied(minutes: float, named: bool) -> None:
    date = (START - timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    text = str(refused(403, "AccessDenied", date=date))

    assert ("the server's clock says" in text) is named
    assert ("this machine's 2026-11-22T08:30:00Z" in text) is named


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDenied.RequestTime", "Forbidden.RAM", "Other", None])
@pytest.mark.parametrize("minutes", [16, -16, 60])
def test_a_clock_that_is_far_off_explains_a_refusal_that_names_no_other_cause(code: str | None, minutes: int) -> None:
    date = (START - timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    text = str(refused(403, code, date=date))

    assert "(the clock of this machine is wrong; set it; the server's clock says" in text
    assert "RAM permission" not in text


@pytest.mark.parametrize(
    ("code", "minutes", "hint"),
    [
        ("AccessDenied", 14, "RAM permission"),
        ("InvalidAccessKeyID", 60, "the AccessKey ID is unknown"),
        ("SignatureNotMatch", 60, "the AccessKey secret does not fit"),
    ],
)
def test_a_refusal_that_has_another_cause_keeps_it_beside_the_clocks(code: str, minutes: int, hint: str) -> None:
    date = (START - timedelta(minutes=minutes)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    text = str(refused(403, code, date=date))

    assert hint in text
    assert "the server's clock says" in text


def test_the_server_s_clock_is_shown_in_utc() -> None:
    text = str(refused(403, "AccessDenied", date="Sun, 22 Nov 2026 20:00:00 +0800"))

    assert "the server's clock says 2026-11-22T12:00:00Z" in text


def test_clocks_are_no_matter_of_other_errors() -> None:
    assert "clock" not in str(refused(404, "FunctionNotFound", date="Sun, 22 Nov 2020 08:30:00 GMT"))


# Waiting


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "61"}, 60.0),
        ({"retry_after": "9" * 400}, 60.0),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": ""}, None),
        ({"retry_after": "Sun, 22 Nov 2026 08:30:09 GMT"}, 9.0),
        ({"retry_after": "Sun, 22 Nov 2026 08:29:00 GMT"}, 0.0),
        ({"retry_after": "Mon, 23 Nov 2026 08:30:00 GMT"}, 60.0),
        ({"retry_after": "Sun, 22 Nov 2026 09:00:04 GMT", "date": "Sun, 22 Nov 2026 09:00:00 GMT"}, 4.0),
        ({"x_acs_retry_after": "2500"}, 2.5),
        ({"x_acs_retry_after": "3600000"}, 60.0),
        ({"x_acs_retry_after": "soon"}, None),
        ({"retry_after": "3", "x_acs_retry_after": "2500"}, 3.0),
        ({"retry_after": "soon", "x_acs_retry_after": "2500"}, 2.5),
    ],
    ids=str,
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert refused(429, "ResourceThrottled", **headers).retry_after == seconds


# Secrets


@pytest.mark.parametrize("secret", ["key-id", "top-secret", "CAIS+token=="])
@pytest.mark.parametrize("status", [400, 403, 500])
def test_no_secret_that_the_server_quotes_reaches_the_error(secret: str, status: int) -> None:
    body = {"Code": "SignatureNotMatch", "Message": f"string to sign was GET x-fc-security-token:{secret} /path"}

    caught = error(json_answer(body, status))

    assert secret not in str(caught)
    assert secret not in caught.message
    assert secret not in "".join(map(str, caught.args))
    assert "x-fc-security-token:***" in caught.message


@pytest.mark.parametrize("signature", ["ACS3", "FC"])
@pytest.mark.parametrize("field", ["Code", "Message", "RequestId"])
def test_a_signature_that_the_server_quotes_anywhere_does_not_reach_the_error(field: str, signature: Any) -> None:
    sent = sign(SENT, KEYS, signature=signature, now=START, nonce="n", action="List", version="2023-03-30")
    made = re.split("Signature=|:", sent.headers["authorization"])[-1]
    body = {"Code": "AccessDenied", "Message": "no", "RequestId": "r", field: f"you sent {sent.headers}"}

    caught = error_from("List", sent, json_answer(body, 403), redact=KEYS.redact, now=START)

    assert made not in str(caught)
    assert not [part for part in KEYS.parts if part in str(caught)]


def test_a_secret_is_taken_out_before_a_long_message_is_cut() -> None:
    body = {"Code": "SignatureNotMatch", "Message": "x" * 495 + "CAIS+token==" + "y" * 5000}

    message = error(json_answer(body, 403)).message

    assert len(message) == 500
    assert "CAIS" not in message


def test_an_error_is_dumped_without_surprises() -> None:
    caught = error(json_answer({"Code": "Throttling", "Message": "slow down", "RequestId": "r"}, 400, retry_after="2"))

    assert str(caught) == "ListAsyncTasks: HTTP 400 Throttling: slow down [request id r]"
    assert caught.transient
    assert msgspec.json.encode(caught.message) == b'"slow down"'


def test_an_error_without_a_message_says_so() -> None:
    assert "FunctionNotFound: no message" in str(error(json_answer({"Code": "FunctionNotFound"}, 404)))


def test_now_may_be_in_any_zone() -> None:
    now: Any = START.astimezone(UTC)

    assert error(HttpResponse(403, {"date": "Sun, 22 Nov 2026 08:30:10 GMT"}), now=now).retry_after is None
