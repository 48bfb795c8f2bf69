"""What importing our operators and sensors costs a DAG file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import pytest

COUNT = """
import json, sys
try:
    import airflow.sdk
except ImportError:
    import airflow.models.baseoperator, airflow.sensors.base
import airflow.providers.common.compat.sdk, airflow.triggers.base
before = set(sys.modules)
import airflow_provider_fc.sensors, airflow_provider_fc.operators
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(scope="module")
def added(python: Callable[..., subprocess.CompletedProcess[str]]) -> list[str]:
    return json.loads(python("-c", COUNT).stdout.splitlines()[-1])


def test_it_adds_at_most_twenty_modules(added: list[str]) -> None:
    assert "airflow_provider_fc.sensors" in added
    assert len(added) <= 20


@pytest.mark.parametrize("heavy", ["requests", "aiohttp", "flask", "wtforms", "msgspec", "asyncio"])
def test_it_adds_nothing_heavy(added: list[str], heavy: str) -> None:
    assert heavy not in {name.partition(".")[0] for name in added}


@pytest.mark.parametrize("module", ["hooks", "triggers"])
def test_hooks_and_triggers_load_no_http_library_before_they_are_used(
    python: Callable[..., subprocess.CompletedProcess[str]], module: str
) -> None:
    code = f"import sys; import airflow.triggers.base; before = set(sys.modules); import airflow_provider_fc.{module}; "
    code += "print({'aiohttp', 'requests', 'flask_appbuilder', 'wtforms'} & (set(sys.modules) - before))"

    assert python("-c", code).stdout.splitlines()[-1] == "set()"
