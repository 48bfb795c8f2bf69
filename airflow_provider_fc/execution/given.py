"""What became of parameters on their way from the DAG file: nothing that was given may be lost in silence.

Airflow makes the object of a mapped task on the worker, with the results of tasks upstream as arguments, and renders
templates afterwards, in both cases through ``_do_render_template_fields``. So before rendering we see what the author
wrote, except in arguments that were mapped: there a ``None`` may be the author's or a result.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator
from jinja2 import Undefined
from jinja2.nativetypes import NativeEnvironment

from airflow_provider_fc._compat import mapped_arguments
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.literals import check_literals
from airflow_provider_fc.core.parameters import UNLIMITED, boolean, is_absent

if TYPE_CHECKING:
    from airflow_provider_fc.base import FunctionComputeTask

TEXTS = frozenset(
    {
        "function_name",
        "service_name",
        "qualifier",
        "invocation_id",
        "invocation_id_prefix",
        "order",
        "on_empty",
        "on_missing",
        "on_overflow",
        "fc_conn_id",
        "region_id",
    }
)
"""Parameters that are one text. Digits in them are no number."""

_FLAGS = (
    "wait_for_completion",
    "include_return_payload",
    "cancel_on_kill",
    "allow_short_prefix",
    "fail_fast",
    "retry_verdicts",
    "deferrable",
)

_NONE_CHANGES_NOTHING = frozenset({"payload", "delay", "order"})
"""Where a mapped ``None`` may be a result: it neither protects nor narrows anything."""


def render_text(task: FunctionComputeTask, context: Any, jinja_env: Any, seen_oids: set[int]) -> set[str]:
    """Render parameters that are text as text where Airflow would make other things of them.

    ``render_template_as_native_obj`` makes an int of ``20261122_1``, without its underscore.

    :param seen_oids: what comes from upstream and must not be rendered.
    :returns: the names of what is rendered now.
    """
    if not isinstance(jinja_env, NativeEnvironment):
        return set()
    rendered = set()
    for name in TEXTS.intersection(task.parameters):
        value = getattr(task, name)
        if isinstance(value, str) and id(value) not in seen_oids:
            template = jinja_env.from_string(value)
            variables = jinja_env.context_class(jinja_env, copy(context), template.name, template.blocks)
            setattr(task, name, "".join(map(str, template.root_render_func(variables))))
            rendered.add(name)
    return rendered


def keep_text(task: FunctionComputeTask) -> None:
    """Make text of numbers that were given for it: what a template would make a number of was rendered as text."""
    for name in TEXTS.intersection(task.parameters):
        value = getattr(task, name)
        if isinstance(value, int) and not isinstance(value, bool):
            setattr(task, name, str(value))
        elif issubclass(type(value), str):  # a template engine's own kind of text cannot be serialised
            setattr(task, name, str.__str__(value))


def settle(task: FunctionComputeTask) -> None:
    """Refuse what was lost on the way; flags become booleans.

    :raises ParameterError: a parameter was given and has come to nothing.
    """
    mapped = mapped_arguments(task)
    for name in task.parameters:
        value = getattr(task, name)
        _refuse_unreturned(name, value)
        if value is None or isinstance(value, Undefined) or _rendered_nothing(task, name, value):
            _refuse_lost(task, name, value, is_mapped=name in mapped)
    for name in _FLAGS:
        if hasattr(task, name):
            setattr(task, name, boolean(name, getattr(task, name)))


def check(task_id: object, written: Mapping[str, object]) -> None:
    """Check what stands in the DAG file.

    :raises ParameterError: one is wrong whatever templates render and tasks return.
    """
    try:
        for name, value in written.items():
            if not _is_called_when_rendered(value):
                _refuse_unreturned(name, value)
        check_literals(written)
    except ParameterError as error:
        raise ParameterError(error.name, f"{str(error).removeprefix(f'{error.name}: ')} (task {task_id!r})") from None


def _is_called_when_rendered(value: object) -> bool:
    """Tell whether Airflow 3.3 itself puts what a function returns in its place."""
    try:
        inspect.signature(value).bind(context=None, jinja_env=None)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
    return not hasattr(value, "operator_class")  # of a task's function, which would make another task


def _refuse_unreturned(name: str, value: object) -> None:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
    for each in values:
        if isinstance(each, BaseOperator):
            raise ParameterError(name, f"is the task {each.task_id!r}, not its result; give the task's .output")
        if callable(each) and not isinstance(each, Undefined):
            function = getattr(inspect.unwrap(each), "__name__", type(each).__name__)
            raise ParameterError(name, f"is the function {function}, not what it returns; give {function}(...)")


def _rendered_nothing(task: FunctionComputeTask, name: str, value: object) -> bool:
    if name == "invocation_ids" and getattr(task, "on_missing", "fail") == "ignore":
        return False  # a missing id is what the author expects
    written = (task.written or {}).get(name)
    return isinstance(value, str) and is_absent(value) and written is not None and written != value


_REQUIRED = frozenset({"function_name"})

_ONE_OF_TWO = {"invocation_ids": "invocation_id_prefix", "invocation_id_prefix": "invocation_ids"}
"""Where a task has both parameters, one of them must be given."""


def _instead(task: FunctionComputeTask, name: str) -> str | None:
    """Say what else can be done than to correct a value; ``None`` where the parameter can be left out."""
    if name in _REQUIRED:
        return ""
    other = _ONE_OF_TWO.get(name)
    return f", or give {other} instead" if other in task.parameters and getattr(task, other) is None else None


def _refuse_lost(task: FunctionComputeTask, name: str, value: object, *, is_mapped: bool) -> None:
    instead = _instead(task, name)
    if (task.written or {}).get(name) is not None or value is not None:
        became = "None" if value is None else repr(value)
        raise ParameterError(
            name,
            f"has become {became}: the task or template that it comes from gave nothing; correct that"
            f"{f', or leave {name} out' if instead is None else instead}",
        )
    if is_mapped and name not in _NONE_CHANGES_NOTHING:
        unlimited = f" or give {UNLIMITED!r}" if name == "max_failed" else ""
        left_out = f"leave its key out (expand_kwargs){unlimited}, or give None in partial()"
        raise ParameterError(
            name,
            "is None in a mapped argument, where nobody can tell it from a result that is missing; "
            f"{left_out if instead is None else f'correct the result{instead}'}",
        )
