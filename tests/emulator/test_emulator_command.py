"""``python -m airflow_provider_fc.emulator`` as users run it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from emulator import emulator_functions  # type: ignore[attr-defined]
from emulator.wire import send

from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.__main__ import log, main
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

LIST = "/2023-03-30/functions/{}/async-tasks"
ASYNC = {"x-fc-invocation-type": "Async"}


class Command(subprocess.Popen[str]):
    """The emulator's process, and the three lines it begins with."""

    ready = export = served = ""

    def read_start(self) -> None:
        assert self.stdout is not None
        self.ready, self.export, self.served = (self.stdout.readline() for _ in range(3))


@contextmanager
def running(*arguments: str):
    """The command, with its first three lines of output read."""
    command = [sys.executable, "-m", "airflow_provider_fc.emulator", "--port", "0", *arguments]
    with Command(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            process.read_start()
            yield process
        finally:
            process.kill()


def ended(process) -> tuple[int, str]:
    """Exit code and stderr; nothing else may have come to stdout."""
    output, errors = process.communicate(timeout=120)
    assert output == ""
    return process.returncode, errors


@pytest.fixture
def talk(client, clock):
    """A client for a command that has said where it listens and with which keys."""

    def to(process):
        clock.seconds = time.time()
        name, connection = shlex.split(process.export)[1].split("=", 1)
        assert name == "AIRFLOW_CONN_FC_DEFAULT"
        fields = json.loads(connection)
        keys = Credentials(fields["login"], fields["password"])
        return replace(client, origin=fields["host"], send=send, credentials=keys)

    return to


def test_it_says_when_it_is_ready_and_how_to_reach_it(talk):
    with running("--access-key-id", "id", "--access-key-secret", "it's", "--region", "cn-beijing") as process:
        assert process.ready.startswith("READY http://127.0.0.1:")
        assert '"region_id": "cn-beijing"' in process.export
        assert process.served == "# It executes nothing, and lets what is invoked under any name succeed\n"
        assert talk(process)("GET", LIST.format("any")).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(number):
    with running() as process:
        process.send_signal(number)

        assert ended(process) == (0, "")


def test_it_executes_the_functions_of_a_file(talk):
    file = emulator_functions.__file__
    chosen = ("--functions", file, "--functions", f"{file}:echo=make-thumb")
    with running(*chosen, "--retries", "2", "--workers", "1") as process:
        client = talk(process)
        for function in ("make-thumb", "nothing", "succeed_on_attempt_three"):
            accepted = client("POST", f"/2023-03-30/functions/{function}/invocations", body=b"hi", headers=ASYNC)
            path = f"{LIST.format(function)}/{accepted.headers['x-fc-async-task-id']}"
            shown = until(lambda path=path: client("GET", path).body, lambda item: item["endTime"])
            assert shown["status"] == "Succeeded"
        process.send_signal(signal.SIGTERM)

        assert ended(process)[0] == 0


def until(read, condition):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition(value := read()):
            return value
    raise AssertionError(f"waited in vain, last seen: {value}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_its_end_is_that_of_the_worker_processes_and_of_what_they_have_started(talk, tmp_path, number, code):
    file = tmp_path / "pids"
    with running("--functions", emulator_functions.__file__) as process:
        body = json.dumps({"file": str(file)}).encode()
        talk(process)("POST", "/2023-03-30/functions/spin/invocations", body=body, headers=ASYNC)
        until(file.exists, bool)
        process.send_signal(number)
        assert process.wait(120) == code

    until(lambda: [alive(pid) for pid in json.loads(file.read_text())], lambda seen: not any(seen))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_scenario_and_a_state_file_are_taken(talk, tmp_path):
    scenario, state = tmp_path / "scenario.json", tmp_path / "state.db"
    scenario.write_text(json.dumps({"invocations": [{"function": "resize", "id": "job"}], "functions": {"thumb": {}}}))
    seen = []
    for _ in range(2):
        with running("--scenario", str(scenario), "--state", str(state)) as process:
            seen.append(talk(process)("GET", LIST.format("resize")).statuses)
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 0

    assert seen == [{"job": "Enqueued"}, {"job": "Running"}]


def test_a_functions_file_forgotten_at_a_restart_is_said_at_once_and_when_its_function_is_invoked(talk, tmp_path):
    state, file = ("--state", str(tmp_path / "state.db")), emulator_functions.__file__
    answers, served = [], []
    for functions in ([f"{file}:echo", f"{file}:nothing"], [f"{file}:nothing"], []):
        with running(*state, *(word for one in functions for word in ("--functions", one))) as process:
            client = talk(process)
            answers.append(client("POST", "/2023-03-30/functions/echo/invocations", body=b"hi", headers=ASYNC).status)
            served.append(process.served.removeprefix("# It ").rstrip())
            if functions:
                until(
                    lambda client=client: client("GET", LIST.format("echo")).statuses.values(), {"Succeeded"}.issuperset
                )
            process.send_signal(signal.SIGTERM)
            assert ended(process)[0] == 0

    assert answers == [202, 404, 404]
    assert served == ["executes echo, nothing", "executes nothing; no longer has echo", "no longer has echo"]


def test_a_state_file_is_free_again_once_its_emulator_was_killed(tmp_path, capsys):
    state = str(tmp_path / "state.db")
    with running("--state", state) as process:
        assert main(["--port", "0", "--state", state]) == 2
        process.kill()
        process.wait()
        with running("--state", state) as second:
            assert second.ready.startswith("READY")

    message = "cannot be the state file: another process uses it; name a new file"
    assert capsys.readouterr().err == f"cannot start: {state} {message}\n"


def test_requests_are_logged_on_demand_without_secrets_and_payloads(talk):
    with running("--log-requests", "--access-key-secret", "canary") as process:
        client = talk(process)
        client("GET", LIST.format("resize"), limit=5)
        client("POST", "/2023-03-30/functions/resize/invocations", body=b"canary", headers=ASYNC)
        client("GET", f"{LIST.format('resize')}/none")
        process.send_signal(signal.SIGTERM)
        code, log = ended(process)

    assert [line.rpartition(" ")[0] for line in log.splitlines()] == [
        "List 2023-03-30 function=resize limit=5 -> 200",
        "Invoke 2023-03-30 function=resize x-fc-invocation-type=Async -> 202",
        "Get 2023-03-30 function=resize id=none -> 404 AsyncTaskNotFound",
    ]
    assert (code, "canary" in log) == (0, False)


def test_the_faults_of_a_scenario_are_at_work_and_in_the_log(client, clock, capsys):
    fault = {"action": "status", "status": 503, "name": "blip", "times": 1}
    with FunctionComputeEmulator(scenario={"faults": [fault]}, clock=clock, on_request=log) as emulator:
        remote = replace(client, origin=emulator.endpoint, send=send)
        assert [remote("GET", LIST.format("resize")).status for _ in range(2)] == [503, 200]

    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("List 2023-03-30 function=resize -> 503 ServiceUnavailable ")
    assert first.endswith(" faults: blip")
    assert "faults" not in second


def test_a_taken_port_is_said_in_one_line(capsys):
    with FunctionComputeEmulator() as emulator:
        port = str(urlsplit(emulator.endpoint).port)

        assert main(["--port", port]) == 2

    assert capsys.readouterr().err == (f"cannot start: 127.0.0.1:{port} is in use; choose another --port\n")


@pytest.mark.parametrize("argument", ["--workers=0", "--retries=-1", "--port=x", "--port=70000", "--nonsense"])
def test_a_wrong_option_is_a_usage_error(capsys, argument):
    with pytest.raises(SystemExit, match="2"):
        main([argument])

    assert "usage: python -m airflow_provider_fc.emulator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "content", "message"),
    [
        (["--functions", "{}"], "x = 1", "no function found"),
        (["--functions", "{}"], "def f(:", "{}:1: "),
        (["--functions", "{}.missing"], "", "there is no {}.missing in "),
        (["--functions", "{0.parent}/x.py:f"], "", "; give FILE.py[:HANDLER[=NAME]]"),
        (["--functions", "{0.parent}"], "", "is a folder; give a file"),
        (["--scenario", "{}"], '{"invocation": []}', "did you mean `invocations`"),
        (["--scenario", "{}.missing"], "", "there is no {}.missing in "),
        (["--scenario", "{}"], "{", "{}: Input data was truncated"),
        (["--scenario", "{}"], '{"invocations": [{"function": "f", "id_template": "{foo}-{index}"}]}', "braces hold"),
        (["--scenario", "{}"], '{"switches": {"list_lag": 1e308}}', "<= 1000000000.0"),
        (["--scenario", "{}"], '{"functions": {"f": {"timeline": [[1e308, "Running"]]}}}', "<= 1000000000.0"),
        (["--state", "{}"], "no database" * 100, "{} cannot be the state file"),
        (["--state", "{}.missing/state.db"], "", "{}.missing/state.db cannot be the state file: unable to open"),
        (["--state", "{0.parent}"], "", "{0.parent} cannot be the state file: unable to open"),
    ],
)
def test_a_wrong_file_is_said_in_one_line(capsys, tmp_path, arguments, content, message):
    file = tmp_path / "file"
    file.write_text(content)

    code = main(["--port", "0", *(argument.format(file) for argument in arguments)])

    errors = capsys.readouterr().err
    assert code == 2
    assert errors.startswith("cannot start: ")
    assert message.format(file) in errors
    assert errors.count("\n") == 1


def test_a_functions_file_that_cannot_be_imported_ends_it_with_the_reason(tmp_path):
    file = tmp_path / "functions.py"
    file.write_text("import known_to_nobody\n\n\ndef f(event, context): ...\n")
    with running("--functions", str(file)) as process:
        assert process.ready == ""

        code, errors = ended(process)

    assert code == 2
    reason = "ModuleNotFoundError: No module named 'known_to_nobody'"
    assert errors.splitlines()[-1] == f"cannot start: {file}: f cannot be imported: {reason}"
    assert f'File "{file}", line 1' in errors
