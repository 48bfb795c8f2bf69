"""The errors: each class says whose fault it is and whether asking again can help.

None of them derives from ``AirflowException``: Airflow turns any of those into a *skip* when a deferred sensor with
``soft_fail`` resumes, and a failed batch must never look like a skip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_fc.core.codes import Missing, missing


class FunctionComputeError(Exception):
    """Base of everything this package raises on purpose."""

    transient: bool = False
    """True when the same question may be answered later without anybody changing anything."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Process pools pickle exceptions, and by default rebuild them from ``args``, which is the text alone.
        return _bare, (type(self), *self.args), vars(self)


class SettingsError(FunctionComputeError):
    """The connection cannot be used.

    :param problems: every mistake found, each naming the field and the fix.
    """

    def __init__(self, conn_id: str, problems: Sequence[str]) -> None:
        self.conn_id = conn_id
        self.problems = tuple(problems)
        head = f"Connection {conn_id!r} cannot be used for Function Compute:"
        # The last line of a log is what is read first, so what is one problem is one line.
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        super().__init__(f"{head} {self.problems[0]}" if len(self.problems) == 1 else head + lines)


class ConnectionNotFoundError(SettingsError):
    """Airflow has no such connection, or could not read it just now: it reports both alike."""


class ParameterError(FunctionComputeError, ValueError):
    """A parameter's value cannot be used.

    :param name: the parameter as the author wrote it.
    :param problem: what is wrong with the value and how to mend it.
    """

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        self.problem = problem
        super().__init__(f"{name}: {problem}")


class ResultTooLargeError(FunctionComputeError):
    """More was found than ``max_items`` or ``max_bytes`` allow."""


class TransportError(FunctionComputeError):
    """No complete answer arrived; the text ends with what to do about it."""

    transient = True


class CertificateError(TransportError):
    """The server's certificate is not accepted: not of an authority that is trusted, of another name, or expired.

    A wait that was answered before goes on.
    """

    transient = False


class ProtocolError(FunctionComputeError):
    """The answer does not follow Function Compute's protocol."""


class MalformedBodyError(ProtocolError):
    """The body is not JSON or a field has the wrong type, as when a proxy answers in its place."""

    transient = True


class PagingError(ProtocolError):
    """The listing cannot go on: the server repeated a page token, or refused one it had issued.

    A wait starts a new listing; :meth:`FunctionComputeHook.list_invocations` gives up: it cannot take back what it
    has already yielded.
    """

    transient = True


class ApiError(FunctionComputeError):
    """Function Compute answered with an error.

    :param operation: what was asked, for example ``ListAsyncTasks``.
    :param status: HTTP status.
    :param code: error code, or ``None`` when the body had none.
    :param request_id: what Alibaba Cloud support asks for.
    :param hint: what to do about it, where we know.
    :param retry_after: seconds the server asked to wait, or ``None``.
    """

    def __init__(
        self,
        operation: str,
        status: int,
        code: str | None,
        message: str,
        request_id: str | None,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.operation = operation
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after
        text = f"{operation}: HTTP {status} {code or 'without an error code'}: {message or 'no message'}"
        if hint:
            text += f" ({hint})"
        super().__init__(f"{text} [request id {request_id or 'unknown'}]")

    @property
    def unexplained(self) -> bool:
        """Whether nothing says what is wrong. 401 and 403 do so by themselves."""
        # Function Compute gives each error a code (page "Error codes"): a proxy has answered, or the body was cut off.
        return self.code is None and self.status not in (401, 403)


class AccessDeniedError(ApiError):
    """The key, its signature, its token or its permissions were refused: 401, 403 and such codes."""

    clock_skew: float = 0.0
    """Seconds by which our clock is ahead of the server's."""

    same_text_signed: bool = False
    """Whether the server says that it has signed the very same text, so that only the secret can be wrong."""


class NotFoundError(ApiError):
    """The function, service, alias, version or invocation does not exist (any more, or yet)."""

    @property
    def missing(self) -> Missing | None:
        """What does not exist; ``None`` when a proxy or another service says so."""
        return missing(self.code)

    @property
    def is_invocation(self) -> bool:
        """Whether it is the invocation that is unknown: not its function, nor a proxy that knows nothing at all."""
        return self.missing == "invocation"


class AlreadyExistsError(ApiError):
    """An invocation with this id was accepted before."""

    repeated: bool = False
    """True when an earlier attempt of the same call may be the one that was accepted, its answer having been lost."""


class AlreadyCompletedError(ApiError):
    """The invocation to stop had already finished."""


class UnavailableError(ApiError):
    """Throttled or failing for the moment: 429, 5xx and throttling codes."""

    transient = True


class NoRecordError(FunctionComputeError):
    """An invocation was carried out, or will be, and leaves no record: the function is not in asynchronous task mode.

    There is nothing to wait for, and without a record Function Compute does not know the id either: sending the
    invocation again would run the function again.
    """


class DeadlineExceeded(FunctionComputeError):
    """The limit given by the caller passed before an answer came."""


class WaitError(FunctionComputeError):
    """Base of what a wait can end with besides success and timeout."""


class InvocationsFailedError(WaitError):
    """More invocations ended badly than ``max_failed`` allows."""


class InvocationsLostError(WaitError):
    """Records that were there, or may have been there, can no longer be seen."""


class NoInvocationsError(WaitError):
    """Nothing matches, and ``on_empty="fail"`` says that this is a failure."""


class WaitTimeoutError(WaitError):
    """An operator's ``timeout`` passed. The invocation goes on; a retry finds it again."""


class TriggerError(WaitError):
    """The trigger ended without an outcome that can be understood."""


def _bare(kind: type[FunctionComputeError], *args: object) -> FunctionComputeError:
    """Make an error with its text and without its attributes."""
    error = kind.__new__(kind)
    Exception.__init__(error, *args)
    return error


_CARRIED = ("operation", "status", "code", "message", "request_id")


def to_fields(error: FunctionComputeError) -> dict[str, Any]:
    """Make a JSON-native image of an error, for the way from the triggerer to the worker."""
    carried = {name: getattr(error, name) for name in _CARRIED} if isinstance(error, ApiError) else {}
    return {"class": type(error).__name__, "text": str(error), **carried}


def from_fields(fields: Mapping[str, Any]) -> FunctionComputeError:
    """Rebuild the error that :func:`to_fields` described, with its type; an unknown one is a :class:`TriggerError`."""
    kind = globals().get(str(fields.get("class")))
    if not (isinstance(kind, type) and issubclass(kind, FunctionComputeError)):
        kind = TriggerError
    error = _bare(kind, str(fields.get("text")))
    if isinstance(error, ApiError):
        for name in _CARRIED:
            setattr(error, name, fields.get(name))
        error.retry_after = None
    return error
