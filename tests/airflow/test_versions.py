"""The table of differences says what this Airflow has."""

from __future__ import annotations

import importlib

import pytest
from differences import DIFFERENCES
from versions import lacks


def has(module: str, *names: str) -> bool:
    """Tell whether it exists, and holds the first name, which holds the second."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    for name in names:
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True


PROBES = {
    "supervisor": ("airflow.sdk.execution_time.supervisor",),
    "asset watchers": ("airflow.sdk", "AssetWatcher"),
    "asset state store": ("airflow.sdk.execution_time.context", "AssetStateStoreAccessors"),
    "task state store": ("airflow.sdk.execution_time.context", "TaskStateStoreAccessor"),
    "shared streams": ("airflow.triggers.shared_stream",),
    "form of Airflow 2": ("wtforms",),
    "kill of deferred tasks": ("airflow.triggers.base", "BaseTrigger", "on_kill"),
    "REST API 2": ("airflow.api_fastapi",),
}
OF_WATCHERS = {"asset state store", "shared streams"}  # Airflow 2 has none: one row says so for the whole module
# test_provider_info.py asks Airflow for the fields; what a run of 3.0 does needs a run of 3.0.
ELSEWHERE = {"connection form", "rescheduled sensors in dag.test()"}


@pytest.mark.parametrize("feature", PROBES)
def test_this_airflow_lacks_what_the_table_says_and_no_more(feature: str) -> None:
    lacking = lacks(feature) or (feature in OF_WATCHERS and lacks("asset watchers"))

    assert has(*PROBES[feature]) is not lacking


def test_every_row_is_looked_at() -> None:
    assert set(PROBES) | ELSEWHERE == set(DIFFERENCES)
