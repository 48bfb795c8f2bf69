"""Operators: list invocations to XCom, start one, stop some. Declarations only: execution/ holds what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, conf

from airflow_provider_fc.base import GIVEN_UP, FunctionComputeTask
from airflow_provider_fc.core import defaults

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.execution.invoke import InvokeExecution


class FunctionComputeListInvocationsOperator(FunctionComputeTask, BaseOperator):
    """Lists invocations and pushes them as a plain list of dicts, so that ``.expand(x=task.output)`` works on it.

    A second XCom, ``summary``, holds ``{"count", "truncated", "by_status"}`` of what was pushed. All parameters may be
    templated or come from upstream tasks, and are checked when the task runs.

    :param function_name: the function whose invocations are listed.
    :param invocation_id_prefix: only ids that start with it; ``: + . / @ ~`` and space are taken for ``_``.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param statuses: one status or several, as a list or as text with commas between them; all by default.
    :param started_after: aware datetime, ISO 8601 text with a zone, or epoch ms; inclusive. The server may leave
        out what has not started.
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

    parameters = (
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
    template_fields: Sequence[str] = parameters

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
        fields: Sequence[str] = defaults.FIELDS,
        limit: int | str | None = None,
        max_items: int | str = defaults.MAX_ITEMS,
        max_bytes: int | str = defaults.MAX_BYTES,
        on_overflow: str = "fail",
        fc_conn_id: str = defaults.CONN_ID,
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
        from airflow_provider_fc.execution import list_to_xcom  # when the task runs

        return list_to_xcom.execute(self, context)


class FunctionComputeInvokeOperator(FunctionComputeTask, BaseOperator):
    """Starts one asynchronous invocation, exactly once, and waits for its end.

    Its id is made from DAG, run, task and map index, so a retry finds what an earlier try has started, even when the
    worker was killed in between or the answer was lost: it is watched if it is live, its result is taken if it
    succeeded, and a new one is started if it ended badly. Clearing a finished task starts a new one.

    Returns the invocation as a dict with the default fields of the list operator. Without waiting, ``status`` is
    ``Enqueued`` for a fresh submission.

    :param function_name: the function to invoke.
    :param payload: bytes, text (UTF-8) or anything JSON can hold; 128 KB at most. Never logged.
    :param invocation_id: an id of your own. If an invocation with it ended badly, a retry cannot start another.
    :param invocation_id_prefix: begins the id that is made; a sensor or list operator can then find them all by it.
    :param delay: seconds (or a timedelta of whole ones) that FC holds the invocation back, 0 to 3600.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param wait_for_completion: wait for its end; a bad end fails the task.
    :param poll_interval: seconds between two polls.
    :param timeout: seconds to wait. The invocation itself goes on; a retry watches it again.
    :param include_return_payload: put what the function returned into the result (a preview feature of FC).
    :param log_tail_lines: so many last lines of the function's own log follow in the error when it fails, where
        Function Compute has them; 0 (default) for none: they may hold what an Airflow log must not.
    :param cancel_on_kill: stop the invocation when a user kills the task. A blocking task is also told to stop by
        ``execution_timeout`` and by the end of its worker; a deferred one only by a user, on Airflow 3.3 and later.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    :param deferrable: wait in the triggerer instead of on a worker; Airflow's ``[operators] default_deferrable``.
    """

    parameters = (
        "function_name",
        "payload",
        "invocation_id",
        "invocation_id_prefix",
        "delay",
        "service_name",
        "qualifier",
        "fc_conn_id",
        "region_id",
        "wait_for_completion",
        "poll_interval",
        "timeout",
        "include_return_payload",
        "log_tail_lines",
        "cancel_on_kill",
    )
    template_fields: Sequence[str] = parameters
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
        log_tail_lines: int | str = 0,
        cancel_on_kill: bool = True,
        fc_conn_id: str = defaults.CONN_ID,
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
        self.log_tail_lines = log_tail_lines
        self.cancel_on_kill = cancel_on_kill
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id
        self.deferrable = deferrable
        self._execution: InvokeExecution | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        self._execution = self._executing()
        return self._execution.execute(context)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Turn the trigger's event into this task's result."""
        return self._executing().complete(event, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowException as error:
            if next_method != GIVEN_UP:
                raise
            raise self._executing().no_event(error, (next_kwargs or {}).get("error"), context) from None

    def on_kill(self) -> None:
        """Stop the invocation that this task has started."""
        if self._execution is not None:
            self._execution.kill()

    def _executing(self) -> InvokeExecution:
        from airflow_provider_fc.execution.invoke import InvokeExecution  # when the task runs

        return InvokeExecution(self)


class FunctionComputeStopInvocationsOperator(FunctionComputeTask, BaseOperator):
    """Stops invocations, given by id or by prefix; what has ended meanwhile or is unknown is no error.

    Returns ``{"stopped", "already_finished", "not_found"}``, each a list of ids.

    :param function_name: the function whose invocations are stopped.
    :param invocation_ids: at most 1,000 ids, or the dicts that our operators return.
    :param invocation_id_prefix: stop everything live whose id starts with it.
    :param allow_short_prefix: a prefix of fewer than three letters and digits is meant.
    :param on_missing: when a task upstream has not given an id that it should: ``fail`` (default), or ``ignore`` to
        stop the others.
    :param service_name: FC 2.0 only; without it the function is looked for in FC 3.0.
    :param qualifier: version or alias.
    :param wait_for_completion: wait until what was stopped has ended.
    :param poll_interval: seconds between two polls.
    :param timeout: seconds to wait for the end.
    :param max_concurrency: requests under way at the same time.
    :param fc_conn_id: connection of type ``alibaba_fc``.
    :param region_id: overrides the connection's region.
    """

    parameters = (
        "function_name",
        "invocation_ids",
        "invocation_id_prefix",
        "on_missing",
        "service_name",
        "qualifier",
        "fc_conn_id",
        "region_id",
        "allow_short_prefix",
        "wait_for_completion",
        "poll_interval",
        "timeout",
        "max_concurrency",
    )
    template_fields: Sequence[str] = parameters

    def __init__(
        self,
        *,
        function_name: str,
        invocation_ids: Any = None,
        invocation_id_prefix: str | None = None,
        allow_short_prefix: bool = False,
        on_missing: str = "fail",
        service_name: str | None = None,
        qualifier: str | None = None,
        wait_for_completion: bool = False,
        poll_interval: float = 10,
        timeout: float = 3600,
        max_concurrency: int = defaults.MAX_CONCURRENCY,
        fc_conn_id: str = defaults.CONN_ID,
        region_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.function_name = function_name
        self.invocation_ids = invocation_ids
        self.invocation_id_prefix = invocation_id_prefix
        self.allow_short_prefix = allow_short_prefix
        self.on_missing = on_missing
        self.service_name = service_name
        self.qualifier = qualifier
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_concurrency = max_concurrency
        self.fc_conn_id = fc_conn_id
        self.region_id = region_id

    def execute(self, context: Context) -> dict[str, list[str]]:
        from airflow_provider_fc.execution import stop  # when the task runs

        return stop.execute(self, context)
