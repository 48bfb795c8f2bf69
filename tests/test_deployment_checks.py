"""The checks of a deployment notice what they are there to notice; `make e2e-cluster` and `make e2e-scale` use them."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from batches import KINDS, Plan, judge
from local_airflow import REPOSITORY, Airflow, Failure, Program, Run, environment, publish
from triggerer_loops import Collections, CpuWaits, warnings

NOW = 1_795_797_525.873751
LINE = (
    "{prefix}2026-11-27T16:38:45.873751Z [info     ] Triggerer's async thread was blocked for {late:.2f} seconds, "
    "exceeding the configured warning threshold of 0.20 seconds. This is likely caused by a badly-written trigger."
)


def waits(*counts: tuple[float, float]) -> CpuWaits:
    """One process, counted at moments before NOW: seconds before, and how long it had waited for a CPU."""
    found = CpuWaits(list)
    found.counts[1] = [(NOW - before, waited) for before, waited in counts]
    return found


def collections(folder: Path, *notes: tuple[int, float, float]) -> Collections:
    """Processes, seconds before NOW, and how long the collector took."""
    found = Collections(folder)
    lines = [f"{pid} {NOW - before} {seconds} 2" for pid, before, seconds in notes]
    (folder / "config" / "collections.txt").write_text("\n".join(lines))
    return found


@pytest.mark.parametrize("prefix", ["", "triggerer  | "])
@pytest.mark.parametrize(
    ("late", "counted", "explained"),
    [
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.0), (-1, 1.0)], False, id="it waited for nothing"),
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.4), (-1, 1.4)], True, id="it waited for a CPU"),
        pytest.param(0.5, [(2, 1.0), (1, 1.0), (0, 1.2), (-1, 1.2)], False, id="it waited too little"),
        pytest.param(0.5, [(9, 0.0), (8, 5.0), (1, 5.0), (0, 5.0), (-1, 5.0)], False, id="it had waited before"),
        pytest.param(0.5, [], False, id="nothing is known"),
    ],
)
def test_a_late_loop_is_explained_by_waiting_for_a_cpu_and_by_nothing_else(
    tmp_path: Path, prefix: str, late: float, counted: list[tuple[float, float]], explained: bool
) -> None:
    log = tmp_path / "triggerer.log"
    log.write_text(f"something else\n{LINE.format(prefix=prefix, late=late)}\n")

    [found] = warnings([log], waits(*counted), collections(tmp_path))

    assert found.late == late
    assert found.explained is explained


def test_a_warning_in_other_words_is_never_explained(tmp_path: Path) -> None:
    log = tmp_path / "triggerer.log"
    log.write_text("the async thread was blocked for a while\n")

    [found] = warnings([log], waits((2, 0.0), (-1, 100.0)), collections(tmp_path, (1, 0.1, 100.0)))

    assert not found.explained


@pytest.mark.parametrize(
    ("notes", "explained"),
    [
        pytest.param([], False, id="nothing was collected"),
        pytest.param([(1, 0.1, 0.3)], True, id="garbage was collected"),
        pytest.param([(1, 0.2, 0.2), (1, 0.1, 0.1)], True, id="twice in one process"),
        pytest.param([(1, 0.2, 0.2), (2, 0.1, 0.2)], False, id="in two processes, neither for long"),
        pytest.param([(1, 5.0, 0.3)], False, id="before"),
        pytest.param([(1, 0.1, 0.05)], False, id="too short"),
    ],
)
def test_a_late_loop_is_explained_by_a_collection_of_garbage_at_that_moment(
    tmp_path: Path, notes: list[tuple[int, float, float]], explained: bool
) -> None:
    log = tmp_path / "triggerer.log"
    log.write_text(LINE.format(prefix="", late=0.5))

    [found] = warnings([log], waits(), collections(tmp_path, *notes))

    assert found.explained is explained


def test_a_triggerer_notes_its_long_collections_and_no_other_program_does(tmp_path: Path) -> None:
    Collections(tmp_path)
    program = "import airflow_local_settings as s, gc; s.SHORTEST = 0.0; gc.collect()"
    for name in ("scheduler", "triggerer"):
        subprocess.run([sys.executable, "-c", program, name], cwd=tmp_path / "config", check=True)

        noted = (tmp_path / "config" / "collections.txt").exists()

        assert noted == (name == "triggerer")


@pytest.mark.parametrize(("invocations", "batches"), [(500, 200), (30, 7), (14, 7), (900, 300)])
def test_every_invocation_is_in_one_batch_and_the_last_of_each_is_late(invocations: int, batches: int) -> None:
    plan = Plan(invocations, batches)
    expected = [sensor["expected_count"] for sensor in plan.sensors()]

    assert [*plan.early, *plan.late] == list(range(invocations))
    assert {number % batches for number in plan.late} == set(range(batches))
    assert sum(expected) - sum(plan.kind(batch).missing for batch in range(batches)) == invocations
    assert sum(map(plan.fails, range(invocations))) == sum(plan.kind(batch).fails for batch in range(batches))


def test_there_are_sensors_that_end_in_each_state() -> None:
    assert {kind.state for kind in KINDS} == {"success", "failed", "skipped"}
    assert Plan(2 * len(KINDS), len(KINDS)).complete


@pytest.mark.parametrize(("invocations", "batches"), [(5, 3), (0, 0), (10, 0)])
def test_too_few_invocations_for_the_sensors_are_refused(invocations: int, batches: int) -> None:
    with pytest.raises(Failure, match="need"):
        Plan(invocations, batches)


# --- how sensors have ended -------------------------------------------------------------------------------------------

RUN = Run("e2e_deployment", "manual__1")
PLAN = Plan(2 * len(KINDS), len(KINDS))


def ended(folder: Path, batch: int, state: str, error: str = "", by_status: dict[str, int] | None = None) -> Airflow:
    """An Airflow in which every sensor has ended right, but this one so."""
    airflow = object.__new__(Airflow)
    airflow.home = airflow.logs = folder
    with closing(sqlite3.connect(folder / "airflow.db")) as database, database:
        database.execute("create table task_instance (run_id, task_id, map_index, state)")
        database.execute("create table xcom (run_id, task_id, map_index, key, value)")
        for each in range(PLAN.batches):
            kind = PLAN.kind(each)
            how, why = (state, error) if each == batch else (kind.state, kind.error)
            counts = by_status if each == batch and by_status else PLAN.by_status(each)
            log = folder / f"tasks/dag_id=e2e_deployment/run_id=manual__1/task_id=wait/map_index={each}/attempt=1.log"
            log.parent.mkdir(parents=True)
            log.write_text(f"it waited\n{why}\n")
            database.execute("insert into task_instance values (?, 'wait', ?, ?)", ("manual__1", each, how))
            value = json.dumps({"by_status": counts})
            database.execute("insert into xcom values (?, 'wait', ?, 'return_value', ?)", ("manual__1", each, value))
    return airflow


@pytest.mark.parametrize("batch", range(len(KINDS)))
def test_a_sensor_that_has_ended_right_is_not_wrong(tmp_path: Path, batch: int) -> None:
    kind = PLAN.kind(batch)

    kinds, wrong = judge(ended(tmp_path, batch, kind.state, kind.error), RUN, PLAN)

    assert wrong == {}
    assert kinds == {kind.name: {kind.outcome: 1} for kind in KINDS}


@pytest.mark.parametrize("batch", range(len(KINDS)))
@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("success", ""),
        ("skipped", ""),
        ("failed", "InvocationsFailedError"),
        ("failed", "AirflowSensorTimeout"),
        ("failed", "InvocationsFailedError after AirflowSensorTimeout"),
        ("failed", "KeyError"),
        ("deferred", ""),
    ],
)
def test_every_other_end_of_a_sensor_is_wrong(tmp_path: Path, batch: int, state: str, error: str) -> None:
    kind = PLAN.kind(batch)
    is_right = (state, error) == (kind.state, kind.error)

    _, wrong = judge(ended(tmp_path, batch, state, error), RUN, PLAN)

    assert list(wrong) == ([] if is_right else [batch])


def test_a_success_with_wrong_counts_is_wrong(tmp_path: Path) -> None:
    _, wrong = judge(ended(tmp_path, 0, "success", by_status={"Succeeded": 1}), RUN, PLAN)

    assert list(wrong) == [0]


# --- programs that are killed, and those whose holder is --------------------------------------------------------------

FAMILY = ["sh", "-c", "sleep 1000 & setsid sleep 1000 & sleep 1000"]


def family(program: Program) -> list[psutil.Process]:
    """The four processes of FAMILY, once they are there."""
    while len(found := program.processes()) < 4:
        program.check()
        time.sleep(0.01)
    return found


def test_a_killed_program_leaves_nobody_behind(tmp_path: Path) -> None:
    with Program("family", FAMILY, log=tmp_path / "log", env=environment()) as program:
        found = family(program)

        killed = program.kill()

        assert sorted(killed) == sorted(process.pid for process in found)
        assert [process for process in found if process.is_running()] == []
        with pytest.raises(Failure, match="family has ended"):
            program.check()


def test_a_program_ends_when_its_holder_is_killed(tmp_path: Path) -> None:
    source = (
        "import sys, time; from pathlib import Path; from local_airflow import Program, environment\n"
        f"program = Program('family', {FAMILY!r}, log=Path(sys.argv[1]), env=environment())\n"
        "while len(found := program.processes()) < 4: time.sleep(0.01)\n"
        "print(*(process.pid for process in found), flush=True)\n"
        "time.sleep(1000)\n"
    )
    command = [sys.executable, "-c", source, str(tmp_path / "log")]
    with subprocess.Popen(command, cwd=REPOSITORY / "scripts", stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        found = [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
        holder.send_signal(signal.SIGKILL)

    _, alive = psutil.wait_procs(found, timeout=60)

    assert len(found) == 4
    assert alive == []


def test_two_programs_that_begin_at_the_same_moment_both_keep_the_database_they_have_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, template = tmp_path / "airflow.db", tmp_path / "templates" / "airflow.db"
    database.write_text("all of it")
    template.parent.mkdir()
    copy = shutil.copyfile

    def copy_while_another_finishes(source: Path, target: Path) -> Path:
        copied = copy(source, target)
        monkeypatch.setattr(shutil, "copyfile", copy)
        publish(database, template)
        return copied

    monkeypatch.setattr(shutil, "copyfile", copy_while_another_finishes)
    publish(database, template)
    assert [(each.name, each.read_text()) for each in template.parent.iterdir()] == [("airflow.db", "all of it")]
