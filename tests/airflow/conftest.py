"""What tests of the Airflow parts share: the metadata database and connections."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from api_server import share_api_server

if TYPE_CHECKING:
    from running import Reads


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
    share_api_server()


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


@pytest.fixture
def hasten(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give what Airflow makes other policies: ``hasten(polling={"first": 0.0})``; all else stays as it is."""
    from airflow_provider_fc.hooks import FunctionComputeAsyncHook, FunctionComputeHook

    def use(**concerns: dict[str, float]) -> None:
        now = FunctionComputeHook.policies
        others = {name: replace(getattr(now, name), **fields) for name, fields in concerns.items()}
        for hook in (FunctionComputeHook, FunctionComputeAsyncHook):
            monkeypatch.setattr(hook, "policies", replace(now, **others))

    return use


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Stands between this package and Airflow's connections, blocking or on a loop."""
    from airflow.providers.common.compat.sdk import BaseHook
    from running import Reads

    from airflow_provider_fc._compat import ASKS_ON_THE_LOOP

    reads, blocking = Reads(), BaseHook.get_connection
    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(partial(reads.read, blocking)))
    if ASKS_ON_THE_LOOP:
        on_the_loop = BaseHook.aget_connection
        monkeypatch.setattr(BaseHook, "aget_connection", staticmethod(partial(reads.aread, on_the_loop)))
    return reads
