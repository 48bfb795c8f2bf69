"""Mistakes in a DAG file that no template and no task upstream can mend: named when Airflow reads the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, get_args

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.batch import PARAMETERS
from airflow_provider_fc.core.bounded import OnOverflow
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.operations import FILTERS

Check = Callable[[str, Any], object]

_count = partial(parameters.whole_number, at_least=0)
_number = partial(parameters.whole_number, at_least=1)


def _one_of(kind: Any) -> Check:
    return partial(parameters.choice, allowed=get_args(kind))


CHECKS: dict[str, Check] = {
    **{name: check for name, (_, check) in {**FILTERS, **PARAMETERS}.items()},
    "invocation_id": parameters.invocation_id,
    "invocation_ids": partial(parameters.invocation_ids, may_be_empty=True),
    "on_missing": partial(parameters.choice, allowed=("fail", "ignore")),
    "on_overflow": _one_of(OnOverflow),
    "fields": parameters.fields,
    "limit": _count,
    "max_items": _number,
    "max_bytes": _number,
    "max_concurrency": partial(_number, at_most=parameters.MOST_AT_THE_SAME_TIME),
    "delay": parameters.delay,
    "poll_interval": parameters.interval,
    "progress_interval": parameters.interval,
    "timeout": parameters.seconds,
    "poke_interval": parameters.seconds,
    "max_wait": parameters.seconds,
    "retry_verdicts": parameters.boolean,
    "log_tail_lines": _count,
    "wait_for_completion": parameters.boolean,
    "include_return_payload": parameters.boolean,
    "cancel_on_kill": parameters.boolean,
    "allow_short_prefix": parameters.boolean,
}
"""How each parameter is read when the task runs."""

_EITHER_OR = (("invocation_id_prefix", "invocation_ids"), ("invocation_id_prefix", "invocation_id"))


def check_literals(given: Mapping[str, object]) -> None:
    """Check what stands in the DAG file as it is.

    :param given: the parameters, templates and results of other tasks among them.
    :raises ParameterError: one is wrong whatever the others come to.
    """
    for name, value in given.items():
        if name in CHECKS and value is not None and is_literal(value):
            CHECKS[name](name, value)
    for one, other in _EITHER_OR:
        if given.get(one) is not None and given.get(other) is not None:
            raise ParameterError(one, f"is given beside {other}; give one of the two")


def is_literal(value: object) -> bool:
    """Tell whether a value is what it says: no template, and nothing that another task still has to return."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value and "{#" not in value
    if isinstance(value, (list, tuple)):
        return all(map(is_literal, value))
    if isinstance(value, Mapping):
        return all(map(is_literal, value.values()))
    return value is None or isinstance(value, (bool, int, float, bytes, date, datetime, timedelta))
