"""What tests of the Airflow parts share: the metadata database and connections."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.airflow)


@pytest.fixture(scope="session")
def metadata_db() -> None:
    """Airflow's database, migrated; costs seconds, so only the tests that name this fixture pay for it."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def dags_folder() -> Iterator[Path]:
    """Airflow's DAGs folder, empty before and after: Airflow 3's ``dag.test()`` needs the DAG's file in it."""
    from airflow.configuration import conf

    folder = Path(conf.get("core", "dags_folder"))
    yield folder
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Define an Airflow connection for one test: ``connection(host=..., extra={...})`` returns its id."""

    def define(conn_id: str = "fc_default", *, conn_type: str = "alibaba_fc", **fields: object) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": conn_type, **fields}))
        return conn_id

    return define
