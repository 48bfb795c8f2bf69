"""The environment of every test, settled before anything imports Airflow (which reads it once, at import)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

# What the developer's shell says about Airflow, the cloud, proxies or authorities must not reach a test.
_FOREIGN = ("AIRFLOW_", "ALIBABA_CLOUD_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_", "CURL_", "SSL_CERT")
for _name in list(os.environ):
    if _name.upper().startswith(_FOREIGN):
        del os.environ[_name]

_AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="airflow-provider-fc-"))
_DAGS_FOLDER = _AIRFLOW_HOME / "dags"
_DAGS_FOLDER.mkdir()

os.environ.update(
    AIRFLOW_HOME=str(_AIRFLOW_HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(_DAGS_FOLDER),
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    AIRFLOW__API_AUTH__JWT_SECRET="only for tests, and long enough for the signatures of Airflow's tokens" * 2,  # 3.2
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY="True",  # Airflow 2.11 warns at import without it
    SQLALCHEMY_SILENCE_UBER_WARNING="1",  # the same
    ALIBABA_CLOUD_ECS_METADATA_DISABLED="true",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
)

hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse ids with an address in memory: processes that share the tests must call each by the same name."""
    if unstable := sorted({item.nodeid for item in items if " at 0x" in item.nodeid}):
        raise pytest.UsageError(
            "give the values an id of their own, each run makes another one: " + ", ".join(unstable)
        )


def pytest_unconfigure() -> None:
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def python() -> Callable[..., subprocess.CompletedProcess[str]]:
    """A fresh interpreter: ``python("-c", "print(1)").stdout``; fails if it does."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"python {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    return run
