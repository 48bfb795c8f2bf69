"""Fixtures for tests of DAGs: ``pytest_plugins = ["airflow_provider_fc.emulator.pytest_plugin"]``."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_fc.emulator.schema import check_names
from airflow_provider_fc.emulator.server import FunctionComputeEmulator


@pytest.fixture
def function_compute_options() -> dict[str, Any]:
    """Say what ``function_compute_emulator`` is made with; override it, for example to name ``functions``."""
    return {}


@pytest.fixture
def function_compute_emulator(
    function_compute_options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FunctionComputeEmulator]:
    """Start a fresh local Function Compute, to which the connection ``fc_default`` leads."""
    check_names(
        function_compute_options, "function_compute_options", inspect.signature(FunctionComputeEmulator).parameters
    )
    with FunctionComputeEmulator(**function_compute_options) as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_FC_DEFAULT", json.dumps(emulator.connection))
        yield emulator
