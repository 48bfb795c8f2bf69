"""The sensor that waits until a batch of invocations has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_fc.links import FunctionComputeConsoleLink, push_link

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.core.batch import Batch, Outcome, Summary
    from airflow_provider_fc.core.errors import FunctionComputeError
    from airflow_provider_fc.core.wait import Wait
    from airflow_provider_fc.events import Event
    from airflow_provider_fc.hooks import FunctionComputeHook

_FIRST_LOOK_SECONDS = 30
_EXPLAIN_SECONDS = 30
_HINT = "fc_live_status"
_LONG_WAIT = timedelta(days=6)


class FunctionComputeInvocationsSensor(BaseSensorOperator):
    """Waits until every invocation of a batch has ended, and succeeds if they ended well.

    Give either a prefix of their ids or the ids themselves. The verdict rests on complete listings only; nothing
    found, an unknown status, a vanished record or a page that could not be read never count as done. It never stops
    or changes anything in Function Compute.

    All parameters may be templated or come from upstream tasks, and are checked when the task runs.

    :param function_name: the function whose invocations are waited for.
    :param invocation_id_prefix: ids that start with it belong to the batch. Characters that FC does not allow in ids
        (as in ``{{ run_id }}``) are taken for ``_``. End it with a delimiter: ``run-1`` also matches ``run-10``.
    :param invocation_ids: exactly these ids (at most 1,000), or the dicts that our invoke operator returns. A missing
        one is never taken for done.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; invocations that started before it do
        not belong to the batch, queued ones do. Prefer a prefix of its own for each run.
    :param expected_count: wait for at least so many.
    :param settle_seconds: a finished listing is believed when it is still the same after so many seconds; 0 believes
        the first.
    :param on_empty: when nothing matches: ``wait`` (default), ``fail`` or ``succeed``.
    :param success_statuses: terminal statuses that count as success.
    :param max_failed: so many invocations may end otherwise; ``None`` for any number.
    :param fail_fast: fail as soon as more than ``max_failed`` have ended badly.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    :param deferrable: wait in the triggerer instead of on a worker; Airflow's ``[operators] default_deferrable``.

    Returns ``{"total", "by_status", "failed", "started_at", "ended_at"}``; ``failed`` lists up to 20 as
    ``{"invocation_id", "status", "error_message", "request_id"}``. After a deferred wait that succeeded,
    ``error_message`` is ``None`` there: the list operator has the texts.
    """

    template_fields: Sequence[str] = (
        "function_name",
        "invocation_id_prefix",
        "invocation_ids",
        "service_name",
        "qualifier",
        "started_after",
        "expected_count",
        "settle_seconds",
        "on_empty",
        "success_statuses",
        "max_failed",
        "fail_fast",
        "fc_conn_id",
        "region_id",
    )
    operator_extra_links = (FunctionComputeConsoleLink(),)
    ui_color = "#ffe0cc"

    def __init__(
        self,
        *,
        function_name: str,
        invocation_id_prefix: str | None = None,
        invocation_ids: Any = None,
        service_name: str | None = None,
        qualifier: str | None = None,
        started_after: Any = None,
        expected_count: int | str | None = None,
        settle_seconds: float | str = 15,
        on_empty: str = "wait",
        success_statuses: Sequence[str] = ("Succeeded",),
        max_failed: int | str | None = 0,
        fail_fast: bool = False,
        fc_conn_id: str = "fc_default",
        region_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name
        self.invocation_id_prefix = invocation_id_prefix
        self.invocation_ids = invocation_ids
        self.service_name = service_name
        self.qualifier = qualifier
        self.started_after = started_after
        self.expected_count = expected_count
        self.settle_seconds = settle_seconds
        self.on_empty = on_empty
        self.success_statuses = success_statuses
        self.max_failed = max_failed
        self.fail_fast = fail_fast
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.deferrable = deferrable
        # A task upstream that returns nothing must not switch them off.
        self._given = {
            "started_after": started_after is not None,
            "expected_count": expected_count is not None,
            "max_failed": max_failed is not None,
        }
        self._outlives_errors = self.silent_fail
        self._wait: Wait | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        if self.deferrable:
            with self._outcome_policy():
                return self._first_look_or_defer(context)
        self.silent_fail = False  # the wait itself outlives what silent_fail outlives; what gets out of it is meant
        try:
            summary: dict[str, Any] = super().execute(context)
        except AirflowSkipException as skip:
            self.log.warning("Skipping: %s", skip.__cause__ or skip)  # Airflow itself does not log why
            raise
        except AirflowTaskTimeout as error:
            if self.reschedule:
                raise  # there execution_timeout bounds one look, not the wait
            with self._outcome_policy():
                raise AirflowSensorTimeout(f"execution_timeout has passed; {self._last_known()}") from error
        return summary

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once. Transient errors are logged and count as not done.

        :raises FunctionComputeError: the batch ended badly, or a permanent error.
        """
        from airflow_provider_fc.core.errors import ConnectionNotFoundError

        with self._hook() as hook:
            try:
                _ = hook.settings
            except ConnectionNotFoundError as error:
                if not self._has_begun(context):
                    raise
                # It could be read before; Airflow says the same of a secrets backend that fails for a moment.
                self.log.warning("Could not look, the wait goes on: %s", error)
                return PokeReturnValue(False)
            if self._wait is None:
                self._wait = self._start(hook, context)
            outcome = self._poke(hook, self._wait, context)
        if outcome is None or not outcome.decided:
            return PokeReturnValue(False)
        return PokeReturnValue(True, self._conclude(outcome))

    def _poke(self, hook: FunctionComputeHook, wait: Wait, context: Context) -> Outcome | None:
        """One look; in reschedule mode with the hint of the look before, which was another process."""
        from airflow_provider_fc._compat import note, recall

        if not self.reschedule:
            return hook.client.run(wait.poke(hook.client.context))
        wait.watch.hint = known = recall(context, _HINT)
        outcome = hook.client.run(wait.poke(hook.client.context))
        if wait.watch.hint is not None and wait.watch.hint != known:
            note(context, _HINT, wait.watch.hint)
        return outcome

    def _get_next_poke_interval(self, started_at: Any, run_duration: Any, poke_count: int) -> float:
        """Airflow's interval, stretched while the server is throttled, cut at the deadline."""
        interval: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        if self._wait is None:
            return interval
        left = (self._wait.schedule.deadline - datetime.now(UTC)).total_seconds()
        return max(min(self._wait.pace.slowed(interval), left), 0.0)

    def _first_look_or_defer(self, context: Context) -> dict[str, Any]:
        from airflow_provider_fc.triggers import FunctionComputeInvocationsTrigger
        from airflow_provider_fc.waiting import deferral

        with self._hook() as hook:
            wait = self._start(hook, context)
            limit = min(wait.schedule.deadline, datetime.now(UTC) + timedelta(seconds=_FIRST_LOOK_SECONDS))
            outcome = hook.client.run(wait.first_look(hook.client.context.until(limit)))
        if outcome is not None and outcome.decided:
            return self._conclude(outcome)
        raise deferral(self, FunctionComputeInvocationsTrigger, wait)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Turn the trigger's event into this task's result."""
        from airflow_provider_fc.waiting import read_event

        with self._outcome_policy():
            return self._conclude_event(read_event(event))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Judge a trigger that timed out or crashed ourselves: Airflow's versions differ, and hide crashes as skips."""
        from airflow_provider_fc.core.errors import TriggerError

        if next_method != "__fail__":
            return super().resume_execution(next_method, next_kwargs, context)
        with self._outcome_policy():
            try:
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            except AirflowException as error:
                if (next_kwargs or {}).get("error") == "Trigger timeout":
                    raise AirflowSensorTimeout(f"The trigger did not answer in time: {self._what()}") from error
                raise TriggerError(f"The trigger failed ({error}): {self._what()}") from error

    @contextmanager
    def _outcome_policy(self) -> Iterator[None]:
        """``soft_fail`` skips on a timeout only, ``never_fail`` on everything, in all modes and Airflow versions."""
        try:
            yield
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowSensorTimeout)):
                self.log.warning("Skipping: %s", error)
                raise AirflowSkipException(str(error)) from error
            raise

    def _hook(self) -> FunctionComputeHook:
        from airflow_provider_fc.hooks import FunctionComputeHook

        return FunctionComputeHook(self.fc_conn_id, self.region_id)

    def _batch(self, hook: FunctionComputeHook) -> Batch:
        from airflow_provider_fc.core.batch import Batch
        from airflow_provider_fc.core.calls import function_of
        from airflow_provider_fc.core.errors import ParameterError

        for name, given in self._given.items():
            if given and getattr(self, name) is None:
                raise ParameterError(name, "has become None: the task or template that it comes from gave nothing")
        return Batch.from_parameters(
            function_of(hook.settings, self.function_name, self.service_name, self.qualifier),
            invocation_id_prefix=self.invocation_id_prefix,
            invocation_ids=self.invocation_ids,
            started_after=self.started_after,
            expected_count=self.expected_count,
            settle_seconds=self.settle_seconds,
            on_empty=self.on_empty,
            success_statuses=self.success_statuses,
            max_failed=self.max_failed,
            fail_fast=self.fail_fast,
        )

    def _start(self, hook: FunctionComputeHook, context: Context) -> Wait:
        """Check the parameters and set up the wait."""
        from airflow_provider_fc.core.wait import Schedule, Wait
        from airflow_provider_fc.core.watch_ids import watch

        batch = self._batch(hook)
        push_link(context, hook.settings, batch.function)
        began_at = self._began_at(context)
        if self.timeout > _LONG_WAIT.total_seconds():
            self.log.warning(
                "timeout is %.1f days, but Function Compute keeps records for 7: give expected_count or "
                "invocation_ids, so that an expired record cannot be taken for none",
                self.timeout / 86_400,
            )
        schedule = Schedule(
            poll_interval=self.poke_interval,
            deadline=began_at + timedelta(seconds=self._seconds_to_wait()),
            exponential_backoff=bool(self.exponential_backoff),
            max_wait=self.max_wait.total_seconds() if self.max_wait else None,
            silent_fail=self._outlives_errors,
        )
        return Wait(watch(batch, began_at), schedule, hook.client.context)

    def _began_at(self, context: Context) -> datetime:
        """When this try began; in reschedule mode the first try since the last clear, as Airflow counts there."""
        from airflow_provider_fc._compat import first_reschedule_date

        ti = context.get("ti")
        began_at = first_reschedule_date(self, context) if self.reschedule and not self.deferrable else None
        return began_at or getattr(ti, "start_date", None) or datetime.now(UTC)

    def _has_begun(self, context: Context) -> bool:
        """Whether an earlier look of this wait, maybe in another process, has found the connection."""
        from airflow_provider_fc._compat import first_reschedule_date

        return self._wait is not None or (self.reschedule and first_reschedule_date(self, context) is not None)

    def _seconds_to_wait(self) -> float:
        from airflow_provider_fc.waiting import deferred_seconds

        if self.deferrable:
            return deferred_seconds(float(self.timeout), self.execution_timeout)
        if self.execution_timeout is None or self.reschedule:
            return float(self.timeout)
        return min(float(self.timeout), self.execution_timeout.total_seconds())

    def _what(self) -> str:
        which = f"prefix {self.invocation_id_prefix!r}" if self.invocation_id_prefix else "the given ids"
        return f"invocations of {self.function_name} ({which})"

    def _last_known(self) -> str:
        return f"last known: {self._wait.watch.known if self._wait else 'nothing'}"

    def _conclude(self, outcome: Outcome) -> dict[str, Any]:
        """The summary of a success; everything else raises."""
        from airflow_provider_fc.core.batch import Kind

        if outcome.kind is Kind.SUCCESS and outcome.summary is not None:
            return outcome.summary.to_dict()
        raise self._error(outcome.kind.value, outcome.reason)

    def _conclude_event(self, event: Event) -> dict[str, Any]:
        from airflow_provider_fc.core.batch import Kind, Outcome, Summary

        summary = None if event.summary is None else Summary.from_event(event.summary)
        reason = event.message
        if event.kind == "failed" and summary is not None:
            reason = self._failure_reason(summary, otherwise=reason)
        self.log.info("%s: %s", event.kind.capitalize(), reason)
        return self._conclude(Outcome(Kind(event.kind), reason, summary))

    def _failure_reason(self, summary: Summary, otherwise: str) -> str:
        """The failures with their error texts, which events leave out. Whatever goes wrong here, the verdict stands."""
        from airflow_provider_fc.core.explain import explain

        try:
            with self._hook() as hook:
                limit = datetime.now(UTC) + timedelta(seconds=_EXPLAIN_SECONDS)
                return hook.client.run(explain(self._batch(hook), summary, hook.client.context.until(limit)))
        except Exception as error:  # noqa: BLE001 - the connection may be gone by now, in any of Airflow's ways
            self.log.warning("The error texts could not be fetched: %s", error)
            return otherwise

    def _error(self, kind: str, reason: str) -> Exception:
        from airflow_provider_fc.core import errors

        kinds: dict[str, type[FunctionComputeError]] = {
            "failed": errors.InvocationsFailedError,
            "lost": errors.InvocationsLostError,
            "empty": errors.NoInvocationsError,
        }
        if kind == "timeout":
            return AirflowSensorTimeout(f"Timed out waiting for {self._what()}: {reason}")
        return kinds.get(kind, errors.TriggerError)(reason)
