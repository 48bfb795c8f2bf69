"""The operator that pushes a filtered list of invocations to XCom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_fc.core.bounded import Rows
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


class FunctionComputeListInvocationsOperator(BaseOperator):
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
    ui_color = "#ffe0cc"

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
        from airflow_provider_fc.hooks import FunctionComputeHook

        with FunctionComputeHook(self.fc_conn_id, self.region_id) as hook:
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
