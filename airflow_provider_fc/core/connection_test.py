"""The connection test: what it asks, and what the answer says about the connection."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    ApiError,
    CertificateError,
    FunctionComputeError,
    NotFoundError,
    SettingsError,
    TransportError,
    UnavailableError,
)
from airflow_provider_fc.core.flow import Context, Flow, GetCredentials, call
from airflow_provider_fc.core.limits import MAX_CLOCK_SKEW
from airflow_provider_fc.core.operations import ListInvocations
from airflow_provider_fc.core.settings import Settings

_SECONDS = 15
"""How long a test may take; somebody waits for it in front of a form."""


def check(context: Context) -> Flow[tuple[bool, str]]:
    """Make one signed read, and tell whether the connection is good, or what is wrong with it."""
    try:
        operation = probe(context.settings)
        origin = context.settings.origin(operation.function.api)
        yield GetCredentials()
    except SettingsError as error:
        return False, str(error)
    except FunctionComputeError as error:
        return False, f"No credentials: nothing could be sent to {origin}. Details: {error}"
    try:
        yield from call(operation, context.until(context.now() + timedelta(seconds=_SECONDS)))
    except FunctionComputeError as error:
        return explain(error, origin)
    return _accepted(origin)


_PROBE_FUNCTION = "airflow-connection-test"


def probe(settings: Settings) -> ListInvocations:
    """Build a read of a function that need not exist: access is checked before existence."""
    with_service = settings.api_version is not None and settings.api_version < "2023"
    service = _PROBE_FUNCTION if with_service else None
    return ListInvocations(function_ref(_PROBE_FUNCTION, service, api_version=settings.api_version), page_size=1)


def explain(error: FunctionComputeError, origin: str) -> tuple[bool, str]:
    """Say what an error that answers :func:`probe` means for the connection."""
    # Unlike the gateway's InvalidAction.NotFound or another product's NoSuchBucket.
    if isinstance(error, NotFoundError) and error.missing:
        return _accepted(origin)
    return False, next(text(origin) for fits, text in _DIAGNOSES if fits(error)) + f" Details: {error}"


def _accepted(origin: str) -> tuple[bool, str]:
    return True, f"Function Compute at {origin} accepted the credentials"


def _code_starts(*starts: str) -> Callable[[FunctionComputeError], bool]:
    return lambda error: isinstance(error, ApiError) and (error.code or "").startswith(starts)


_MINUTES_OFF = MAX_CLOCK_SKEW.total_seconds() / 60
_WRONG_CLOCK = f"Wrong clock: this machine's is more than {_MINUTES_OFF:g} minutes off."

# The first row that fits explains it.
_DIAGNOSES: tuple[tuple[Callable[[FunctionComputeError], bool], Callable[[str], str]], ...] = (
    (
        _code_starts("InvalidAccessKeyI"),
        lambda origin: "Wrong key: the AccessKey ID (login) is unknown or disabled.",
    ),
    (
        # First: SignatureNonceUsed is one of these too.
        lambda error: isinstance(error, UnavailableError) and error.code is not None,
        lambda origin: f"Try again: {origin} answers, but is busy or failing at the moment.",
    ),
    (
        lambda error: isinstance(error, AccessDeniedError) and abs(error.clock_skew) > MAX_CLOCK_SKEW.total_seconds(),
        lambda origin: _WRONG_CLOCK,
    ),
    (
        _code_starts("InvalidTimeStamp", "RequestTimeTooSkewed"),
        lambda origin: _WRONG_CLOCK,
    ),
    (
        lambda error: isinstance(error, AccessDeniedError) and error.same_text_signed,
        lambda origin: "Wrong key: the AccessKey secret (password) does not fit the AccessKey ID (login).",
    ),
    (
        _code_starts("Signature", "IncompleteSignature"),
        lambda origin: (
            f"Wrong key or endpoint: the AccessKey secret (password) does not fit, or {origin} belongs to another "
            "account_id or region_id."
        ),
    ),
    (
        _code_starts("InvalidSecurityToken", "MissingSecurityToken", "SecurityTokenExpired"),
        lambda origin: "Wrong token: extra.security_token is wrong, missing or expired.",
    ),
    (
        # Without a code it is some proxy's refusal.
        lambda error: isinstance(error, AccessDeniedError) and error.code is not None,
        lambda origin: (
            "Missing permission: the key is known, but its identity may not list invocations (RAM action "
            "fc:ListAsyncTasks for FC 3.0, fc:ListStatefulAsyncInvocations for FC 2.0)."
        ),
    ),
    (
        lambda error: isinstance(error, CertificateError),
        lambda origin: f"Certificate not trusted: that of {origin}, or of a proxy in between.",
    ),
    (
        lambda error: isinstance(error, TransportError),
        lambda origin: f"Unreachable: no answer from {origin}.",
    ),
    (
        lambda error: True,
        lambda origin: f"Wrong endpoint: {origin} does not answer like Function Compute. Check host and region_id.",
    ),
)
