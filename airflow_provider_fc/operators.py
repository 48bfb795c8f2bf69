"""Operators: list invocations to XCom, start one, stop some."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from airflow_provider_fc.links import FunctionComputeConsoleLink, push_link

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.core.api import FunctionRef
    from airflow_provider_fc.core.bounded import Rows
    from airflow_provider_fc.core.invocations import Invocation
    from airflow_provider_fc.core.operations import Invoke
    from airflow_provider_fc.core.submission import Started
    from airflow_provider_fc.core.wait import Schedule, Wait
    from airflow_provider_fc.hooks import FunctionComputeHook

DEFAULT_FIELDS = (
    "invocation_id",
    "status",
    "function_name",
    "request_id",
    "started_at",
    "ended_at",
    "duration_ms",
    "error_message",
    "already_retried_times",
)


_GENERATION = "fc_generation"
_KILL_SECONDS = 20
_VISIBLE_SECONDS = 300
_RECORD_SECONDS = 60
_SHORTEST_PREFIX = 3


class _FunctionOperator(BaseOperator):
    """What our operators share: a connection and a function."""

    operator_extra_links = (FunctionComputeConsoleLink(),)
    ui_color = "#ffe0cc"

    function_name: str
    service_name: str | None
    qualifier: str | None
    fc_conn_id: str
    region_id: str | None

    def _hook(self) -> FunctionComputeHook:
        from airflow_provider_fc.hooks import FunctionComputeHook

        return FunctionComputeHook(self.fc_conn_id, self.region_id)

    def _function(self, hook: FunctionComputeHook) -> FunctionRef:
        from airflow_provider_fc.core.calls import function_of

        return function_of(hook.settings, self.function_name, self.service_name, self.qualifier)


class FunctionComputeListInvocationsOperator(_FunctionOperator):
    """Lists invocations and pushes them as a plain list of dicts, so that ``.expand(x=task.output)`` works on it.

    A second XCom, ``summary``, holds ``{"count", "truncated", "by_status"}`` of what was pushed. All parameters may be
    templated or come from upstream tasks, and are checked when the task runs.

    :param function_name: the function whose invocations are listed.
    :param invocation_id_prefix: only ids that start with it; characters that FC does not allow are taken for ``_``.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param statuses: one status or several; all by default.
    :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; inclusive. An invocation without a
        start time passes.
    :param started_before: likewise.
    :param order: ``asc`` or ``desc`` by start time; the server's own order by default.
    :param fields: which fields each row has, out of those of an invocation. ``payload``, ``return_payload`` and
        ``events`` come only when they are named here.
    :param limit: push no more than so many; ``truncated`` then tells whether there were more.
    :param max_items: more than so many are an overflow.
    :param max_bytes: more than so many bytes of UTF-8 JSON are an overflow.
    :param on_overflow: ``fail`` (default) or ``truncate``.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    """

    template_fields: Sequence[str] = (
        "function_name",
        "invocation_id_prefix",
        "service_name",
        "qualifier",
        "statuses",
        "started_after",
        "started_before",
        "order",
        "fields",
        "limit",
        "max_items",
        "max_bytes",
        "on_overflow",
        "fc_conn_id",
        "region_id",
    )

    def __init__(
        self,
        *,
        function_name: str,
        invocation_id_prefix: str | None = None,
        service_name: str | None = None,
        qualifier: str | None = None,
        statuses: str | Sequence[str] | None = None,
        started_after: Any = None,
        started_before: Any = None,
        order: str | None = None,
        fields: Sequence[str] = DEFAULT_FIELDS,
        limit: int | str | None = None,
        max_items: int | str = 1000,
        max_bytes: int | str = 1_000_000,
        on_overflow: str = "fail",
        fc_conn_id: str = "fc_default",
        region_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name
        self.invocation_id_prefix = invocation_id_prefix
        self.service_name = service_name
        self.qualifier = qualifier
        self.statuses = statuses
        self.started_after = started_after
        self.started_before = started_before
        self.order = order
        self.fields = fields
        self.limit = limit
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.on_overflow = on_overflow
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        with self._hook() as hook:
            push_link(context, hook.settings, self._function(hook))
            result = self._collect(hook)
        self.log.info("%d invocations listed%s", len(result.rows), ", more were there" if result.truncated else "")
        context["ti"].xcom_push(key="summary", value=result.summary())
        return result.rows

    def _collect(self, hook: FunctionComputeHook) -> Rows:
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.bounded import Bounds, collect

        fields = parameters.fields("fields", self.fields)
        bounds = Bounds.from_parameters(self.limit, self.max_items, self.max_bytes, self.on_overflow)
        items = hook.list_invocations(
            self.function_name,
            service_name=self.service_name,
            qualifier=self.qualifier,
            invocation_id_prefix=self.invocation_id_prefix,
            statuses=self.statuses,
            started_after=self.started_after,
            started_before=self.started_before,
            order=self.order,
            include_payload="payload" in fields,
            limit=bounds.most_needed,
        )
        return collect(items, fields, bounds)


class FunctionComputeInvokeOperator(_FunctionOperator):
    """Starts one asynchronous invocation, exactly once, and waits for its end.

    Its id is made from DAG, run, task and map index, so a retry finds what an earlier try has started, even when the
    worker was killed in between or the answer was lost: it is watched if it is live, its result is taken if it
    succeeded, and a new one is started if it ended badly. Clearing a finished task starts a new one.

    :param function_name: the function to invoke.
    :param payload: bytes, text (UTF-8) or anything JSON can hold; 128 KB at most. Never logged.
    :param invocation_id: an id of your own. If an invocation with it ended badly, a retry cannot start another.
    :param invocation_id_prefix: begins the id that is made; a sensor or list operator can then find them all by it.
    :param delay: seconds that FC holds the invocation back, 0 to 3600.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param wait_for_completion: wait for its end; a bad end fails the task.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds to wait. The invocation itself goes on; a retry watches it again.
    :param include_return_payload: put what the function returned into the result (a preview feature of FC).
    :param cancel_on_kill: stop the invocation when a user kills the task. A blocking task is also told to stop by
        ``execution_timeout`` and by the end of its worker; a deferred one only by a user, on Airflow 3.3 and later.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    :param deferrable: wait in the triggerer instead of on a worker; Airflow's ``[operators] default_deferrable``.

    Returns the invocation as a dict with the default fields of the list operator. Without waiting, ``status`` is
    ``Enqueued`` for a fresh submission.
    """

    template_fields: Sequence[str] = (
        "function_name",
        "payload",
        "invocation_id",
        "invocation_id_prefix",
        "delay",
        "service_name",
        "qualifier",
        "fc_conn_id",
        "region_id",
    )
    template_fields_renderers = {"payload": "json"}  # noqa: RUF012 - as BaseOperator declares it

    def __init__(
        self,
        *,
        function_name: str,
        payload: Any = None,
        invocation_id: str | None = None,
        invocation_id_prefix: str | None = None,
        delay: int | str | None = None,
        service_name: str | None = None,
        qualifier: str | None = None,
        wait_for_completion: bool = True,
        poll_interval: float = 30,
        timeout: float = 86_400,
        include_return_payload: bool = False,
        cancel_on_kill: bool = True,
        fc_conn_id: str = "fc_default",
        region_id: str | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name
        self.payload = payload
        self.invocation_id = invocation_id
        self.invocation_id_prefix = invocation_id_prefix
        self.delay = delay
        self.service_name = service_name
        self.qualifier = qualifier
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.include_return_payload = include_return_payload
        self.cancel_on_kill = cancel_on_kill
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.deferrable = deferrable
        self._submitted: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_fc.triggers import FunctionComputeInvocationTrigger
        from airflow_provider_fc.waiting import deferral, wait_here

        schedule = self._schedule(context) if self.wait_for_completion else None
        with self._hook() as hook:
            function = self._function(hook)
            push_link(context, hook.settings, function)
            started = self._start(hook, function, context)
            if schedule is None:
                return self._submission(started)
            wait = self._wait(hook, function, started.invocation_id, schedule)
        if started.found is not None and started.found.is_terminal:
            return self._result(started.found)
        if self.deferrable:
            raise deferral(self, FunctionComputeInvocationTrigger, wait, cancel_on_kill=self.cancel_on_kill)
        outcome = wait_here(self, wait)
        return self._judge(started.invocation_id, outcome.kind.value, outcome.reason)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Turn the trigger's event into this task's result."""
        from airflow_provider_fc.core.errors import TriggerError
        from airflow_provider_fc.waiting import read_event

        read = read_event(event)
        if read.invocation_id is None:
            raise TriggerError("the trigger did not say which invocation has ended")
        return self._judge(read.invocation_id, read.kind, read.message)

    def on_kill(self) -> None:
        """Stop the invocation that this task has started."""
        from airflow_provider_fc.core.calls import stop_operation
        from airflow_provider_fc.core.stopping import stop

        if not (self.cancel_on_kill and self._submitted):
            return
        try:
            with self._hook() as hook:
                operation = stop_operation(self._function(hook), self._submitted)
                limit = datetime.now(UTC) + timedelta(seconds=_KILL_SECONDS)
                fate = hook.client.run(stop(operation, hook.client.context.until(limit)))
        except Exception as error:  # noqa: BLE001 - Airflow 2 calls this in a signal handler: an error would undo the kill
            self.log.warning("Invocation %s could not be stopped: %s", self._submitted, error)
            return
        self.log.info("The task was killed; invocation %s: %s", self._submitted, fate)

    def _start(self, hook: FunctionComputeHook, function: FunctionRef, context: Context) -> Started:
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.errors import AlreadyExistsError
        from airflow_provider_fc.core.submission import start

        generation = self._generation(context)
        try_number = context["ti"].try_number
        first_try = try_number == generation
        # Clearing a running task adds a try that retries= does not count.
        attempts = max(self.retries or 0, try_number - generation) + 1
        conversation = start(
            self._operation_for(function, context, generation),
            attempts if self.invocation_id is None else 1,  # FC accepts an id of the author's own once
            hook.client.context,
            watched=self.wait_for_completion,
            first_try=first_try,
        )
        try:
            started = hook.client.run(conversation)
        except AlreadyExistsError as error:
            submitted, self._submitted = self._submitted, None  # somebody else's: a kill must not stop it
            if not first_try:
                raise
            # No retry: it would find an earlier try, this one, and take the stranger's invocation for that one's.
            invocation_id = submitted or parameters.invocation_id("invocation_id", self.invocation_id)
            raise AirflowFailException(
                f"Invocation id {invocation_id} is in use, but this task has submitted nothing yet: another task, run "
                f"or Airflow has it, and it is left alone. Set invocation_id_prefix, or an invocation_id of this "
                f"task's own. {error}"
            ) from error
        self._submitted = started.invocation_id
        self.log.info(
            "Invocation %s of %s [request id %s]", started.invocation_id, self.function_name, started.request_id
        )
        return started

    def _generation(self, context: Context) -> int:
        """The first try since the last clear, by the formula that Airflow uses for rescheduled sensors.

        An earlier try has noted it, where Airflow can keep it: ``retries`` may have been changed since then.
        """
        from airflow_provider_fc._compat import note, recall

        max_tries: int = context["ti"].max_tries or 0
        noted = (recall(context, _GENERATION) or "").split()
        if len(noted) == 2 and noted[0] == str(max_tries):
            return int(noted[1])
        generation = max_tries - (self.retries or 0) + 1
        note(context, _GENERATION, f"{max_tries} {generation}")
        return generation

    def _operation_for(self, function: FunctionRef, context: Context, generation: int) -> Callable[[int], Invoke]:
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.calls import invoke_operation
        from airflow_provider_fc.core.errors import ParameterError
        from airflow_provider_fc.core.submission import TaskKey

        parameters.refuse_python_text("payload", self.payload)
        prefix = parameters.id_prefix("invocation_id_prefix", self.invocation_id_prefix)
        if prefix is not None and self.invocation_id is not None:
            raise ParameterError("invocation_id", "is given beside invocation_id_prefix; give one of the two")
        ti = context["ti"]
        key = TaskKey(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, generation)

        def operation(attempt: int) -> Invoke:
            if self.invocation_id is None:
                # Before it is sent: a kill must find it even when the answer has not come yet.
                invocation_id = self._submitted = key.invocation_id(prefix, attempt)
            else:
                # An id that others may use as well is this task's only once FC has accepted it.
                invocation_id = parameters.invocation_id("invocation_id", self.invocation_id)
            return invoke_operation(function, self.payload, invocation_id=invocation_id, delay=self.delay)

        return operation

    def _submission(self, started: Started) -> dict[str, Any]:
        """What is known without waiting."""
        from airflow_provider_fc.core.invocations import Invocation

        found = started.found or Invocation(
            invocation_id=started.invocation_id,
            status="Enqueued",  # where every accepted invocation begins
            function_name=self.function_name,
            request_id=started.request_id,
        )
        return found.to_dict(DEFAULT_FIELDS)

    def _schedule(self, context: Context) -> Schedule:
        """Checked before anything is submitted."""
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.wait import Schedule

        began_at = getattr(context["ti"], "start_date", None) or datetime.now(UTC)
        poll_interval = parameters.interval("poll_interval", self.poll_interval)
        return Schedule(poll_interval, began_at + timedelta(seconds=self._seconds()))

    def _seconds(self) -> float:
        """How long to wait. Airflow itself ends a blocking task at its ``execution_timeout``."""
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.waiting import deferred_seconds

        timeout = parameters.seconds("timeout", self.timeout)
        return deferred_seconds(timeout, self.execution_timeout) if self.deferrable else timeout

    def _wait(self, hook: FunctionComputeHook, function: FunctionRef, invocation_id: str, schedule: Schedule) -> Wait:
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.batch import Batch
        from airflow_provider_fc.core.wait import Wait
        from airflow_provider_fc.core.watch_ids import watch

        delay = parameters.whole_number("delay", self.delay, at_least=0) or 0
        batch = Batch.from_parameters(
            function, invocation_ids=[invocation_id], visible_within=float(_VISIBLE_SECONDS + delay)
        )
        return Wait(watch(batch, datetime.now(UTC)), schedule, hook.client.context)

    def _judge(self, invocation_id: str, kind: str, reason: str) -> dict[str, Any]:
        """The result of a wait that has ended in whatever way."""
        from airflow_provider_fc.core.errors import InvocationsLostError, WaitTimeoutError

        if kind in ("success", "failed"):
            return self._result(self._record(invocation_id, succeeded=kind == "success"))
        if kind == "timeout":
            raise WaitTimeoutError(
                f"Invocation {invocation_id} of {self.function_name} has not ended within {self._seconds():g} s "
                f"({reason}); it goes on, and a retry watches it again"
            )
        raise InvocationsLostError(reason)

    def _record(self, invocation_id: str, *, succeeded: bool) -> Invocation:
        """Read the record of an invocation whose end is known; failing to read it does not change that."""
        from airflow_provider_fc.core.calls import get_operation
        from airflow_provider_fc.core.errors import FunctionComputeError
        from airflow_provider_fc.core.invocations import Invocation
        from airflow_provider_fc.core.submission import look_up

        with self._hook() as hook:
            operation = get_operation(self._function(hook), invocation_id)
            try:
                return hook.client.run(look_up(operation, hook.client.context, seconds=_RECORD_SECONDS))
            except FunctionComputeError as error:
                if self.include_return_payload or not succeeded:
                    raise  # a retry reads it again
                self.log.warning("Invocation %s has succeeded, but its record cannot be read: %s", invocation_id, error)
                return Invocation(invocation_id=invocation_id, status="Succeeded", function_name=self.function_name)

    def _result(self, found: Invocation) -> dict[str, Any]:
        """The invocation as a dict; a bad end raises."""
        from airflow_provider_fc.core.batch import Failure
        from airflow_provider_fc.core.errors import InvocationsFailedError

        if found.status != "Succeeded":
            raise InvocationsFailedError(f"{Failure.of(found)}{self._what_a_retry_does()}")
        return found.to_dict((*DEFAULT_FIELDS, *(["return_payload"] if self.include_return_payload else [])))

    def _what_a_retry_does(self) -> str:
        if self.invocation_id is None:
            return ""
        return (
            "; a retry cannot start it again, because FC accepts an invocation_id once: leave invocation_id out to let "
            "each attempt have its own"
        )


class FunctionComputeStopInvocationsOperator(_FunctionOperator):
    """Stops invocations, given by id or by prefix; what has ended meanwhile or is unknown is no error.

    :param function_name: the function whose invocations are stopped.
    :param invocation_ids: at most 1,000 ids, or the dicts that our operators return.
    :param invocation_id_prefix: stop everything live whose id starts with it.
    :param allow_short_prefix: a prefix of fewer than three characters is meant.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param wait_for_completion: wait until what was stopped has ended.
    :param poll_interval: seconds between two looks.
    :param timeout: seconds to wait for the end.
    :param max_concurrency: requests under way at the same time.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.

    Returns ``{"stopped", "already_finished", "not_found"}``, each a list of ids.
    """

    template_fields: Sequence[str] = (
        "function_name",
        "invocation_ids",
        "invocation_id_prefix",
        "service_name",
        "qualifier",
        "fc_conn_id",
        "region_id",
    )

    def __init__(
        self,
        *,
        function_name: str,
        invocation_ids: Any = None,
        invocation_id_prefix: str | None = None,
        allow_short_prefix: bool = False,
        service_name: str | None = None,
        qualifier: str | None = None,
        wait_for_completion: bool = False,
        poll_interval: float = 10,
        timeout: float = 3600,
        max_concurrency: int = 10,
        fc_conn_id: str = "fc_default",
        region_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name
        self.invocation_ids = invocation_ids
        self.invocation_id_prefix = invocation_id_prefix
        self.allow_short_prefix = allow_short_prefix
        self.service_name = service_name
        self.qualifier = qualifier
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id

    def execute(self, context: Context) -> dict[str, list[str]]:
        from airflow_provider_fc.core import parameters

        # Checked before anything is stopped.
        poll_interval = parameters.interval("poll_interval", self.poll_interval)
        timeout = parameters.seconds("timeout", self.timeout)
        with self._hook() as hook:
            push_link(context, hook.settings, self._function(hook))
            ids = self._ids(hook)
            fates = hook.stop_invocations(
                self.function_name,
                ids,
                service_name=self.service_name,
                qualifier=self.qualifier,
                max_concurrency=self.max_concurrency,
            )
            self.log.info("%s", ", ".join(f"{len(found)} {fate}" for fate, found in fates.items()))
            if self.wait_for_completion:
                self._wait(hook, fates["stopped"], poll_interval, timeout)
        return fates

    def _ids(self, hook: FunctionComputeHook) -> Sequence[str]:
        from airflow_provider_fc.core import parameters
        from airflow_provider_fc.core.errors import ParameterError

        ids = parameters.invocation_ids("invocation_ids", self.invocation_ids, may_be_empty=True)
        prefix = parameters.id_prefix("invocation_id_prefix", self.invocation_id_prefix)
        if (self.invocation_ids is None) == (prefix is None):
            raise ParameterError(
                "invocation_ids",
                "or invocation_id_prefix must be given, and not both, so that no more is stopped than meant",
            )
        if prefix is None:
            return ids
        if len(prefix) < _SHORTEST_PREFIX and not self.allow_short_prefix:
            raise ParameterError(
                "invocation_id_prefix",
                f"{prefix!r} is so short that it may match what is not meant; set allow_short_prefix=True if it is",
            )
        # Not by status: a word that this version does not know is live as well.
        found = hook.list_invocations(
            self.function_name,
            service_name=self.service_name,
            qualifier=self.qualifier,
            invocation_id_prefix=prefix,
        )
        return [item.invocation_id for item in found if not item.is_terminal]

    def _wait(self, hook: FunctionComputeHook, ids: Sequence[str], poll_interval: float, timeout: float) -> None:
        from airflow_provider_fc.core.batch import Batch, Kind
        from airflow_provider_fc.core.errors import InvocationsLostError, WaitTimeoutError
        from airflow_provider_fc.core.parameters import MAX_IDS
        from airflow_provider_fc.core.wait import Schedule, Wait
        from airflow_provider_fc.core.watch_ids import watch
        from airflow_provider_fc.waiting import wait_here

        function = self._function(hook)
        now = datetime.now(UTC)
        schedule = Schedule(poll_interval, now + timedelta(seconds=timeout))
        for first in range(0, len(ids), MAX_IDS):
            batch = Batch.from_parameters(function, invocation_ids=ids[first : first + MAX_IDS], max_failed=None)
            outcome = wait_here(self, Wait(watch(batch, now), schedule, hook.client.context))
            if outcome.kind is Kind.TIMEOUT:
                raise WaitTimeoutError(f"Not all have ended within {timeout:g} s: {outcome.reason}")
            if outcome.kind is not Kind.SUCCESS:
                raise InvocationsLostError(outcome.reason)
