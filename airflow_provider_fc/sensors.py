"""The sensor that waits until a batch of invocations has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    conf,
)

from airflow_provider_fc._compat import poll_until_done
from airflow_provider_fc.base import GIVEN_UP, FunctionComputeTask, check_literals
from airflow_provider_fc.core import defaults

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, PokeReturnValue

    from airflow_provider_fc.execution.sense import SensorExecution


class FunctionComputeInvocationsSensor(FunctionComputeTask, BaseSensorOperator):
    """Waits until every invocation of a batch has ended, and succeeds if they ended well.

    Give either a prefix of their ids or the ids themselves. The verdict rests on complete listings only; nothing
    found, an unknown status, a vanished record or a page that could not be read never count as done. It never stops
    or changes anything in Function Compute.

    Returns ``{"total", "by_status", "failed", "started_at", "ended_at"}``; ``failed`` lists up to 20 as
    ``{"invocation_id", "status", "error_message", "request_id"}``, the texts as far as they can be read.

    All parameters may be templated or come from upstream tasks, and are checked when the task runs.

    :param function_name: the function whose invocations are waited for.
    :param invocation_id_prefix: ids that start with it belong to the batch. ``: + . / @ ~`` and space (as in
        ``{{ run_id }}``) are taken for ``_``. End it with a delimiter: ``run-1`` also matches ``run-10``.
    :param invocation_ids: exactly these ids (at most 1,000), or the dicts that our invoke operator returns. A missing
        one is never taken for done.
    :param on_missing: when a task upstream has not given an id that it should: ``fail`` (default), or ``ignore`` to
        wait for the others; without any id it fails all the same.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; invocations that started before it do
        not belong to the batch, queued ones do. Prefer a prefix of its own for each run.
    :param expected_count: wait for at least so many; with 0 there is nothing to wait for.
    :param settle_seconds: a finished listing is believed when it is still the same after so many seconds; 0 believes
        the first.
    :param on_empty: when nothing matches: ``wait`` (default), ``fail`` or ``succeed``.
    :param success_statuses: terminal statuses that count as success.
    :param max_failed: so many invocations may end otherwise; ``None`` or ``"unlimited"`` for any number.
    :param fail_fast: fail as soon as more than ``max_failed`` have ended badly.
    :param progress_interval: seconds between two counts of an unfinished batch, for the log; ``None`` for none. A large
        batch is counted less often: one request per six seconds, and a twentieth of the time, at most.
    :param log_tail_lines: so many last lines of the function's own log follow each of the first three failures in the
        error, where Function Compute has them; 0 (default) for none: they may hold what an Airflow log must not.
    :param retry_verdicts: Airflow's ``retries`` apply to verdicts that a retry cannot change as well: batch failed,
        records lost, wrong parameter, refused key.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    :param deferrable: wait in the triggerer instead of on a worker; Airflow's ``[operators] default_deferrable``.
    """

    parameters = (
        "function_name",
        "invocation_id_prefix",
        "invocation_ids",
        "on_missing",
        "service_name",
        "qualifier",
        "started_after",
        "expected_count",
        "settle_seconds",
        "on_empty",
        "success_statuses",
        "max_failed",
        "fail_fast",
        "progress_interval",
        "log_tail_lines",
        "retry_verdicts",
        "fc_conn_id",
        "region_id",
    )
    template_fields: Sequence[str] = parameters

    def __init__(
        self,
        *,
        function_name: str,
        invocation_id_prefix: str | None = None,
        invocation_ids: Any = None,
        on_missing: str = "fail",
        service_name: str | None = None,
        qualifier: str | None = None,
        started_after: Any = None,
        expected_count: int | str | None = None,
        settle_seconds: float | str = defaults.SETTLE_SECONDS,
        on_empty: str = "wait",
        success_statuses: Sequence[str] = ("Succeeded",),
        max_failed: int | str | None = 0,
        fail_fast: bool = False,
        progress_interval: float | str | None = 300,
        log_tail_lines: int | str = 0,
        retry_verdicts: bool = False,
        fc_conn_id: str = defaults.CONN_ID,
        region_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        try:
            super().__init__(**kwargs)
        except OverflowError:  # Airflow makes a timedelta of each duration here
            # Then one of them is too long, and the message names it.
            durations = {name: kwargs.get(name) for name in ("timeout", "poke_interval", "max_wait")}
            check_literals(kwargs.get("task_id"), durations)
            raise
        self.function_name = function_name
        self.invocation_id_prefix = invocation_id_prefix
        self.invocation_ids = invocation_ids
        self.on_missing = on_missing
        self.service_name = service_name
        self.qualifier = qualifier
        self.started_after = started_after
        self.expected_count = expected_count
        self.settle_seconds = settle_seconds
        self.on_empty = on_empty
        self.success_statuses = success_statuses
        self.max_failed = max_failed
        self.fail_fast = fail_fast
        self.progress_interval = progress_interval
        self.log_tail_lines = log_tail_lines
        self.retry_verdicts = retry_verdicts
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.deferrable = deferrable
        self.tolerates_errors = self.silent_fail
        self._execution: SensorExecution | None = None
        self._poke_raised = False

    def execute(self, context: Context) -> dict[str, Any]:
        with self._retry_policy():
            return self._execute(context)

    def _execute(self, context: Context) -> dict[str, Any]:
        with self._outcome_policy():
            self.deferrable = self._executing().is_deferrable()
        if self.deferrable:
            with self._outcome_policy():
                return self._executing().first_poll_or_defer(context)
        self.silent_fail = False  # the wait itself tolerates what silent_fail tolerates; what gets out of it is meant
        try:
            summary: dict[str, Any] = poll_until_done(self, context)
        except (AirflowSensorTimeout, AirflowSkipException) as end:
            if not self._poke_raised:  # Airflow's own: the timeout passed between a poll and its look at the clock
                with self._outcome_policy():
                    raise AirflowSensorTimeout(self._executing().timed_out) from None
            if isinstance(end, AirflowSkipException):
                self.log.warning("Skipping: %s", end.__cause__ or end)  # Airflow itself does not log why
            raise
        except AirflowTaskTimeout:
            if self.reschedule:
                raise  # there execution_timeout bounds one poll, not the wait
            with self._outcome_policy():
                raise AirflowSensorTimeout(f"execution_timeout has passed; {self._executing().last_known}") from None
        return summary

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once. Transient errors are logged and count as not done.

        :raises FunctionComputeError: the batch ended badly, or a permanent error.
        """
        self._poke_raised = True
        polled = self._executing().poke(context)
        self._poke_raised = False
        return polled

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Turn the trigger's event into this task's result."""
        with self._outcome_policy():
            return self._executing().complete(event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral."""
        with self._retry_policy():
            return self._resume(next_method, next_kwargs, context)

    def _resume(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Judge a trigger that timed out or crashed ourselves: Airflow's versions differ, and hide crashes as skips."""
        if next_method != GIVEN_UP:
            return super().resume_execution(next_method, next_kwargs, context)
        with self._outcome_policy():
            try:
                self.console_url = None
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
            except AirflowException as error:
                raise self._executing().no_event(error, (next_kwargs or {}).get("error")) from None

    def what(self) -> str:
        """Name what is waited for, in words for messages."""
        which = f"prefix {self.invocation_id_prefix!r}" if self.invocation_id_prefix else "the given ids"
        return f"invocations of {self.function_name} ({which})"

    def _executing(self) -> SensorExecution:
        from airflow_provider_fc.execution.sense import SensorExecution  # when the task runs

        if self._execution is None:
            self._execution = SensorExecution(self)
        return self._execution

    def _get_next_poke_interval(self, started_at: Any, run_duration: Any, poke_count: int) -> float:
        interval: float = super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return self._executing().next_poke_interval(interval)

    @contextmanager
    def _retry_policy(self) -> Iterator[None]:
        """Keep Airflow from retrying what a retry cannot change.

        Outside of all that makes skips of Airflow's exceptions: a failed batch is no skip.
        """
        try:
            yield
        except Exception as error:
            from airflow_provider_fc.execution.verdicts import end_retries  # when it failed

            end_retries(error, self.retry_verdicts)
            raise

    @contextmanager
    def _outcome_policy(self) -> Iterator[None]:
        """Skip for ``soft_fail`` on a timeout only, for ``never_fail`` on everything, in every mode and version."""
        try:
            yield
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowSensorTimeout)):
                self.log.warning("Skipping: %s", error)
                raise AirflowSkipException(str(error)) from error
            raise
