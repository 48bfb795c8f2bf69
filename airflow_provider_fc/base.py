"""What our operators and the sensor share: a function, and the memory of what the author wrote for each parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_fc.links import FunctionComputeConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    _Base = BaseOperator
else:
    _Base = object


GIVEN_UP = "__fail__"
"""What Airflow calls the method of a deferred task whose trigger has timed out or failed."""


def check_literals(task_id: str | None, written: Mapping[str, Any]) -> None:
    """Name what is wrong whatever templates render."""
    from airflow_provider_fc.execution import given  # brings msgspec, which importing a DAG file need not

    given.check(task_id, written)


def _holds_xcom(value: Any) -> bool:
    """Tell whether a parameter is, or lists, what tasks upstream give."""
    return isinstance(value, XComArg) or (
        isinstance(value, (list, tuple)) and any(isinstance(each, XComArg) for each in value)
    )


class FunctionComputeTask(_Base):
    """A task with a connection, a function, and parameters that are checked when it runs.

    What is wrong whatever a template renders is named when Airflow reads the DAG file: :meth:`prepare_template` and
    :meth:`partial` are called then. ``__init__`` only assigns.
    """

    operator_extra_links = (FunctionComputeConsoleLink(),)
    ui_color = "#ffe0cc"

    parameters: ClassVar[tuple[str, ...]]
    """Our own template fields; a subclass may have more."""

    function_name: str
    service_name: str | None
    qualifier: str | None
    fc_conn_id: str
    region_id: str | None

    console_url: str | None = ""
    """Where the button leads, as far as this process knows: ``None`` when an earlier one has pushed it."""

    written: Mapping[str, Any] | None = None
    """The parameters as the author gave them, once Airflow has rendered; of mapped arguments their values."""

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin a mapped task."""
        check_literals(kwargs.get("task_id"), {name: kwargs[name] for name in cls.parameters if name in kwargs})
        return super().partial(**kwargs)

    def prepare_template(self) -> None:
        """Name literal mistakes: Airflow calls this when it has read the DAG file."""
        check_literals(self.task_id, {name: getattr(self, name) for name in self.parameters})
        super().prepare_template()

    def _do_render_template_fields(
        self, parent: Any, template_fields: Any, context: Any, jinja_env: Any, seen_oids: set[int], **more: Any
    ) -> None:
        """Remember what is rendered, and render text as text: Airflow calls this for mapped tasks and others alike."""
        from airflow_provider_fc.execution.given import keep_text, render_text  # when the task runs

        if parent is self:
            if self.written is None:
                self.written = {name: getattr(self, name) for name in self.parameters}
            texts = render_text(self, context, jinja_env, seen_oids)
            template_fields = [name for name in template_fields if name not in texts]
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids, **more)
        if parent is self:
            keep_text(self)

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render as Airflow does, but for ids that tasks upstream should have given and have not: they are ``None``."""
        if content is getattr(self, "invocation_ids", None) and _holds_xcom(content):
            from airflow_provider_fc.execution.upstream import ids_from  # when the task runs

            return ids_from(content, context, self)
        return super().render_template(content, context, jinja_env, seen_oids)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral."""
        self.console_url = None  # the process that deferred the task has pushed it
        return super().resume_execution(next_method, next_kwargs, context)
