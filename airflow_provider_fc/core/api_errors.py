"""Error answers -> the right exception, whatever generation, gateway or proxy they come from.

Sources: page "Error codes" (both generations); fc-go-sdk error.go and alibabacloud_fc20230330 for the spellings of the
body's keys. Codes are matched by suffix or prefix and the HTTP status as well, because many codes have no documented
status and names differ between the generations.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from airflow_provider_fc.core import codes
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyCompletedError,
    AlreadyExistsError,
    ApiError,
    NotFoundError,
    UnavailableError,
)
from airflow_provider_fc.core.http import HttpRequest, HttpResponse, http_date
from airflow_provider_fc.core.limits import MAX_CLOCK_SKEW, PAYLOAD_LIMITS, RECORD_RETENTION
from airflow_provider_fc.core.signing import redact_signed, signed_hash

_THROTTLED = ("Throttling", "ResourceExhausted", "ResourceThrottled", "ServiceUnavailable", "ServerBusy")
# A second use of a nonce means that a connection repeated our bytes; the next attempt is signed anew.
_REPEATED = ("SignatureNonceUsed", "ConcurrentUpdateError")
_REFUSED = (
    "AccessDenied", "Forbidden", "InvalidAccessKeyI", "Signature", "IncompleteSignature", "InvalidTimeStamp",
    "RequestTimeTooSkewed", "InvalidSecurityToken", "MissingSecurityToken", "SecurityTokenExpired",
)  # fmt: skip

# The first row that fits decides.
_KINDS: tuple[tuple[Callable[[int, str], bool], type[ApiError]], ...] = (
    (lambda status, code: code.startswith(_THROTTLED + _REPEATED), UnavailableError),
    (lambda status, code: status in (408, 425, 429, 499) or status >= 500, UnavailableError),
    # Before "NotFound": for a wrong key Alibaba Cloud's gateway answers 404 InvalidAccessKeyId.NotFound.
    (lambda status, code: code.startswith(_REFUSED), AccessDeniedError),
    (lambda status, code: codes.ends_in(code, "alreadyexists"), AlreadyExistsError),
    (lambda status, code: codes.ends_in(code, "alreadycompleted"), AlreadyCompletedError),
    (lambda status, code: codes.says_not_found(code), NotFoundError),
    (lambda status, code: status in (401, 403), AccessDeniedError),
    (lambda status, code: status == 404, NotFoundError),
    # Not so 412: CAExited, CAFileNotFound and PreconditionFailed are 412 as well (page "Error codes" of FC 3.0).
    (lambda status, code: status == 409, AlreadyExistsError),
)

_WRONG_CLOCK = "the clock of this machine is wrong; set it"
_TOO_LARGE = f"an asynchronous payload may have {PAYLOAD_LIMITS}; pass a reference to larger data"

_HINTS = {
    "InvalidAccessKeyI": "the AccessKey ID is unknown or disabled; correct login (AccessKey ID)",
    "Signature": (
        "the AccessKey secret does not fit, or the endpoint belongs to another account or region; check password "
        "(AccessKey secret), account_id, region_id and host"
    ),
    "IncompleteSignature": (
        "the AccessKey secret does not fit, or something on the way has changed the request; check password (AccessKey "
        "secret) and proxy"
    ),
    "InvalidSecurityToken": "the STS token is wrong or has expired; renew login, password and security_token",
    "SecurityTokenExpired": "the STS token has expired; renew login, password and security_token",
    "MissingSecurityToken": "this AccessKey ID belongs to an STS token, which is missing; give security_token",
    "InvalidTimeStamp": _WRONG_CLOCK,
    "RequestTimeTooSkewed": _WRONG_CLOCK,
    "AccessDenied": (
        "the identity lacks the RAM permission for this operation; add it to the policy of the user or role"
    ),
    "InvalidVersion": (
        "this endpoint does not know the API version: fc.{region}.aliyuncs.com is FC 2.0's; leave the connection's "
        "host empty for FC 3.0, or give service_name for FC 2.0"
    ),
    "EntityTooLarge": _TOO_LARGE,
    "RequestEntityTooLarge": _TOO_LARGE,
}

_MISSING_HINTS: dict[codes.Missing, str] = {
    "function": (
        "check function_name, the connection's region, and service_name: it is given for a function of FC 2.0, and "
        "left out for one of FC 3.0"
    ),
    "service": "check service_name and the connection's region; leave service_name out for a function of FC 3.0",
    "qualifier": "check qualifier: the function has no such version or alias",
    "configuration": "the function's asynchronous invocations have not been configured",
    "invocation": (
        "no record of it under this function and qualifier: it was never submitted here, is not visible yet, is older "
        f"than {RECORD_RETENTION.days} days, or the function is not in asynchronous task mode"
    ),
}

_ID_TAKEN = "an invocation id can be used once: give another one or none, or look at that invocation (get_invocation)"

_LONGEST_WAIT = 60.0
"""Seconds; a longer wish of the server's is cut to this."""

_LONGEST_TEXT = 500


class _ErrorBody(msgspec.Struct):
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


_SPELLINGS = {
    "code": ("Code", "code", "ErrorCode", "errorCode"),
    "message": ("Message", "message", "ErrorMessage", "errorMessage"),
    "request_id": ("RequestId", "RequestID", "requestId"),
}


def error_from(
    operation: str, request: HttpRequest, response: HttpResponse, *, redact: Callable[[str], str], now: datetime
) -> ApiError:
    """Build the exception for an answer that is not 2xx.

    :param request: as it was signed and sent.
    :param redact: takes the credentials out of text; servers quote what was signed when a signature does not match.
    :param now: our clock, to be compared with the server's.
    """
    body = _body(response.body)
    code = body.code or ""
    kind = next((kind for fits, kind in _KINDS if fits(response.status, code)), ApiError)
    server = http_date(response.headers.get("date"))
    signed = signed_hash(request) if kind is AccessDeniedError and "Signature" in code else None
    same_text = signed is not None and signed in (body.message or "")
    hints = [_advice(kind, response.status, code, same_text=same_text)]
    if kind is AccessDeniedError:
        if _is_far_off(server, now) and not _names_its_cause(code):
            hints = [_WRONG_CLOCK]
        hints.append(_clocks(server, now))
    if signed and not same_text:
        hints.append(f"SHA-256 of what was signed: {signed}")

    def shown(text: str | None) -> str | None:
        return None if text is None else redact(redact_signed(request, text))[:_LONGEST_TEXT]

    error = kind(
        operation,
        response.status,
        shown(body.code),
        shown(body.message or ("" if body.code else "the body is not an error of Function Compute")) or "",
        shown(body.request_id or response.headers.get("x-fc-request-id") or response.headers.get("x-acs-request-id")),
        hint="; ".join(filter(None, hints)) or None,
        retry_after=_retry_after(response, now),
    )
    if isinstance(error, AccessDeniedError):
        error.clock_skew = 0.0 if server is None else (now - server).total_seconds()
        error.same_text_signed = same_text
    return error


def _advice(kind: type[ApiError], status: int, code: str, *, same_text: bool) -> str:
    """Say what to do about it, where we know."""
    if same_text:
        return "the AccessKey secret does not fit: the server has signed the very same text; correct password"
    if 300 <= status < 400:
        return "redirects are not followed, since they would take the signature elsewhere; check the endpoint"
    if status == 413 and not code:
        return _TOO_LARGE
    if kind.transient:
        return ""
    if kind is AlreadyExistsError and codes.ends_in(code, "alreadyexists"):
        return _ID_TAKEN
    if kind is NotFoundError and (missing := codes.missing(code)):
        return _MISSING_HINTS[missing]
    return next((hint for start, hint in _HINTS.items() if code.startswith(start)), "")


def _body(body: bytes) -> _ErrorBody:
    """Read all known spellings; a proxy's HTML page reads as an empty error."""
    try:
        fields = msgspec.json.decode(body.decode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return _ErrorBody()
    if not isinstance(fields, dict):
        return _ErrorBody()
    return _ErrorBody(
        **{
            name: next((value for key in keys if isinstance(value := fields.get(key), str) and value), None)
            for name, keys in _SPELLINGS.items()
        }
    )


def _names_its_cause(code: str) -> bool:
    """Tell whether a refusal says what is refused; AccessDenied stands for a wrong time as well as for permissions."""
    return code.startswith(_REFUSED) and not code.startswith(("AccessDenied", "Forbidden"))


def _is_far_off(server: datetime | None, now: datetime) -> bool:
    return server is not None and abs(server - now) > MAX_CLOCK_SKEW


def _clocks(server: datetime | None, now: datetime) -> str:
    if server is None or abs((server - now).total_seconds()) < 60:
        return ""
    return (
        f"the server's clock says {server:%Y-%m-%dT%H:%M:%SZ}, this machine's {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )


def _retry_after(response: HttpResponse, now: datetime) -> float | None:
    """Read the seconds to wait: ``Retry-After`` (seconds or a date) or ``x-acs-retry-after`` (ms, tea_openapi)."""
    text = response.headers.get("retry-after", "")
    milliseconds = response.headers.get("x-acs-retry-after", "")
    if text.isdecimal():
        seconds = float(text)
    elif milliseconds.isdecimal():
        seconds = float(milliseconds) / 1000
    elif date := http_date(text):
        seconds = (date - (http_date(response.headers.get("date")) or now)).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)
