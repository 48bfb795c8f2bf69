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


GENERATED = """
import sys
import airflow_provider_fc.hooks, airflow_provider_fc.clients.sync
ours = [module for name, module in sys.modules.items() if name.startswith("airflow_provider_fc")]
found = {each for module in ours for each in vars(module).values() if isinstance(each, type)}
made = [each.__name__ for each in found if "__dataclass_fields__" in vars(each)]
print(*sorted(made))
"""


def test_the_first_use_of_a_hook_waits_for_few_dataclasses(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    # Python writes and compiles the methods of each whenever it is imported, 0.5 ms; a msgspec.Struct takes 0.02 ms.
    # Left are those with fields that their text must not show, and those whose defaults are read from the class.
    made = set(python("-c", GENERATED).stdout.splitlines()[-1].split())

    assert made == {
        *("Auth", "Settings", "Credentials", "HttpRequest", "HttpResponse", "_Held", "_Way"),
        *("Policies", "Polling", "Records", "Connections", "Announcing"),
    }
