"""Leaves out what this Airflow lacks; scripts/differences.py is the list of it."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from differences import skip_reason

AIRFLOW = version("apache-airflow")


def lacks(feature: str) -> bool:
    """Tell whether this Airflow lacks what a test would see."""
    return bool(skip_reason(feature, AIRFLOW))


def needs(feature: str) -> None:
    """Leave out the test, or the whole module, that says so."""
    if reason := skip_reason(feature, AIRFLOW):
        pytest.skip(reason, allow_module_level=True)
