"""Functions that are real Python callables, executed by worker processes."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from pathlib import Path

import pytest
from emulator import emulator_functions  # type: ignore[attr-defined]

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.functions import read_functions
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

FILE = Path(emulator_functions.__file__)


@pytest.fixture(scope="module")
def shared():
    """One emulator with two retries for every test that only executes something."""
    with FunctionComputeEmulator(functions=FILE, workers=2, retries=2, retry_delay=0) as emulator:
        yield emulator


@pytest.fixture
def alone():
    with FunctionComputeEmulator(functions=FILE, workers=1) as emulator:
        yield emulator


def run(emulator, function: str, event: bytes = b"", **where):
    """Invoke, wait, and return what a Get shows."""
    id = emulator.state.submit(where.get("service", ""), function, payload=event, **_without(where, "service"))
    emulator.wait_until_finished(function, id, service=where.get("service", ""))
    return emulator.state.get(where.get("service", ""), function, id)


def _without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


def wait_for(condition) -> None:
    """Wait for something outside the emulator's knowledge."""
    never = threading.Event()
    for _ in range(6000):
        if condition():
            return
        never.wait(0.01)
    raise AssertionError("waited a minute in vain")


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("function", "returned"),
    [("echo", "event"), ("text", "Grüße"), ("nothing", ""), ("buffer", "abc"), ("succeed_on_attempt_three", "3")],
)
def test_a_result_becomes_the_return_payload(shared, function, returned):
    done = run(shared, function, b"event")

    assert (done.status, done.return_payload, done.error_message) == ("Succeeded", returned, "")
    assert done.started_time <= done.end_time


CONTEXT = {
    # Documented for every Python runtime of the service.
    "request_id": ...,
    "function.name": "describe",
    "function.handler": "emulator_functions.describe",
    "function.memory": 512,
    "function.timeout": 86_400,
    "region": "cn-hangzhou",
    "account_id": "123456789",
    # Python 3.12.
    "function.version_id": "",
    "function.qualifier": "prod",
    "logger": "RootLogger",
    "log_project": "",
    "log_store": "",
    # Python 3.6 to 3.10, and FC 2.0.
    "credentials.access_key_id": "emulator-key-id",
    "credentials.access_key_secret": "emulator-key-secret",
    "credentials.security_token": "",
    "service.name": "media",
    "service.log_project": "",
    "service.log_store": "",
    "service.qualifier": "prod",
    "service.version_id": "",
    "tracing.span_context": "",
    "tracing.jaeger_endpoint": "",
    "tracing.span_baggages": {},
    # The runtime's own other spellings.
    "requestId": ...,
    "credentials.accessKeyId": "emulator-key-id",
    "credentials.accessKeySecret": "emulator-key-secret",
    "credentials.securityToken": "",
    "retry_count": 0,
    # Ours alone.
    "function_name": "describe",
    "service_name": "media",
    "qualifier": "prod",
    "invocation_id": "job-1",
    "attempt": 1,
}


def test_a_function_finds_in_its_context_what_the_vendor_documents(shared):
    done = run(shared, "describe", json.dumps([*CONTEXT]).encode(), service="media", qualifier="prod", id="job-1")

    found = json.loads(done.return_payload)
    assert found == {name: done.request_id if value is ... else value for name, value in CONTEXT.items()}


def test_a_handler_from_the_vendor_s_pages_works(alone, capfd):
    done = run(alone, "vendor")

    assert done.return_payload == "123456789 emulator_functions.vendor True"
    logged = capfd.readouterr().err
    assert f"[INFO] request {done.request_id} of vendor" in logged
    assert "[INFO] in cn-hangzhou" in logged
    assert "[WARNING] by 123456789" in logged


def test_the_traceback_of_a_function_that_fails_is_on_the_emulator_s_stderr(alone, capfd):
    done = run(alone, "fail")

    logged = capfd.readouterr().err
    assert f"[ERROR] fail failed [invocation {done.id}, attempt 1, request id {done.request_id}]\n" in logged
    assert 'raise ValueError("not a text file")' in logged


def test_a_worker_process_that_a_function_ends_is_logged_with_the_invocation(alone, caplog, capfd):
    done = run(alone, "die")

    logged = caplog.text + capfd.readouterr().out
    assert f"die failed [invocation {done.id}, attempt 1, request id {done.request_id}]: the worker process" in logged


def test_a_function_finds_the_documented_variables_of_its_own_invocation(alone):
    first = json.loads(run(alone, "environment", service="media", qualifier="prod").return_payload)
    second = json.loads(run(alone, "environment").return_payload)

    assert first == {
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "emulator-key-id",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "emulator-key-secret",
        "FC_ACCOUNT_ID": "123456789",
        "FC_FUNCTION_HANDLER": "emulator_functions.environment",
        "FC_FUNCTION_MEMORY_SIZE": "512",
        "FC_FUNCTION_NAME": "environment",
        "FC_QUALIFIER": "prod",
        "FC_REGION": "cn-hangzhou",
        "FC_SERVICE_NAME": "media",
    }
    assert second == {**{k: v for k, v in first.items() if k != "FC_SERVICE_NAME"}, "FC_QUALIFIER": "LATEST"}


def test_keys_of_the_environment_are_those_of_the_functions(monkeypatch):
    for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN"):
        monkeypatch.setenv(f"ALIBABA_CLOUD_{name}", f"own {name}")
    names = ["credentials.access_key_id", "credentials.access_key_secret", "credentials.security_token"]
    with FunctionComputeEmulator(functions=FILE, workers=1) as emulator:
        seen = json.loads(run(emulator, "describe", json.dumps(names).encode()).return_payload)

    assert [*seen.values()] == ["own ACCESS_KEY_ID", "own ACCESS_KEY_SECRET", "own SECURITY_TOKEN"]


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("fail", "ValueError: not a text file"),
        ("fail_silently", "ValueError"),
        ("leave", "SystemExit: enough"),
        ("unserializable", "TypeError: Encoding objects of type object is unsupported"),
        ("die", "the worker process ended with exit code 7"),
    ],
)
def test_what_goes_wrong_is_retried_and_then_a_failure_that_says_why(shared, function, error):
    done = run(shared, function)

    assert (done.status, done.error_message, done.already_retried_times) == ("Failed", error, 2)
    attempts = ["Dequeued", "Running", "Retrying", "Running", "Retrying", "Running", "Failed"]
    assert [event.status for event in done.events] == ["Enqueued", *attempts]


@pytest.mark.parametrize(
    ("function", "status", "said"),
    [
        ("fork", "Succeeded", "parent of a child with exit code 0"),
        ("fork_into_an_error", "Failed", "ValueError: parent of a child with exit code 1"),
    ],
)
def test_only_the_worker_answers_though_a_fork_of_it_comes_back_too(alone, function, status, said):
    done = run(alone, function)
    after = run(alone, "fail")

    assert (done.status, done.return_payload or done.error_message) == (status, said)
    assert (after.status, after.error_message) == ("Failed", "ValueError: not a text file")


def test_without_retries_a_failure_is_final(alone):
    done = run(alone, "fail")

    assert (done.status, done.already_retried_times) == ("Failed", 0)


def test_a_result_is_cut_at_a_megabyte(shared):
    assert len(run(shared, "large").return_payload) == 1024 * 1024


def test_executions_are_recorded(alone):
    run(alone, "echo", service="media", id="good")
    run(alone, "fail", id="bad")

    first, second = alone.executions
    assert (first.function, first.service, first.invocation_id, first.attempt) == ("echo", "media", "good", 1)
    assert (first.outcome, second.outcome) == ("succeeded", "failed")
    assert first.started <= first.ended <= second.started


def test_a_killed_worker_is_a_failed_attempt(alone, tmp_path):
    file = tmp_path / "pids"
    id = alone.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
    wait_for(file.exists)
    worker, child = json.loads(file.read_text())

    os.kill(worker, signal.SIGKILL)
    alone.wait_until_finished("spin", id)

    assert alone.state.get("", "spin", id).error_message == "the worker process ended with exit code -9"
    wait_for(lambda: not alive(child))
    assert run(alone, "echo", b"next").return_payload == "next"


def test_a_stop_ends_what_is_running_and_what_it_has_started(alone, tmp_path):
    file = tmp_path / "pids"
    id = alone.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
    wait_for(file.exists)

    alone.state.stop("", "spin", id)
    alone.wait_until_finished("spin", id)

    shown = alone.state.get("", "spin", id)
    assert [event.status for event in shown.events][-3:] == ["Running", "Stopping", "Stopped"]
    assert alone.executions[0].outcome == "stopped"
    wait_for(lambda: not any(map(alive, json.loads(file.read_text()))))
    assert run(alone, "echo", b"next").return_payload == "next"


def test_a_stop_of_a_queued_one_keeps_it_from_running(alone, tmp_path):
    gate = tmp_path / "gate"
    first = alone.state.submit("", "wait_for_file", payload=json.dumps({"file": str(gate)}).encode())
    queued = alone.state.submit("", "echo")
    wait_for((tmp_path / "gate.began-1").exists)

    alone.state.stop("", "echo", queued)
    gate.touch()
    alone.wait_until_finished("wait_for_file", first)
    run(alone, "echo")

    assert alone.state.get("", "echo", queued).status == "Stopped"
    assert queued not in [execution.invocation_id for execution in alone.executions]


def test_computing_does_not_keep_the_server_from_answering(alone, tmp_path):
    gate = tmp_path / "gate"
    id = alone.state.submit("", "wait_for_file", payload=json.dumps({"file": str(gate)}).encode())
    wait_for((tmp_path / "gate.began-1").exists)

    assert alone.state.get("", "wait_for_file", id).status == "Running"
    gate.touch()
    alone.wait_until_finished("wait_for_file", id)


def test_a_delay_holds_an_invocation_back(clock):
    with FunctionComputeEmulator(functions={"echo": emulator_functions.echo}, workers=1, clock=clock) as emulator:
        late = emulator.state.submit("", "echo", delay=60)
        run(emulator, "echo")
        before = emulator.state.status("echo", late)
        clock.seconds += 60
        emulator.wait_until_finished("echo", late)

    assert before == "Enqueued"


def test_waiting_for_what_does_not_finish_ends_with_its_status(alone):
    alone.state.add([{"function": "echo", "id": "job", "statuses": ["Running"]}])

    with pytest.raises(TimeoutError, match="'job': 'Running'"):
        alone.wait_until_finished("echo", "job", timeout=0.01)


def test_closing_ends_the_worker_processes(tmp_path):
    file = tmp_path / "pids"
    threads = set(threading.enumerate())
    with FunctionComputeEmulator(functions=FILE, workers=2) as emulator:
        run(emulator, "echo")
        emulator.state.submit("", "spin", payload=json.dumps({"file": str(file)}).encode())
        wait_for(file.exists)

    wait_for(lambda: not any(map(alive, json.loads(file.read_text()))))
    assert set(threading.enumerate()) == threads


def test_an_unregistered_function_is_named_with_those_that_exist(alone):
    with pytest.raises(Refusal, match=r"no function 'thumb'; registered: .*echo.* \(a new one needs a restart\)"):
        alone.state.submit("", "thumb")


def test_callables_of_a_module_and_lives_can_be_mixed():
    functions = {"copy": emulator_functions.echo, "broken": {"statuses": ["Failed"], "error_message": "no"}}
    with FunctionComputeEmulator(functions=functions, workers=1) as emulator:
        assert run(emulator, "copy", b"event").return_payload == "event"
        assert run(emulator, "broken").error_message == "no"


def test_a_file_s_functions_are_its_public_ones_with_two_arguments():
    targets, _ = read_functions(FILE)

    assert {"echo", "fail", "spin"} <= targets.keys()
    assert not {"_private", "helper", "json", "Path"} & targets.keys()


DEFINITIONS = [
    ("def f(event, context): pass", ""),
    ("def f(event, context, extra=None): pass", ""),
    ("def f(event, context=None): pass", ""),
    ("def f(*arguments): pass", ""),
    ("def f(event, context, *, extra=None): pass", ""),
    ("def f(event): pass", "f takes less than (event, context)"),
    ("def f(event, context, extra): pass", "f needs more than (event, context)"),
    ("def f(event, context, *, extra): pass", "f needs more than (event, context)"),
    ("async def f(session, url): pass", "f is an async def"),
]


@pytest.mark.parametrize(("definition", "problem"), DEFINITIONS)
def test_a_public_def_is_a_function_if_it_can_be_called_as_one_and_a_helper_is_named(
    tmp_path, caplog, definition, problem
):
    file = tmp_path / "functions.py"
    file.write_text(f"{definition}\n\ndef other(event, context):\n    pass\n")

    targets, _ = read_functions(file)

    assert targets.keys() == ({"other"} if problem else {"f", "other"})
    assert caplog.messages == ([f"{file}: helpers that are no functions: {problem}"] if problem else [])


@pytest.mark.parametrize("definition", ["def _f(): pass", "class f:\n    def g(event, context): pass", "x = 1"])
def test_what_is_private_or_no_def_is_passed_over_in_silence(tmp_path, caplog, definition):
    file = tmp_path / "functions.py"
    file.write_text(f"{definition}\n\ndef other(event, context):\n    pass\n")

    assert read_functions(file)[0].keys() == {"other"}
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no function found; write `def name"),
        ("async def f(event, context): pass", "no function found; .*(f is an async def)"),
    ],
)
def test_a_file_without_usable_functions_is_an_error(tmp_path, source, message):
    file = tmp_path / "functions.py"
    file.write_text(source)

    with pytest.raises(ValueError, match=message):
        read_functions(file)


@pytest.mark.parametrize("choice", ["missing.py", "missing.py:f"])
def test_a_file_that_does_not_exist_is_an_error_that_says_where_it_was_looked_for(tmp_path, monkeypatch, choice):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match=rf"there is no missing.py in {tmp_path}; give FILE.py"):
        FunctionComputeEmulator(functions=choice)


@pytest.mark.parametrize("change", [Path.unlink, lambda file: os.utime(file, (0, 0))])
def test_a_functions_file_that_has_changed_is_said_once_a_change_at_the_next_invocation(tmp_path, caplog, change):
    file = tmp_path / "functions.py"
    file.write_text("def f(event, context):\n    return 'old'\n")
    with FunctionComputeEmulator(functions=file, workers=1) as emulator:
        assert run(emulator, "f").return_payload == "old"
        assert caplog.messages == []
        change(file)

        assert [run(emulator, "f").return_payload for _ in range(2)] == ["old", "old"]

    again = "restart the emulator; old and new code may run side by side until then"
    assert caplog.messages == [f"{file} has changed: {again}"]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("{}:echo", {"echo": "echo"}),
        ("{}:echo=make-thumb", {"make-thumb": "echo"}),
        ("{}:echo=media$make-thumb, fail", {"media$make-thumb": "echo", "fail": "fail"}),
        ("{}:_private=hidden", {"hidden": "_private"}),
        ("{}:Path=imported", {"imported": "Path"}),
    ],
)
def test_a_handler_can_be_chosen_and_given_any_legal_name(choice, names):
    targets, _ = read_functions(choice.format(FILE))

    assert {name: target.name for name, target in targets.items()} == names


def test_a_chosen_handler_is_invoked_under_its_name():
    functions = {"make-thumb": f"{FILE}:echo", "media$echo": emulator_functions.echo}
    with FunctionComputeEmulator(functions=functions, workers=1) as emulator:
        assert run(emulator, "make-thumb", b"event").return_payload == "event"
        assert run(emulator, "media$echo", b"event").return_payload == "event"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be 1 or more, not 0"),
        ({"retries": -1}, "retries must be 0 or more, not -1"),
        ({"retry_delay": -0.5}, "retry_delay must be 0 or more, not -0.5"),
        ({"functions": FILE, "scenario": {"functions": {"echo": {}}}}, "function 'echo' is in `functions` and in the"),
        ({"functions": {"a": {}}, "scenario": {"functions": {"a": {}}}}, "function 'a' is in `functions` and in the"),
    ],
)
def test_options_that_cannot_be_followed_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        FunctionComputeEmulator(**options)


def test_several_files_serve_their_functions_together(tmp_path):
    file = tmp_path / "other.py"
    file.write_text("def handler(event, context):\n    pass\n")

    targets, _ = read_functions([f"{FILE}:echo,fail", f"{file}:handler=resize"])

    assert targets.keys() == {"echo", "fail", "resize"}


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (f"{FILE}:missing", "has no handler 'missing'; it has echo, text, "),
        (f"{FILE}:", "there is no "),
        (f"{FILE}:helper", "helper takes less than"),
        (f"{FILE}:echo=make thumb", "'make thumb' cannot be a function's name"),
        (f"{FILE}:echo=a,fail=a", "two functions are named 'a'"),
        ([FILE, f"{FILE}:fail=echo"], "two functions are named 'echo'"),
        ({"f": "echo"}, "function 'f': 'echo' is not 'FILE.py:handler'"),
        ({"1f": emulator_functions.echo}, "'1f' cannot be a function's name"),
        ({"a$b$c": {}}, "cannot be a function's name"),
    ],
)
def test_a_wrong_choice_is_an_error_that_says_what_is_wrong(functions, message):
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        read_functions(functions)


@pytest.mark.parametrize("function", [lambda event, context: None, threading.Event().is_set])
def test_a_callable_that_no_other_process_can_import_is_an_error(function):
    with pytest.raises(ValueError, match="top-level def of an importable module"):
        read_functions({"f": function})


def test_a_callable_of_main_is_an_error(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "echo", emulator_functions.echo, raising=False)
    monkeypatch.setattr(emulator_functions.echo, "__module__", "__main__")

    with pytest.raises(ValueError, match="not 'echo' of __main__"):
        read_functions({"f": emulator_functions.echo})


BROKEN = {
    "a module is missing": ("import known_to_nobody", "ModuleNotFoundError: No module named 'known_to_nobody'"),
    "it raises": ("raise RuntimeError('no disk')", "RuntimeError: no disk"),
    "it exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "its process ends": ("import os; os._exit(3)", "the worker process ended with exit code 3"),
    "the handler is gone": ("globals().pop('f')", "AttributeError: .* no attribute 'f'"),
}


@pytest.mark.parametrize(("line", "reason"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_be_imported_is_said_at_once_when_asked_for(tmp_path, line, reason):
    file = tmp_path / "functions.py"
    file.write_text(f"def f(event, context): ...\n{line}\n")

    with pytest.raises(ValueError, match=f"{file}: f cannot be imported: {reason}"):
        FunctionComputeEmulator(functions=file, load_first=True)
    with FunctionComputeEmulator(functions=file) as emulator:
        assert re.fullmatch(reason, run(emulator, "f").error_message)


def test_a_file_is_imported_with_the_variables_that_it_has_when_it_is_invoked(tmp_path):
    file = tmp_path / "functions.py"
    file.write_text("import os\n\nREGION = os.environ['FC_REGION']\n\n\ndef where(event, context): return REGION\n")

    with FunctionComputeEmulator(functions=file, load_first=True, region="cn-beijing") as emulator:
        assert run(emulator, "where").return_payload == "cn-beijing"
        assert len(emulator.executions) == 1
