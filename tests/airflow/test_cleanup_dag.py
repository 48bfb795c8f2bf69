"""What becomes of ids when tasks upstream fail: in Airflow's own DAG run, where the missing ones are Airflow's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.emulator.schema import Life
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.hooks import FunctionComputeHook

pytestmark = pytest.mark.usefixtures("metadata_db")

HEAD = """
import pendulum
from airflow.providers.common.compat.sdk import DAG, task, task_group
from airflow_provider_fc.operators import (
    FunctionComputeInvokeOperator,
    FunctionComputeListInvocationsOperator,
    FunctionComputeStopInvocationsOperator,
)
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor

with DAG("{dag_id}", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")) as dag:
"""

CLEANUP = (
    HEAD
    + """
    common = {"function_name": "resize", "poll_interval": 1, "timeout": 1}

    @task
    def nothing():
        return []

    one = FunctionComputeInvokeOperator(task_id="one", **common)
    deferred = FunctionComputeInvokeOperator(task_id="deferred", deferrable=True, **common)
    never = FunctionComputeInvokeOperator(task_id="never", **common)
    one >> never
    many = FunctionComputeInvokeOperator.partial(task_id="many", **common).expand(payload=[1, "{{ 1 / 0 }}", 3])
    none = FunctionComputeInvokeOperator.partial(task_id="none", **common).expand(payload=nothing())
    unexpanded = FunctionComputeInvokeOperator.partial(task_id="unexpanded", **common).expand(payload=[1])
    one >> unexpanded
    listed = FunctionComputeListInvocationsOperator(
        task_id="listed", function_name="resize", invocation_id_prefix="nobody-"
    )
    empty = nothing()
    given = {
        "one": one.output["invocation_id"],
        "deferred": deferred.output["invocation_id"],
        "never": never.output["invocation_id"],
        "never_result": never.output,
        "many": many.output["invocation_id"],
        "many_results": many.output,
        "none": none.output["invocation_id"],
        "none_results": none.output,
        "unexpanded": unexpanded.output["invocation_id"],
        "several": [one.output["invocation_id"], never.output["invocation_id"]],
        "together": [many.output["invocation_id"], never.output["invocation_id"], "{{ 'an-id' }}"],
        "concatenated": many.output.concat(never.output),
        "listed": listed.output,
        "empty": empty,
        "with_empty": [one.output["invocation_id"], empty, listed.output],
        "concatenated_empty": empty.concat(listed.output),
    }
    last = [deferred, never, many, none, unexpanded]
    for name, ids in given.items():
        for on_missing in ("fail", "ignore"):
            stop = FunctionComputeStopInvocationsOperator(
                task_id=f"stop_{name}_{on_missing}", function_name="resize", invocation_ids=ids,
                on_missing=on_missing, trigger_rule="all_done",
            )
            if name not in ("one", "many", "never", "none", "listed"):
                last >> stop
                continue
            wait = FunctionComputeInvocationsSensor(
                task_id=f"wait_{name}_{on_missing}", function_name="resize", invocation_ids=ids,
                on_missing=on_missing, trigger_rule="all_done", max_failed=None, settle_seconds=0, poke_interval=1,
                timeout=30, mode="reschedule",
            )
            last >> stop >> wait
"""
)

KNOWN = {
    "one": (1, 0),
    "deferred": (1, 0),
    "never": (0, 1),
    "never_result": (0, 1),
    "many": (2, 1),
    "many_results": (0, 3),
    "none": (0, 0),
    "none_results": (0, 0),
    "unexpanded": (0, 1),
    "several": (1, 1),
    "together": (3, 2),
    "concatenated": (0, 4),
    "listed": (0, 0),
    "empty": (0, 0),
    "with_empty": (1, 0),
    "concatenated_empty": (0, 0),
}
"""How many ids are known, and how many missing."""


@pytest.fixture
def emulator(connection: Callable[..., str]) -> Iterator[FunctionComputeEmulator]:
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def dag_of(folder: Path, dag_id: str, text: str) -> Any:
    text = text.replace("{dag_id}", dag_id)
    file = folder / f"{dag_id}.py"
    file.write_text(text, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": dag_id, "__file__": str(file)}
    exec(compile(text, str(file), "exec"), namespace)
    namespace["dag"].fileloc = str(file)
    return namespace["dag"]


def stopped(count: int) -> bool:
    """Tell whether so many invocations are there, and all have been stopped."""
    with FunctionComputeHook() as hook:
        found = [item.status for item in hook.list_invocations("resize")]
    return len(found) == count and {"Stopping", "Stopped"}.issuperset(found)


def test_a_cleanup_stops_what_was_submitted_and_a_missing_id_is_never_green_by_mistake(
    emulator: FunctionComputeEmulator, dags_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    emulator.state.catalogue.lives["resize"] = Life(timeline=[[0, "Running"]])

    tis = dag_of(dags_folder, "cleanup", CLEANUP).test().get_task_instances()

    states = {ti.task_id: str(ti.state) for ti in tis}
    expected = {}
    for name, (known, missing) in KNOWN.items():
        expected[f"stop_{name}_fail"] = "failed" if missing else "success"
        expected[f"stop_{name}_ignore"] = "success"
        if name in ("one", "many", "never", "none", "listed"):
            expected[f"wait_{name}_fail"] = "failed" if missing or not known else "success"
            expected[f"wait_{name}_ignore"] = "success" if known else "failed"  # without any id there is no success
    assert {task_id: state for task_id, state in states.items() if task_id[:5] in ("stop_", "wait_")} == expected
    assert stopped(4)
    assert "XCom not found" not in "".join(capfd.readouterr())


GROUP = (
    HEAD
    + """
    def stop(name, ids, on_missing="fail"):
        return FunctionComputeStopInvocationsOperator(
            task_id=name, function_name="resize", invocation_ids=ids, on_missing=on_missing, trigger_rule="all_done"
        )

    @task_group
    def each(number):
        inner = FunctionComputeInvokeOperator(
            task_id="inner", function_name="resize", payload="{{ 1 / ti.map_index }}", poll_interval=1, timeout=1
        )
        inner >> stop("stop", inner.output["invocation_id"])

    group = each.expand(number=[1, 2, 3])
    inner = dag.get_task("each.inner")
    group >> stop("all", inner.output["invocation_id"]) >> stop("known", inner.output["invocation_id"], "ignore")
"""
)


def test_in_a_mapped_group_each_instance_has_its_own_id_and_outside_of_it_all_of_them_count(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    emulator.state.catalogue.lives["resize"] = Life(timeline=[[0, "Running"]])

    tis = dag_of(dags_folder, "group", GROUP).test().get_task_instances()

    states = {f"{ti.task_id} {ti.map_index}": str(ti.state) for ti in tis if "inner" not in ti.task_id}
    assert states == {
        "each.stop 0": "failed",  # its neighbour has submitted nothing
        "each.stop 1": "success",
        "each.stop 2": "success",
        "all -1": "failed",
        "known -1": "success",
    }
    assert stopped(2)


TWICE = (
    HEAD
    + """
    FunctionComputeInvokeOperator(
        task_id="invoke", function_name="resize", poll_interval=1, timeout=1, retries=3,
        retry_delay=pendulum.duration(),
    )
"""
)


def test_test_runs_of_the_same_date_do_not_meet_each_other_s_ids(
    emulator: FunctionComputeEmulator, dags_folder: Path
) -> None:
    """Airflow 2 gives both the same run id. A retry within a run still finds what its first try has started."""
    emulator.state.catalogue.lives["resize"] = Life(timeline=[[0, "Running"], [2, "Succeeded"]])
    date = {"logical_date" if find_spec("airflow.sdk") else "execution_date": datetime(2026, 1, 2, tzinfo=UTC)}

    for _ in range(2):
        [ti] = dag_of(dags_folder, "twice", TWICE).test(**date).get_task_instances()
        assert (str(ti.state), ti.try_number > 1) == ("success", True)

    assert [record.status for record in emulator.requests if record.operation == "Invoke"].count(202) == 2
