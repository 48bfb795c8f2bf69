"""What a state file keeps over a restart."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from emulator import emulator_functions  # type: ignore[attr-defined]

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.journal import SqliteJournal
from airflow_provider_fc.emulator.listing import Query
from airflow_provider_fc.emulator.server import FunctionComputeEmulator
from airflow_provider_fc.emulator.state import FunctionComputeState

FUNCTIONS = Path(emulator_functions.__file__)


@pytest.fixture
def restarted(tmp_path, clock):
    """A state on the same file each time it is called; the one before can write no more."""
    with ExitStack() as opened:

        def start(**options) -> FunctionComputeState:
            opened.close()
            journal = opened.enter_context(closing(SqliteJournal(tmp_path / "state.db")))
            return FunctionComputeState(clock=clock, journal=journal, **options)

        yield start


def statuses(state, function="resize"):
    return {id: state.status(function, id) for id in ("a", "b", "c") if state.status(function, id)}


def test_scripted_invocations_go_on_where_they_were(restarted, clock):
    before = restarted()
    before.add([{"function": "resize", "id": "a", "statuses": ["Enqueued", "Running", "Succeeded"], "payload": "in"}])
    before.add([{"function": "resize", "id": "b", "timeline": [[0, "Running"], [10, "Succeeded"]]}])
    before.get("", "resize", "a")

    after = restarted()
    clock.seconds += 10

    assert statuses(after) == {"a": "Running", "b": "Succeeded"}
    assert after.get("", "resize", "a").payload == "in"
    assert after.get("", "resize", "a").status == "Succeeded"


def test_a_stop_and_a_submission_are_kept(restarted):
    before = restarted(scripted_functions={"resize": {"statuses": ["Enqueued"]}})
    for id in ("a", "b"):
        before.submit("", "resize", id=id)
    before.stop("", "resize", "b")

    assert statuses(restarted()) == {"a": "Enqueued", "b": "Stopped"}


def test_a_made_up_status_is_still_known(restarted):
    restarted().add([{"function": "resize", "id": "a", "statuses": ["Hibernating", "Dreaming"]}])

    query = Query(service="", function="resize", order="asc", status="Dreaming")
    assert restarted().list_page(query, limit=1).items == []


@pytest.mark.parametrize(
    ("history", "status"),
    [
        (["Enqueued"], "Enqueued"),
        (["Enqueued", "Dequeued"], "Retrying"),
        (["Enqueued", "Running"], "Retrying"),
        (["Enqueued", "Running", "Retrying"], "Retrying"),
        (["Enqueued", "Running", "Stopping"], "Stopped"),
        (["Enqueued", "Running", "Failed"], "Failed"),
    ],
)
def test_an_unfinished_callable_is_retried(restarted, history, status):
    before = restarted(functions=["resize"])
    before.submit("", "resize", id="a")
    with before.lock:
        for word in history[1:]:
            before.enter(before._store.of("", "resize").get("a"), word)

    assert statuses(restarted(functions=["resize"])) == {"a": status}


def test_an_unfinished_callable_whose_function_is_gone_is_invalid(restarted):
    restarted(functions=["resize"]).submit("", "resize", id="a")

    after = restarted(functions=["thumb"])

    assert after.get("", "resize", "a").status == "Invalid"
    assert "'resize' no longer exists" in after.get("", "resize", "a").error_message


@pytest.mark.parametrize("now", [{"functions": ["thumb"]}, {"scripted_functions": {"thumb": {}}}, {}], ids=str)
def test_what_was_executed_and_is_no_longer_registered_shows_its_records_but_takes_nothing_new(restarted, now):
    restarted(functions=["resize"]).submit("", "resize", id="a")

    after = restarted(**now)

    with pytest.raises(
        Refusal, match=r"no function 'resize'; registered: .*; the state file has old invocations of it"
    ) as refused:
        after.submit("", "resize", id="b")
    assert refused.value.code == "FunctionNotFound"
    assert statuses(after) == {"a": "Invalid"}
    query = Query(service="", function="resize", order="asc")
    assert [one.id for one in after.list_page(query, limit=2).items] == ["a"]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"functions": ["thumb"]}),
        ({"scripted_functions": {"resize": {}}}, {"functions": ["thumb"]}),
        ({}, {"strict_functions": True}),
    ],
    ids=str,
)
def test_a_record_that_was_never_executed_does_not_register_its_function_either(restarted, before, now):
    restarted(**before).submit("", "resize", id="a")

    after = restarted(**now)

    with pytest.raises(Refusal, match="no function 'resize'"):
        after.submit("", "resize", id="b")
    assert after.get("", "resize", "a").status == "Enqueued"


@pytest.mark.parametrize(
    "now", [{}, {"functions": ["resize"]}, {"functions": ["thumb"], "strict_functions": False}], ids=str
)
def test_a_function_that_exists_takes_invocations_beside_its_old_records(restarted, now):
    restarted(scripted_functions={"resize": {}}).submit("", "resize", id="a")

    after = restarted(**now)
    after.submit("", "resize", id="b")

    assert statuses(after) == {"a": "Enqueued", "b": "Enqueued"}


def test_what_is_scripted_after_a_restart_makes_its_function_exist(restarted):
    restarted(functions=["resize"]).submit("", "resize", id="a")
    after = restarted(functions=["thumb"])
    after.add([{"function": "resize", "id": "b"}])

    assert after.submit("", "resize", id="c") == "c"


def test_a_callable_that_was_running_is_executed_again(tmp_path):
    gate = tmp_path / "gate"
    options = {"functions": FUNCTIONS, "state_file": tmp_path / "state.db", "workers": 1}
    with FunctionComputeEmulator(**options) as emulator:
        id = emulator.state.submit("", "wait_for_file", payload=json.dumps({"file": str(gate)}).encode())
        queued = emulator.state.submit("", "echo", payload=b"later")
        assert emulator.state.wait_for(lambda: emulator.state.status("wait_for_file", id) == "Running", 120)

    gate.touch()
    with FunctionComputeEmulator(**options) as emulator:
        emulator.wait_until_finished("wait_for_file", id)
        emulator.wait_until_finished("echo", queued)
        shown = emulator.state.get("", "wait_for_file", id)
        assert (shown.status, shown.return_payload) == ("Succeeded", "attempt 2")
        assert [event.status for event in shown.events][-4:] == ["Running", "Retrying", "Running", "Succeeded"]
        assert emulator.state.get("", "echo", queued).return_payload == "later"


def test_the_state_file_wins_over_the_scenario_s_invocations(tmp_path):
    scenario = {"invocations": [{"function": "resize", "id": "a", "statuses": ["Running", "Succeeded"]}]}
    for expected in ("Running", "Succeeded"):
        with FunctionComputeEmulator(scenario=scenario, state_file=tmp_path / "state.db") as emulator:
            assert emulator.state.get("", "resize", "a").status == expected


def test_a_scenario_s_invocations_name_their_function_also_where_the_state_file_wins(tmp_path):
    scenario = {"invocations": [{"function": "resize", "id": "a"}], "functions": {"thumb": {}}}
    for new in ("b", "c"):
        with FunctionComputeEmulator(scenario=scenario, state_file=tmp_path / "state.db") as emulator:
            assert emulator.state.submit("", "resize", id=new) == new


def test_a_state_file_is_one_emulator_s_at_a_time(tmp_path):
    with FunctionComputeEmulator(state_file=tmp_path / "state.db") as first:
        with pytest.raises(
            ValueError, match=r"state.db cannot be the state file: another process uses it; name a new file"
        ):
            FunctionComputeEmulator(state_file=tmp_path / "state.db")
        first.add_invocations([{"function": "resize", "id": "a"}])

    with FunctionComputeEmulator(state_file=tmp_path / "state.db") as second:
        assert second.state.status("resize", "a") == "Enqueued"


def test_a_file_that_is_no_state_file_is_an_error(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100)

    with pytest.raises(ValueError, match=r"notes.txt cannot be the state file: file is not a database"):
        SqliteJournal(file)


def test_a_state_file_of_another_version_is_an_error(tmp_path, restarted):
    with closing(SqliteJournal(tmp_path / "state.db")) as journal:
        FunctionComputeState(journal=journal).add([{"function": "resize", "id": "a"}])
    with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
        database.execute("UPDATE invocations SET data = '{}'")

    with pytest.raises(ValueError, match=r"state.db was written by another version: .*; name a new file"):
        restarted()


def test_a_database_of_somebody_else_is_an_error(tmp_path, restarted):
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute("CREATE TABLE invocations (text TEXT)")

    with pytest.raises(ValueError, match=r"state.db was written by another version: no such column: data"):
        restarted()


def test_threads_may_write_at_the_same_time(restarted):
    state = restarted()
    names = [str(number) for number in range(8)]
    threads = [threading.Thread(target=state.submit, args=["", name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(restarted()._store.load()) == 8


def test_a_state_file_is_readable_sqlite_once_the_emulator_has_ended(tmp_path):
    with FunctionComputeEmulator(state_file=tmp_path / "state.db") as emulator:
        emulator.add_invocations([{"function": "resize", "service": "media", "id": "a"}])

    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        rows = database.execute("SELECT service, function, id FROM invocations").fetchall()
    assert rows == [("media", "resize", "a")]


def test_what_could_not_be_kept_was_not_accepted(clock):
    class FullDisk:
        full = True

        def load(self):
            return []

        def save(self, invocations):
            if self.full:
                raise OSError("no space left on device")

    disk = FullDisk()
    state = FunctionComputeState(clock=clock, journal=disk)
    with pytest.raises(OSError, match="no space"):
        state.submit("", "resize", id="job")
    disk.full = False

    assert state.submit("", "resize", id="job") == "job"
