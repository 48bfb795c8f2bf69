"""Executes the invoke operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_fc._compat import note, recall, run_of
from airflow_provider_fc.core import defaults, parameters
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.console import advised_url
from airflow_provider_fc.core.errors import (
    AlreadyExistsError,
    FunctionComputeError,
    InvocationsFailedError,
    InvocationsLostError,
    NoRecordError,
    ParameterError,
    TriggerError,
    WaitTimeoutError,
)
from airflow_provider_fc.core.invocations import SUCCESS_STATUSES, Invocation
from airflow_provider_fc.core.invoking import Started, TaskKey, look_up, start
from airflow_provider_fc.core.operations import GetInvocation, Invoke, StopInvocation
from airflow_provider_fc.core.outcome import Failure, Kind, Outcome
from airflow_provider_fc.core.stopping import stop_submitted
from airflow_provider_fc.core.wait import NO_LAST_POLL, Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.execution.common import function_of_task, hook_of, push_link, what_next
from airflow_provider_fc.execution.given import settle
from airflow_provider_fc.execution.upstream import maps_over_pairs
from airflow_provider_fc.execution.waiting import (
    deferral,
    deferred_seconds,
    no_event,
    outcome_of,
    wait_here,
)
from airflow_provider_fc.triggers import FunctionComputeInvocationTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.core.api import FunctionRef
    from airflow_provider_fc.core.operations import Invoke
    from airflow_provider_fc.hooks import FunctionComputeHook
    from airflow_provider_fc.operators import FunctionComputeInvokeOperator

_GENERATION = "fc_generation"
_KILL_SECONDS = 20
_MADE_ID_IN_USE = (
    "another task, run or Airflow has it, and it is left alone. Set invocation_id_prefix, or an invocation_id of this "
    "task's own"
)
_OWN_ID_IN_USE = (
    "another task, map index, run or Airflow has it, or this task, before it was cleared, and it is left alone. FC "
    "accepts an invocation_id once: leave invocation_id out, so that each start has an id of its own, or give "
    "another one"
)


@contextmanager
def _not_to_be_retried() -> Iterator[None]:
    """Fail the task for good where Function Compute keeps no record.

    There the id of an invocation protects from nothing: each retry would submit it anew and run the function again.
    """
    try:
        yield
    except NoRecordError as error:
        raise AirflowFailException(f"{error}. No retry follows, because it would run the function again") from None


def _push_id(context: Context, invocation_id: str | None) -> None:
    """Tell tasks downstream, however this one ends. Airflow keeps it over a deferral, and clears it at a retry."""
    context["ti"].xcom_push(key="invocation_id", value=invocation_id)


class InvokeExecution:
    """One execution of the operator in one process; it knows what it has submitted, so that a kill can stop it."""

    def __init__(self, task: FunctionComputeInvokeOperator) -> None:
        self.task = task
        self._submitted: str | None = None
        self._advised_url = ""

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit, then wait here or defer.

        :raises FunctionComputeError: it could not be started, or it ended badly.
        :raises AirflowFailException: it was carried out without a record, so that a retry would run it again.
        """
        with _not_to_be_retried():
            return self._execute(context)

    def _execute(self, context: Context) -> dict[str, Any]:
        task = self.task
        with hook_of(task) as hook:
            push_link(task, hook, context)
            settle(task)
            self._refuse_what_needs_the_end()
            parameters.whole_number("log_tail_lines", task.log_tail_lines, at_least=0)
            schedule = self._schedule(hook, context) if task.wait_for_completion else None
            function = function_of_task(task, hook)
            self._advised_url = advised_url(hook.settings, function)
            started = self._start(hook, function, context)
            if schedule is None:
                return self._submission(started)
            wait = self._wait(hook, function, started.invocation_id, schedule)
        if started.found is not None and started.found.is_terminal:
            return self._result(started.found)
        if task.deferrable:
            raise deferral(task, FunctionComputeInvocationTrigger, wait, cancel_on_kill=task.cancel_on_kill)
        return self._judge(started.invocation_id, wait_here(task, wait), context)

    def _refuse_what_needs_the_end(self) -> None:
        if self.task.include_return_payload and not self.task.wait_for_completion:
            raise ParameterError(
                "include_return_payload",
                "needs wait_for_completion=True: only what has ended has returned something; set it, or leave this out",
            )

    def complete(self, event: object, context: Context) -> dict[str, Any]:
        """Turn the trigger's event into the task's result."""
        settle(self.task)
        with _not_to_be_retried():
            outcome = outcome_of(event)
        if outcome.invocation_id is None:
            raise TriggerError("the trigger did not say which invocation has ended")
        return self._judge(outcome.invocation_id, outcome, context)

    def kill(self) -> None:
        """Stop the invocation that this task has started."""
        task = self.task
        if not (task.cancel_on_kill and self._submitted):
            return
        try:
            with hook_of(task) as hook:
                operation = StopInvocation.from_parameters(function_of_task(task, hook), self._submitted)
                limit = datetime.now(UTC) + timedelta(seconds=_KILL_SECONDS)
                result = hook.client.run(stop_submitted(operation, hook.client.context.until(limit)))
        except Exception as error:  # noqa: BLE001 - Airflow 2 calls this in a signal handler: an error would undo the kill
            task.log.warning("Invocation %s could not be stopped: %s", self._submitted, error)
            return
        task.log.info("The task was killed; invocation %s: %s", self._submitted, result)

    def _start(self, hook: FunctionComputeHook, function: FunctionRef, context: Context) -> Started:
        task = self.task
        generation = self._generation(context)
        try_number = context["ti"].try_number
        first_try = try_number == generation
        # Clearing a running task adds a try that retries= does not count.
        attempts = max(task.retries or 0, try_number - generation) + 1
        conversation = start(
            self._operation_for(function, context, generation, first_try=first_try),
            attempts if task.invocation_id is None else 1,  # FC accepts an id of the author's own once
            hook.client.context,
            watched=task.wait_for_completion,
            first_try=first_try,
        )
        try:
            started = hook.client.run(conversation)
        except AlreadyExistsError as error:
            submitted, self._submitted = self._submitted, None  # somebody else's: a kill must not stop it
            if not first_try:
                raise
            if submitted is not None:
                _push_id(context, None)  # nor must a task downstream
            # No retry: it would find an earlier try, this one, and take the stranger's invocation for that one's.
            invocation_id = submitted or parameters.invocation_id("invocation_id", task.invocation_id)
            raise AirflowFailException(
                f"Invocation id {invocation_id} is in use, but this task has submitted nothing yet: "
                f"{_MADE_ID_IN_USE if task.invocation_id is None else _OWN_ID_IN_USE}. {error}"
            ) from None
        if self._submitted != started.invocation_id:
            _push_id(context, started.invocation_id)
        self._submitted = started.invocation_id
        task.log.info(
            "The invocation of %s is %s [request id %s]", task.function_name, started.invocation_id, started.request_id
        )
        return started

    def _generation(self, context: Context) -> int:
        """Find the first try since the last clear, by the formula that Airflow uses for rescheduled sensors.

        An earlier try has noted it, where Airflow can keep it: ``retries`` may have been changed since then.
        """
        max_tries: int = context["ti"].max_tries or 0
        noted = (recall(context, _GENERATION) or "").split()
        if len(noted) == 2 and noted[0] == str(max_tries):
            return int(noted[1])
        generation = max_tries - (self.task.retries or 0) + 1
        note(context, _GENERATION, f"{max_tries} {generation}")
        return generation

    def _operation_for(
        self, function: FunctionRef, context: Context, generation: int, *, first_try: bool
    ) -> Callable[[int], Invoke]:
        task = self.task
        parameters.refuse_python_text("payload", task.payload)
        if isinstance(task.payload, tuple) and maps_over_pairs(task, "payload", context):
            raise ParameterError(
                "payload", "is one pair of a dict, as expand() maps over pairs; give a list: expand(payload=[{...}])"
            )
        prefix = parameters.id_prefix("invocation_id_prefix", task.invocation_id_prefix)
        if prefix is not None and task.invocation_id is not None:
            raise ParameterError("invocation_id", "is given beside invocation_id_prefix; give one of the two")
        ti = context["ti"]
        run = run_of(ti, first_try=first_try)
        key = TaskKey(ti.dag_id, run, ti.task_id, -1 if ti.map_index is None else ti.map_index, generation)

        def operation(attempt: int) -> Invoke:
            if task.invocation_id is None:
                # Before it is sent: a kill, and tasks downstream, must find it even when no answer comes.
                invocation_id = self._submitted = key.invocation_id(prefix, attempt)
                _push_id(context, invocation_id)
            else:
                # An id that others may use as well is this task's only once FC has accepted it.
                invocation_id = parameters.invocation_id("invocation_id", task.invocation_id)
            return Invoke.from_parameters(function, task.payload, invocation_id=invocation_id, delay=task.delay)

        return operation

    def _submission(self, started: Started) -> dict[str, Any]:
        """Say what is known without waiting."""
        found = started.found or Invocation(
            invocation_id=started.invocation_id,
            status="Enqueued",  # where every accepted invocation begins
            function_name=self.task.function_name,
            request_id=started.request_id,
        )
        return found.to_dict(defaults.FIELDS)

    def _schedule(self, hook: FunctionComputeHook, context: Context) -> Schedule:
        """Check the durations, before anything is submitted."""
        began_at = getattr(context["ti"], "start_date", None) or datetime.now(UTC)
        poll_interval = parameters.interval("poll_interval", self.task.poll_interval, hook.policies.polling.shortest)
        return Schedule(poll_interval, began_at + timedelta(seconds=self._seconds()))

    def _seconds(self) -> float:
        """Tell how long to wait. Airflow itself ends a blocking task at its ``execution_timeout``."""
        timeout = parameters.seconds("timeout", self.task.timeout)
        return deferred_seconds(timeout, self.task.execution_timeout) if self.task.deferrable else timeout

    def _wait(self, hook: FunctionComputeHook, function: FunctionRef, invocation_id: str, schedule: Schedule) -> Wait:
        delay = parameters.delay("delay", self.task.delay) or 0
        batch = Batch.from_parameters(
            function, invocation_ids=[invocation_id], visible_within=hook.policies.records.accepted + delay
        )
        return Wait(watch(batch, datetime.now(UTC)), schedule, hook.client.context)

    def _judge(self, invocation_id: str, outcome: Outcome, context: Context) -> dict[str, Any]:
        """Give the result of a wait that has ended in whatever way."""
        if outcome.kind in (Kind.SUCCESS, Kind.FAILED):
            return self._result(self._record(invocation_id, succeeded=outcome.kind is Kind.SUCCESS))
        if outcome.kind is Kind.TIMEOUT:
            raise self._timed_out(f"Invocation {invocation_id} of {self.task.function_name}", outcome.reason, context)
        raise InvocationsLostError(
            f"{outcome.reason}\nWhat to do next: see in the function's own log whether it has run; {self._repetition()}"
        )

    def _timed_out(self, which: str, reason: str, context: Context) -> Exception:
        seconds, next_step = f"{self._seconds():g} s", self._watching_on(context)
        if reason.startswith(NO_LAST_POLL):
            return WaitTimeoutError(f"{which} was not seen to end within {seconds} ({reason}). {next_step}")
        return WaitTimeoutError(f"{which} has not ended within {seconds} ({reason}); it goes on. {next_step}")

    def no_event(self, error: Exception, reason: object, context: Context) -> Exception:
        """Tell in one error why the trigger has sent nothing.

        :param reason: Airflow's own word for it.
        """
        what = f"an invocation of {self.task.function_name}"
        return no_event(what, f". {self._watching_on(context)}", error, reason, WaitTimeoutError)

    def _watching_on(self, context: Context) -> str:
        """Say how what goes on is watched again, and what starts another one beside it."""
        ti = context["ti"]
        left = ti.try_number <= (ti.max_tries or 0)
        retry = "A retry watches it again" if left else "No retry is left, which would watch it again: set retries"
        clearing = "starts another one beside it"
        if self.task.invocation_id is not None:
            clearing = "ends in an error, because its invocation_id is in use"
        return f"{retry}; raise timeout if it needs longer. Clearing this task {clearing}"

    def _record(self, invocation_id: str, *, succeeded: bool) -> Invocation:
        """Read the record of an invocation whose end is known; failing to read it does not change that."""
        task = self.task
        with hook_of(task) as hook:
            function = function_of_task(task, hook)
            self._advised_url = advised_url(hook.settings, function)
            operation = GetInvocation.from_parameters(function, invocation_id)
            try:
                return hook.client.run(look_up(operation, hook.client.context, seconds=hook.policies.records.ended))
            except FunctionComputeError as error:
                if task.include_return_payload or not succeeded:
                    raise  # a retry reads it again
                task.log.warning("Invocation %s has succeeded, but its record cannot be read: %s", invocation_id, error)
                return Invocation(invocation_id=invocation_id, status="Succeeded", function_name=task.function_name)

    def _result(self, found: Invocation) -> dict[str, Any]:
        """Dump the invocation; a bad end raises."""
        if found.status not in SUCCESS_STATUSES:
            lines = parameters.whole_number("log_tail_lines", self.task.log_tail_lines, at_least=0) or 0
            raise InvocationsFailedError(
                f"{Failure.of(found, lines)}\n{what_next(self._advised_url, self._repetition())}"
            )
        return found.to_dict((*defaults.FIELDS, *(["return_payload"] if self.task.include_return_payload else [])))

    def _repetition(self) -> str:
        if self.task.invocation_id is None:
            return "clear this task, which starts another invocation"
        return (
            "a retry cannot start it again, because FC accepts an invocation_id once: leave invocation_id out to let "
            "each attempt have its own"
        )
