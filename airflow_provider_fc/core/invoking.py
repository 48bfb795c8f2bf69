"""Starts an invocation exactly once for a task, over retries, crashes and lost answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from hashlib import blake2b

import msgspec

from airflow_provider_fc.core.errors import (
    AlreadyExistsError,
    ApiError,
    FunctionComputeError,
    NotFoundError,
    ParameterError,
)
from airflow_provider_fc.core.flow import Context, Flow, Sleep, call
from airflow_provider_fc.core.invocations import SUCCESS_STATUSES, Invocation, readable_id
from airflow_provider_fc.core.limits import MAX_INVOCATION_ID_LENGTH
from airflow_provider_fc.core.operations import Accepted, GetInvocation, Invoke
from airflow_provider_fc.core.parameters import new_invocation_id

log = logging.getLogger(__name__)


class TaskKey(msgspec.Struct, frozen=True):
    """Which task of which run, and the how manieth life of it.

    :param generation: the first try since the task was last cleared; a clear makes a new one, a retry does not.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    generation: int

    def invocation_id(self, prefix: str | None, attempt: int) -> str:
        """``{prefix}{hash}-g{generation}-a{attempt}``: readable, legal, and never that of another task.

        :param prefix: of the author's choice; by default the names of DAG and task.
        :raises ParameterError: the prefix leaves no room or begins with a digit.
        """
        whole = repr((self.dag_id, self.run_id, self.task_id, self.map_index))
        ending = f"{blake2b(whole.encode(), digest_size=12).hexdigest()}-g{self.generation}-a{attempt}"
        room = MAX_INVOCATION_ID_LENGTH - len(ending)
        if prefix is None:
            readable = readable_id(f"{self.dag_id}-{self.task_id}-")
            made = f"{'' if readable[0].isalpha() else '_'}{readable}"[:room] + ending
            return new_invocation_id("invocation_id", made)
        if len(prefix) > room:
            raise ParameterError("invocation_id_prefix", f"{len(prefix)} characters are too many; give {room} at most")
        if not (prefix[0].isalpha() or prefix[0] == "_"):
            raise ParameterError(
                "invocation_id_prefix", f"{prefix!r} must begin with a letter or _; put a word before it"
            )
        return prefix + ending


class Started(msgspec.Struct, frozen=True):
    """An invocation that is this task's.

    :param found: what it was when it turned out to have been started before, if it could be read.
    """

    invocation_id: str
    request_id: str | None
    found: Invocation | None = None

    @property
    def ended_badly(self) -> bool:
        return self.found is not None and self.found.is_terminal and self.found.status not in SUCCESS_STATUSES


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


def start(
    operation_for: Callable[[int], Invoke], attempts: int, context: Context, *, watched: bool, first_try: bool
) -> Flow[Started]:
    """Submit, or attach to what an earlier try has submitted under the same id.

    What is found live is this task's, and what is found succeeded is its result. What ended badly in an earlier try is
    followed by a new attempt under the next id.

    :param operation_for: the operation of attempt 1, 2, ...
    :param watched: whether anybody waits for the end; if not, any earlier submission will do.
    :param first_try: no earlier try of this task can have submitted anything, so an id already in use is a stranger's.
    :raises AlreadyExistsError: it is, or the conflict is about something else than the id.
    """
    started = None
    for attempt in range(1, attempts + 1):
        operation = operation_for(attempt)
        try:
            accepted = yield from submit(operation, context)
            return Started(accepted.invocation_id, accepted.request_id)
        except AlreadyExistsError as error:
            if first_try:
                raise
            started = yield from _attach(operation, error, context, watched=watched)
        if not (watched and started.ended_badly):
            return started
        if attempt < attempts:
            log.info("It has ended badly; attempt %d of %d follows", attempt + 1, attempts)
    if started is None:
        raise ParameterError("retries", f"{attempts} attempts are none; give 0 or more")
    return started


def _attach(operation: Invoke, conflict: AlreadyExistsError, context: Context, *, watched: bool) -> Flow[Started]:
    """Find what an earlier try has submitted under this id.

    :raises AlreadyExistsError: there is no such record, and the conflict does not say that the id is in use.
    """
    invocation_id = operation.invocation_id or ""
    log.info("Invocation %s was submitted by an earlier try", invocation_id)
    lookup = GetInvocation(operation.function, invocation_id)
    found = yield from _found(lookup, context)
    if found is None and not (conflict.code or "").endswith("AlreadyExists"):
        raise conflict
    if watched and found is not None and found.status == "Stopping":
        found = yield from _stopped(lookup, found, context)
    return Started(invocation_id, found.request_id if found else conflict.request_id, found)


def _stopped(operation: GetInvocation, found: Invocation, context: Context) -> Flow[Invocation]:
    """Wait a while until it has stopped: the kill that came with a clear is still at work, and its end is certain."""
    policy = context.policies.records
    give_up = context.now() + timedelta(seconds=policy.stopping)
    while found.status == "Stopping" and context.now() < give_up:
        yield Sleep(policy.pause)
        found = yield from call(operation, context)
    return found


def _found(operation: GetInvocation, context: Context) -> Flow[Invocation | None]:
    try:
        return (yield from look_up(operation, context, seconds=context.policies.records.conflict))
    except NotFoundError as error:
        if not error.is_invocation:
            raise
        return None


def look_up(operation: GetInvocation, context: Context, *, seconds: float) -> Flow[Invocation]:
    """Read a record that is there or will be: it becomes visible a few seconds after the submission.

    :param seconds: for so long it may be missing, or the server be out of order.
    :raises NotFoundError: it is still not there.
    """
    give_up = context.now() + timedelta(seconds=seconds)
    while True:
        try:
            return (yield from call(operation, context))
        except FunctionComputeError as error:
            if not _may_pass(error) or context.now() >= give_up:
                raise
        yield Sleep(context.policies.records.pause)


def _may_pass(error: FunctionComputeError) -> bool:
    """Tell whether a record that exists may be answered with this error for a while."""
    if isinstance(error, NotFoundError) and error.is_invocation:
        return True
    return error.transient or (isinstance(error, ApiError) and error.unexplained)
