"""DAGs scheduled by assets: one event for each invocation or batch that ends, over a restart of the triggerer too."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from local_airflow import REPOSITORY, Airflow
from versions import needs

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

needs("asset watchers")

POLL_INTERVAL = 3
"""Seconds, as in the DAGs."""


def payloads(airflow: Airflow, mode: str) -> list[dict[str, Any]]:
    """What the events of one asset tell, in order."""
    events = airflow.get("/assets/events?limit=100&order_by=timestamp")["asset_events"]
    return [event["extra"]["payload"] for event in events if event["name"] == f"e2e-{mode}"]


def add(emulator: FunctionComputeEmulator, name: str, count: int) -> None:
    for mode in ("each", "batch"):
        template = f"{mode}-{name}-{{index}}"
        timeline = [[0, "Running"], [5, "Succeeded"]]
        emulator.add_invocations(
            [{"function": "resize", "id_template": template, "count": count, "timeline": timeline}]
        )


def test_every_end_is_one_event_over_a_restart_and_two_watchers_share_each_list_call(tmp_path: Path) -> None:
    with (
        FunctionComputeEmulator() as emulator,
        Airflow(
            tmp_path / "airflow",
            REPOSITORY / ".demo",
            Path(__file__).parent / "asset_dags",
            json.dumps(emulator.connection),
            say=print,
        ) as airflow,
    ):
        airflow.env["AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD"] = "10"  # after which another takes over
        airflow.start_all()
        for mode in ("each", "batch"):
            airflow.unpause(f"e2e_on_{mode}")

        add(emulator, "one", 4)
        airflow.wait_until(lambda: len(payloads(airflow, "each")) == 4, "an event for each of four")
        airflow.wait_until(lambda: len(payloads(airflow, "batch")) == 1, "an event for their batch")
        wait_for_polls(5, emulator, airflow)
        airflow.stop("triggerer")
        add(emulator, "two", 3)
        airflow.start("triggerer")
        airflow.wait_until(lambda: len(payloads(airflow, "batch")) == 2, "an event for the second batch")
        wait_for_polls(10, emulator, airflow)
        airflow.wait_until(lambda: len(heard_of(airflow, "each")) == 7, "runs that heard of all seven")
        airflow.wait_until(lambda: succeeded(airflow, "batch") == 2, "a run for each batch")
        heard = heard_of(airflow, "each")

        each, batches = payloads(airflow, "each"), payloads(airflow, "batch")
    assert sorted(payload["invocation_id"] for payload in each) == [
        *(f"each-one-{index}" for index in range(4)),
        *(f"each-two-{index}" for index in range(3)),
    ]
    assert sorted(heard) == sorted(payload["invocation_id"] for payload in each)
    assert [payload["total"] for payload in batches] == [4, 3]
    assert_one_call_per_interval(emulator)


def wait_for_polls(more: int, emulator: FunctionComputeEmulator, airflow: Airflow) -> None:
    polls = len(emulator.requests)
    airflow.wait_until(lambda: len(emulator.requests) >= polls + more, f"{more} more polls")


def heard_of(airflow: Airflow, mode: str) -> list[str]:
    """The invocations that the DAG's runs were told of, which are not always those of all events."""
    runs = airflow.get(f"/dags/e2e_on_{mode}/dagRuns")["dag_runs"]
    told = [airflow.get(f"/dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents") for run in runs]
    return [event["extra"]["payload"]["invocation_id"] for answer in told for event in answer["asset_events"]]


def succeeded(airflow: Airflow, mode: str) -> int:
    runs = airflow.get(f"/dags/e2e_on_{mode}/dagRuns")["dag_runs"]
    assert not [run for run in runs if run["state"] == "failed"]
    return len([run for run in runs if run["state"] == "success"])


def assert_one_call_per_interval(emulator: FunctionComputeEmulator) -> None:
    """Two watchers with a listing of their own would make two calls in each interval."""
    times = [request.at / 1000 for request in emulator.requests]
    gaps = [after - before for before, after in pairwise(times)]
    assert {request.operation for request in emulator.requests} == {"List"}
    assert sorted(gaps)[1] >= 0.9 * POLL_INTERVAL  # all but the one around the restart
