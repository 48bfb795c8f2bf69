"""Executes the sensor: sets up its wait, polls once, defers, and concludes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowSensorTimeout, PokeReturnValue

from airflow_provider_fc._compat import SHORTEST_RESCHEDULE, first_reschedule_date, note, recall
from airflow_provider_fc.core import errors, parameters
from airflow_provider_fc.core.batch import (
    ARE_EXPECTED,
    COUNT_THEM,
    PARAMETERS,
    Batch,
    failed_count,
    failure_text,
    nothing_expected,
)
from airflow_provider_fc.core.console import advised_url
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    ConnectionNotFoundError,
    FunctionComputeError,
)
from airflow_provider_fc.core.explain import LOG_TAILS, explain
from airflow_provider_fc.core.limits import RECORD_RETENTION
from airflow_provider_fc.core.outcome import Kind, Outcome, Summary
from airflow_provider_fc.core.wait import LAST_POLL_FAILED, Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.execution.common import function_of_task, hook_of, push_link, what_next
from airflow_provider_fc.execution.given import settle
from airflow_provider_fc.execution.waiting import (
    deferral,
    deferred_seconds,
    no_event,
    outcome_of,
)
from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.hooks import FunctionComputeHook
    from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

_FIRST_POLL_SECONDS = 30
_EXPLAIN_SECONDS = 30
_LIVE_ID = "fc_live_invocation"
_LONG_WAIT = RECORD_RETENTION - timedelta(days=1)
_ERRORS: dict[Kind, type[FunctionComputeError]] = {
    Kind.FAILED: errors.InvocationsFailedError,
    Kind.LOST: errors.InvocationsLostError,
    Kind.EMPTY: errors.NoInvocationsError,
}


_LIST_THEM = ", or list them with FunctionComputeListInvocationsOperator (fields, statuses)"
_NEW_RUN = "start a new run under a prefix of its own, such as one with {{ run_id }}"
_REPEAT_A_PREFIX = (
    f"{_NEW_RUN}: what has failed stays under this one, so clearing tasks ends here again (it does not where the "
    "sensor waits for invocation_ids)"
)
_REPEAT_IDS = (
    "clear the tasks that have started them, with everything downstream. What no task of this DAG has started, start "
    "under new ids, and wait for those"
)
_START_IT = "clear the tasks that should start what is not found, with everything downstream"
_THEN_CLEAR = ", then clear this task"
_GONE = "Clearing this task alone does not help: a record that is gone does not come back"


class SensorExecution:
    """One process's part of a sensor's wait; in poke mode it holds the wait between two polls."""

    def __init__(self, sensor: FunctionComputeInvocationsSensor) -> None:
        self.sensor = sensor
        self._wait: Wait | None = None
        self._advised_url = ""
        self._hook: FunctionComputeHook | None = None  # with the connection, read once for all polls

    def is_deferrable(self) -> bool:
        """Read the flag: an environment variable gives the text "False"."""
        return parameters.boolean("deferrable", self.sensor.deferrable)

    def first_poll_or_defer(self, context: Context) -> dict[str, Any]:
        """Poll once, cheaply; what has not ended yet is handed over to a trigger.

        :raises FunctionComputeError: the batch ended badly, or a permanent error.
        """
        with hook_of(self.sensor) as hook:
            wait = self._start(hook, context)
            if wait.watch.batch.expects_nothing:
                return self._conclude(self._nothing_expected(wait.watch.batch))
            limit = min(wait.schedule.deadline, datetime.now(UTC) + timedelta(seconds=_FIRST_POLL_SECONDS))
            outcome = hook.client.run(wait.first_poll(hook.client.context.until(limit)))
        if outcome is not None and outcome.decided:
            return self._conclude(self._with_log_tails(outcome))
        raise deferral(self.sensor, FunctionComputeInvocationsTrigger, wait)

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. Transient errors are logged and count as not done.

        :raises FunctionComputeError: the batch ended badly, or a permanent error.
        """
        try:
            outcome = self._poll_with_current_keys(context)
        except ConnectionNotFoundError as error:
            if not self._has_begun(context):
                raise
            # It could be read before; Airflow says the same of a secrets backend that fails for a moment.
            self.sensor.log.warning("Could not poll, the wait goes on: %s", error)
            outcome = None
        if outcome is None:
            self._hook = None  # maybe it is the connection's fault: it is read again
        if outcome is None or not outcome.decided:
            return PokeReturnValue(False)
        return PokeReturnValue(True, self._conclude(self._with_log_tails(outcome)))

    def complete(self, event: object) -> dict[str, Any]:
        """Turn the trigger's event into the task's result."""
        return self._conclude_deferred(outcome_of(event))

    def no_event(self, error: Exception, reason: object) -> Exception:
        """Tell in one error why the trigger has sent nothing.

        :param reason: Airflow's own word for it.
        """
        return no_event(self.sensor.what(), _THEN_CLEAR, error, reason, AirflowSensorTimeout)

    def next_poke_interval(self, interval: float) -> float:
        """Stretch Airflow's interval while the server is throttled, and cut it at the deadline."""
        if self._wait is None:
            return interval
        left = (self._wait.schedule.deadline - datetime.now(UTC)).total_seconds()
        pause = self._wait.pace.slowed(interval) - self._wait.counted_for
        return max(min(pause, left), 0.0)

    @property
    def timed_out(self) -> str:
        return f"Timed out waiting for {self.sensor.what()}: {self.last_known}"

    @property
    def last_known(self) -> str:
        if self._wait is None:
            return "last known: nothing"
        known = self._wait.known
        return f"last known: {known}{self._after_a_timeout(known, self._wait.watch.last)}"

    def _poll_with_current_keys(self, context: Context, refused: AccessDeniedError | None = None) -> Outcome | None:
        """Poll; when the keys are refused, once more if the connection has got new ones meanwhile."""
        old = self._hook
        hook = self._hook = hook_of(self.sensor) if old is None or refused else old
        with hook:
            if refused and old and hook.settings.auth == old.settings.auth:
                raise refused
            if self._wait is None:
                self._wait = self._start(hook, context)
            try:
                return self._poll(hook, self._wait, context)
            except AccessDeniedError as error:
                refused = error
        self.sensor.log.info(
            "The keys of connection %r were refused; the connection is read again", self.sensor.fc_conn_id
        )
        return self._poll_with_current_keys(context, refused)

    def _poll(self, hook: FunctionComputeHook, wait: Wait, context: Context) -> Outcome | None:
        """Poll; in reschedule mode with the live invocation of the poll before, which was another process."""
        if wait.watch.batch.expects_nothing:
            return self._nothing_expected(wait.watch.batch)
        if not self.sensor.reschedule:
            return hook.client.run(wait.poke(hook.client.context))
        wait.watch.live_id = known = recall(context, _LIVE_ID)
        outcome = hook.client.run(wait.poke(hook.client.context))
        if wait.watch.live_id is not None and wait.watch.live_id != known:
            note(context, _LIVE_ID, wait.watch.live_id)
        return outcome

    def _batch(self, hook: FunctionComputeHook) -> Batch:
        sensor = self.sensor
        given = {name: getattr(sensor, name) for name in PARAMETERS}
        ids = parameters.known_ids("invocation_ids", sensor.invocation_ids, on_missing=sensor.on_missing)
        return Batch.from_parameters(function_of_task(sensor, hook), **{**given, "invocation_ids": ids})

    def _start(self, hook: FunctionComputeHook, context: Context) -> Wait:
        """Check the parameters and set up the wait."""
        sensor = self.sensor
        push_link(sensor, hook, context)
        settle(sensor)
        parameters.whole_number("log_tail_lines", sensor.log_tail_lines, at_least=0)
        batch = self._batch(hook)
        self._advised_url = advised_url(hook.settings, batch.function)
        timeout = self._seconds_to_wait()
        poke_interval = parameters.seconds("poke_interval", sensor.poke_interval)
        max_wait = parameters.seconds("max_wait", sensor.max_wait) if sensor.max_wait else None
        progress_interval = sensor.progress_interval
        if progress_interval is not None:
            progress_interval = parameters.interval(
                "progress_interval", progress_interval, hook.policies.polling.shortest
            )
        rescheduled_at = self._first_rescheduled_at(context)
        began_at = rescheduled_at or getattr(context.get("ti"), "start_date", None) or datetime.now(UTC)
        self._warn_of_a_long_wait(batch)
        self._warn_of_a_short_pause(poke_interval)
        schedule = Schedule(
            poll_interval=poke_interval,
            deadline=began_at + timedelta(seconds=timeout),
            exponential_backoff=bool(sensor.exponential_backoff),
            max_wait=max_wait,
            silent_fail=sensor.tolerates_errors,
            progress_interval=progress_interval,
        )
        wait = Wait(watch(batch, began_at), schedule, hook.client.context)
        if rescheduled_at is not None:
            wait.go_on_for_one_poll()
        return wait

    def _warn_of_a_long_wait(self, batch: Batch) -> None:
        if batch.is_counted or batch.expects_nothing or self.sensor.timeout <= _LONG_WAIT.total_seconds():
            return
        self.sensor.log.warning(
            "timeout is %.1f days, but Function Compute keeps records for %d: set timeout, or give expected_count or "
            "invocation_ids, so that an expired record cannot be taken for none",
            self.sensor.timeout / 86_400,
            RECORD_RETENTION.days,
        )

    def _warn_of_a_short_pause(self, poke_interval: float) -> None:
        if self.sensor.reschedule and not self.sensor.deferrable and poke_interval < SHORTEST_RESCHEDULE:
            self.sensor.log.warning(
                "poke_interval=%g is short for mode='reschedule': Airflow itself may fail this task without a word, "
                "when it comes back so soon; take 30 or more, or deferrable=True",
                poke_interval,
            )

    def _first_rescheduled_at(self, context: Context) -> datetime | None:
        """Tell when the first try since the last clear began, as Airflow counts in reschedule mode."""
        sensor = self.sensor
        return first_reschedule_date(sensor, context) if sensor.reschedule and not sensor.deferrable else None

    def _has_begun(self, context: Context) -> bool:
        """Tell whether an earlier poll of this wait, maybe in another process, has found the connection."""
        return self._wait is not None or (
            self.sensor.reschedule and first_reschedule_date(self.sensor, context) is not None
        )

    def _seconds_to_wait(self) -> float:
        sensor = self.sensor
        timeout = parameters.seconds("timeout", sensor.timeout)
        if sensor.deferrable:
            return deferred_seconds(timeout, sensor.execution_timeout)
        if sensor.execution_timeout is None or sensor.reschedule:
            return timeout
        return min(timeout, sensor.execution_timeout.total_seconds())

    def _nothing_expected(self, batch: Batch) -> Outcome:
        outcome = nothing_expected(batch)
        self.sensor.log.info("%s", outcome.reason)
        return outcome

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        """Return the summary of a success; everything else raises."""
        if outcome.kind is Kind.SUCCESS and outcome.summary is not None:
            return outcome.summary.to_dict()
        if outcome.kind is Kind.TIMEOUT:
            raise AirflowSensorTimeout(
                f"Timed out waiting for {self.sensor.what()}: {outcome.reason}"
                f"{self._after_a_timeout(outcome.reason, outcome.summary)}"
            )
        raise _ERRORS.get(outcome.kind, errors.TriggerError)(f"{outcome.reason}{self._next_steps(outcome)}")

    def _next_steps(self, outcome: Outcome) -> str:
        by_prefix = self.sensor.invocation_id_prefix is not None
        if outcome.kind is Kind.FAILED:
            repetition = _REPEAT_A_PREFIX if by_prefix else _REPEAT_IDS
            return f"\n{what_next(self._advised_url, repetition, otherwise=_LIST_THEM)}"
        if outcome.kind is Kind.LOST and not outcome.reason.endswith(COUNT_THEM):
            return f"\nWhat to do next: {_NEW_RUN if by_prefix else _REPEAT_IDS}. {_GONE}"
        return ""

    def _after_a_timeout(self, reason: str, last: Summary | None) -> str:
        """Say what to do; where nothing was found the reason says what to check before."""
        if reason.startswith(LAST_POLL_FAILED):
            return f". Mend what it failed on{_THEN_CLEAR}"
        if last is not None and not last.total:
            return f". If all this is right, {_START_IT}"
        cut = self._seconds_to_wait() < parameters.seconds("timeout", self.sensor.timeout)
        limit = "execution_timeout" if cut else "timeout"
        goes_on = "If more will come" if ARE_EXPECTED in reason else "What is unfinished goes on"
        return f". {goes_on}: raise {limit}{_THEN_CLEAR}. If more were expected, {_START_IT}"

    @property
    def _log_tail_lines(self) -> int:
        return parameters.whole_number("log_tail_lines", self.sensor.log_tail_lines, at_least=0) or 0

    def _with_log_tails(self, outcome: Outcome) -> Outcome:
        """Quote the log of the first failures, where that is asked for: a listing need not have it."""
        if outcome.kind is not Kind.FAILED or outcome.summary is None or not self._log_tail_lines:
            return outcome
        return self._explained(outcome, outcome.summary, at_most=LOG_TAILS)

    def _conclude_deferred(self, outcome: Outcome) -> dict[str, Any]:
        if outcome.summary is not None and outcome.summary.failed and outcome.kind in (Kind.SUCCESS, Kind.FAILED):
            outcome = self._explained(outcome, outcome.summary)
        self.sensor.log.info("%s: %s", outcome.kind.value.capitalize(), outcome.reason)
        return self._conclude(outcome)

    def _explained(self, outcome: Outcome, summary: Summary, at_most: int | None = None) -> Outcome:
        """Fetch the error texts, which a trigger leaves out. Whatever goes wrong here, the verdict stands."""
        try:
            with hook_of(self.sensor) as hook:
                batch = self._batch(hook)
                limit = datetime.now(UTC) + timedelta(seconds=_EXPLAIN_SECONDS)
                self._advised_url = advised_url(hook.settings, batch.function)
                lines = self._log_tail_lines if outcome.kind is Kind.FAILED else 0
                context = hook.client.context.until(limit)
                summary = hook.client.run(explain(batch, summary, context, log_tail_lines=lines, at_most=at_most))
        except Exception as error:  # noqa: BLE001 - the connection may be gone by now, in any of Airflow's ways
            self.sensor.log.warning("The error texts could not be fetched: %s", error)
            return outcome
        if outcome.kind is Kind.SUCCESS:
            return replace(outcome, summary=summary)
        return replace(outcome, summary=summary, reason=failure_text(batch, summary, failed_count(batch, summary)))
