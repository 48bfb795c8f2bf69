"""Reads what tasks upstream give: the id of an invocation that is missing is ``None``, and never just left out.

Airflow leaves out what a task has not pushed: a mapped task gives fewer values, and which ones cannot be seen. So the
values are counted against the task's instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import MappedOperator, XComArg, XComNotFound

from airflow_provider_fc._compat import count_instances, in_its_dag

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context


def ids_from(source: Any, context: Context, task: BaseOperator) -> list[Any]:
    """Resolve what stands for ids.

    :param source: an ``XComArg``, or a list with some.
    :param task: who asks.
    """
    if isinstance(source, (list, tuple)):
        return [found for each in source for found in ids_from(each, context, task)]
    if not isinstance(source, XComArg):
        return [task.render_template(source, context)]
    if type(source).__name__ == "ConcatXComArg":
        return ids_from(list(getattr(source, "args", ())), context, task)
    result = _resolve(source, context)
    found = _listed(source, result)
    # What a single task returns is its own affair: an empty list of its is not missing.
    of_one = int(result is None)
    counts = [_count(operator, context, task) for operator, _ in source.iter_references()]
    expected = max((of_one if count is None else count for count in counts), default=0)
    return found + [None] * (expected - len(found))


def maps_over_pairs(task: BaseOperator, name: str, context: Context) -> bool:
    """Tell whether ``expand()`` has got a dict for a parameter: Airflow maps over its pairs."""
    given = getattr(getattr(in_its_dag(task), "expand_input", None), "value", None)
    source = given.get(name) if isinstance(given, Mapping) else None
    return isinstance(_resolve(source, context) if isinstance(source, XComArg) else source, Mapping)


def _resolve(source: Any, context: Context) -> Any:
    """Resolve as Airflow does, but for one that is missing: that is ``None`` for every XCom, not for results alone."""
    if hasattr(source, "key") and not _is_mapped(source.operator):
        # Without map_indexes Airflow 3 asks for all there are; asked for that one, it logs an error if it is missing.
        return context["ti"].xcom_pull(task_ids=source.operator.task_id, key=source.key)
    try:
        return source.resolve(context)
    except XComNotFound:
        return None


def _is_mapped(operator: Any) -> bool:
    return isinstance(operator, MappedOperator) or operator.get_closest_mapped_task_group() is not None


def _listed(source: Any, found: Any) -> list[Any]:
    if found is None:
        return []
    if isinstance(found, str) or hasattr(found, "keys") or not hasattr(found, "__getitem__"):
        return [found]
    if hasattr(source, "key"):
        every = list(found[:])  # one request in all; by index it is one each
        # Of a mapped group Airflow 3.0 and 3.1 give a marker where an instance has pushed nothing.
        return [None if type(each).__name__ == "ArgNotSet" else each for each in every]
    return [found[index] for index in range(len(found))]


def _count(operator: Any, context: Context, task: BaseOperator) -> int | None:
    """Count the instances of a mapped task; ``None`` where one result is all there can be."""
    if not _is_mapped(operator):
        return None
    group = operator.get_closest_mapped_task_group()
    if group is not None and group == task.get_closest_mapped_task_group():
        return None  # the instance beside this one
    return count_instances(context, operator.task_id)
