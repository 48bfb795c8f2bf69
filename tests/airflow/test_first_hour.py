"""The mistakes of a beginner's first hour: the last line of the log names what is wrong with what, and the fix.

They are made as a beginner makes them: in the variable of a connection and in a DAG file, which Airflow's own command
runs; and what is read is what the beginner reads.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import api_server
import pytest
from certificates import make_authority
from clients.wire_server import WireServer

from airflow_provider_fc.emulator.server import FunctionComputeEmulator

DAG_FILE = """
from datetime import datetime
import pendulum
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_fc.operators import FunctionComputeInvokeOperator as Invoke
from airflow_provider_fc.operators import FunctionComputeListInvocationsOperator as List
from airflow_provider_fc.operators import FunctionComputeStopInvocationsOperator as Stop
from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor as Sensor

def Wait(**given):
    what = {{}} if "invocation_ids" in given else {{"invocation_id_prefix": "run-1-"}}
    usual = {{"function_name": "resize", "timeout": 2, "poke_interval": 1, "settle_seconds": 0}}
    usual["allow_nested_operators"] = False  # Airflow's own check of who calls execute() has nothing to say
    return Sensor(**{{**usual, **what, **given}})

with DAG("{dag_id}", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
{tasks}
"""

GOOD = {
    "conn_type": "alibaba_fc",
    "host": "http://127.0.0.1:{port}",
    "login": "{key}",
    "password": "{secret}",
    "extra": {"region_id": "cn-hangzhou", "account_id": "123456789", "max_attempts": 2},
}


def but(**fields: Any) -> dict[str, Any]:
    """The right connection, with a mistake."""
    return {name: value for name, value in {**GOOD, **fields}.items() if value is not None}


def extra(**fields: Any) -> dict[str, Any]:
    return but(extra={**GOOD["extra"], **fields})  # type: ignore[dict-item]


@dataclass(frozen=True)
class Mistake:
    """A mistake, as it is written, and what must be read of it.

    :param task: the task of the DAG file.
    :param says: stands in the last line of the error: the parameter or the field, the problem, the fix.
    :param connection: fields of a JSON connection, or the text of the variable; ``None`` if there is no such variable.
    :param fails: the task fails; else a line of its log says so.
    """

    task: str
    says: tuple[str, ...]
    connection: Mapping[str, Any] | str | None = field(default_factory=lambda: GOOD)
    fails: bool = True


CHECK = ("function_name 'resize'", "service_name (none: FC 3.0)", "asynchronous task mode")
NOT_FOUND = ("FunctionNotFound", "check function_name", "service_name: it is given for a function of FC 2.0")
REFUSED_CONNECTION = ("nothing listens there", "check host and its port", "or the emulator, runs")
NO_TLS = ("does not speak TLS", "let host begin with http://")
NO_EXTRA = ("auth_type 'ram_role_arn' needs an extra", "pip install 'airflow-provider-fc[credentials]'")
NO_PROXY = ("the proxy did not take it", "check extra.proxy")
UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "name its CA bundle in extra.verify")
WRONG_CLOCK = ("the clock of this machine is wrong; set it", "the server's clock says")
NO_TASK_MODE = ("switch asynchronous task mode on", "No retry follows")
ROLE = {"auth_type": "ram_role_arn", "role_arn": "acs:ram::1234567890123456:role/airflow"}

# A sensor tolerates it when nobody answers: its warnings say so long before its timeout does.
IN_THE_LOG = {
    "no_connection": Mistake(
        "Wait()", ("fc_conn_id names no connection", "airflow connections add", "AIRFLOW_CONN_"), None
    ),
    "wrong_connection_type": Mistake("Wait()", ("its type is 'http'", "use alibaba_fc"), but(conn_type="http")),
    "no_connection_type": Mistake(
        "Wait()", ("it has no type", "write alibaba-fc://"), "alibaba_fc://{key}:{secret}@127.0.0.1:{port}"
    ),
    "region_missing": Mistake(
        "Wait()", ("extra.region_id is missing", "give the region", "set host"), but(host=None, extra={})
    ),
    "secret_missing": Mistake("Wait()", ("password (AccessKey secret) is missing", "give it"), but(password=None)),
    "wrong_secret": Mistake(
        "Wait()", ("the AccessKey secret does not fit", "correct password"), but(password="another")
    ),
    "wrong_key_id": Mistake("Wait()", ("the AccessKey ID is unknown", "correct login"), but(login="LTAI5nobody")),
    "wrong_account_id": Mistake(
        "Wait(function_name='of_another_account')",
        ("the endpoint belongs to another account", "check password (AccessKey secret), account_id"),
    ),
    "account_id_that_is_a_name": Mistake(
        "Wait()",
        ("extra.account_id 'my-company'", "is not the primary account's numeric id"),
        extra(account_id="my-company"),
    ),
    "no_emulator": Mistake("List(function_name='resize')", REFUSED_CONNECTION, but(host="http://127.0.0.1:{nobody}")),
    "no_emulator_sensor": Mistake(
        "Wait(timeout=4)", REFUSED_CONNECTION, but(host="http://127.0.0.1:{nobody}"), fails=False
    ),
    "function_misspelt": Mistake("Wait(function_name='resise')", NOT_FOUND),
    "function_misspelt_invoke": Mistake("Invoke(function_name='resise')", NOT_FOUND),
    "service_for_fc_3": Mistake(
        "Wait(function_name='of_fc_3', service_name='media')",
        ("check service_name", "leave service_name out for a function of FC 3.0"),
    ),
    "no_service_for_fc_2": Mistake("Wait(function_name='of_fc_2')", NOT_FOUND),
    "prefix_misspelt": Mistake(
        "Wait(invocation_id_prefix='rum-1-')",
        ("nothing found yet", "check invocation_id_prefix 'rum-1-'", *CHECK),
    ),
    "prefix_misspelt_list": Mistake(
        "List(function_name='resize', invocation_id_prefix='rum-1-')",
        ("0 invocations were listed", "check invocation_id_prefix 'rum-1-'", *CHECK),
        fails=False,
    ),
    "filters_that_exclude_all": Mistake(
        "List(function_name='resize', statuses='Stopped', started_after='2026-01-02T00:00:00Z')",
        ("0 invocations were listed", "check statuses 'Stopped', started_after '2026-01-02T00:00:00Z', function_name"),
        fails=False,
    ),
    "prefix_misspelt_stop": Mistake(
        "Stop(function_name='resize', invocation_id_prefix='rum-1-')",
        ("No unfinished invocations", "check invocation_id_prefix 'rum-1-'", *CHECK),
        fails=False,
    ),
    "too_many_expected": Mistake(
        "Wait(expected_count=100)", ("3 found (Succeeded 3), 100 expected", "correct expected_count")
    ),
    "naive_datetime": Mistake(
        "Wait(started_after='{{ macros.datetime(2026, 11, 1) }}')",
        ("started_after: ", "has no time zone", "use pendulum.datetime(..., tz=...)"),
    ),
    "epoch_seconds": Mistake(
        "Wait(started_after='{{ 1795000000 }}')",
        ("started_after: '1795000000' looks like seconds", "give epoch milliseconds (multiply by 1000)"),
    ),
    "payload_no_json": Mistake(
        "Invoke(function_name='resize', payload={'when': object()})",
        ('payload: payload["when"] is of type object, which JSON cannot hold', "give text, numbers"),
    ),
    "payload_too_large": Mistake(
        "Invoke(function_name='resize', payload='x' * 1_000_000)",
        ("payload: 1000000 bytes are more than FC takes", "pass a reference"),
    ),
    "payload_too_large_for_this_account": Mistake(
        "Invoke(function_name='resize', payload='x' * 200_000)",
        ("payload of 200000 bytes exceeds the limit", "pass a reference to larger data"),
    ),
    "illegal_id": Mistake(
        "Invoke(function_name='resize', invocation_id='job#{{ 1 }}')",
        ("invocation_id: 'job#1' holds '#', which no invocation id can", "use letters"),
    ),
    "id_begins_with_a_digit": Mistake(
        "Invoke(function_name='resize', invocation_id='{{ ds }}')",
        ("invocation_id: '20", "must begin with a letter or _", "put a word before it"),
    ),
    "status_misspelt": Mistake(
        "List(function_name='resize', statuses='{{ \"Suceeded\" }}')",
        ("statuses: 'Suceeded' is not one of Enqueued", "Succeeded, Failed"),
    ),
    "bad_api_version": Mistake(
        "Wait()",
        ("extra.api_version '2023-03-31' is unknown", "use one of 2016-08-15, 2021-04-06, 2023-03-30"),
        extra(api_version="2023-03-31"),
    ),
    "api_version_of_the_other_generation": Mistake(
        "Wait()",
        ("api_version '2016-08-15'", "give service_name, or remove api_version"),
        extra(api_version="2016-08-15"),
    ),
    "neither_prefix_nor_ids": Mistake(
        "Sensor(function_name='resize')", ("invocation_id_prefix: is missing", "give it or invocation_ids")
    ),
    "no_scheme": Mistake("List(function_name='resize')", NO_TLS, but(host="127.1:{port}")),
    "no_scheme_sensor": Mistake("Wait(timeout=4)", NO_TLS, but(host="127.1:{port}"), fails=False),
    "path_in_host": Mistake(
        "Wait()", ("host 'http://127.0.0.1:", "is not an endpoint", "without a path"), but(host="http://127.0.0.1:1/fc")
    ),
    "extra_no_json": Mistake(
        "Wait()",
        ("extra is not a JSON object (JSON is malformed", 'write it as in {"region_id": "cn-hangzhou"}'),
        but(extra="region_id=cn-hangzhou"),
    ),
    "quotes_lost_in_a_shell": Mistake(
        "Wait()",
        (
            "its JSON is not a JSON object",
            "names and texts in double quotes; in a shell put the whole value into single",
        ),
        "{{conn_type: alibaba_fc, login: key}}",
    ),
    "field_outside_of_extra": Mistake(
        "Wait()",
        ("its JSON has 'region_id', which Airflow does not know", "belongs into extra"),
        but(region_id="cn-hangzhou"),
    ),
    "slash_in_the_secret": Mistake(
        "Wait()",
        ("what stands in its URI for a port is not a number", "such as %2F for /"),
        "alibaba-fc://key:a/b@localhost",
    ),
    "unknown_extra": Mistake(
        "Wait()", ("extra.regionid is unknown", "did you mean extra.region_id?"), extra(regionid="cn-hangzhou")
    ),
    "unknown_extra_uri": Mistake(
        "Wait()",
        ("extra.regionid is unknown", "did you mean extra.region_id?"),
        "alibaba-fc://{key}:{secret}@127.0.0.1:{port}?regionid=cn-hangzhou",
    ),
    "no_triggerer": Mistake(
        "Wait(deferrable=True, settle_seconds=1)",
        ("The wait goes on in Airflow's triggerer, which must be running", "must see connection 'no_triggerer' too"),
        fails=False,
    ),
    "a_word_for_a_number": Mistake(
        "Wait(expected_count='{{ \"many\" }}')",
        ("expected_count: 'many' is not a whole number", "give one, 0 or more"),
    ),
    "nothing_for_a_text": Mistake(
        "Wait(invocation_id_prefix='{{ params.get(\"prefix\") }}')",
        ("invocation_id_prefix: has become 'None'", "correct that, or give invocation_ids instead"),
    ),
    "a_list_made_text": Mistake(
        'Wait(invocation_ids=\'{{ ["a", "b"] }}\')',
        ("invocation_ids: is a list turned into text by a template", "pass the XComArg itself (task.output)"),
    ),
    "role_without_the_extra": Mistake("List(function_name='resize')", NO_EXTRA, extra(**ROLE)),
    "role_without_the_extra_sensor": Mistake("Wait()", NO_EXTRA, extra(**ROLE)),
    "proxy_down": Mistake(
        "List(function_name='resize')",
        NO_PROXY,
        {**extra(proxy="http://127.0.0.1:{nobody}"), "host": "http://fc.example.invalid"},
    ),
    "proxy_down_sensor": Mistake(
        "Wait(timeout=4)",
        NO_PROXY,
        {**extra(proxy="http://127.0.0.1:{nobody}"), "host": "http://fc.example.invalid"},
        fails=False,
    ),
    "untrusted_certificate": Mistake(
        "List(function_name='resize')", UNTRUSTED, but(host="https://127.0.0.1:{untrusted}")
    ),
    "untrusted_certificate_sensor": Mistake("Wait()", UNTRUSTED, but(host="https://127.0.0.1:{untrusted}")),
    "clock_off": Mistake("Wait()", WRONG_CLOCK, but(host="http://127.0.0.1:{an_hour_ahead}")),
    "clock_off_fc_2": Mistake("Wait(service_name='media')", WRONG_CLOCK, but(host="http://127.0.0.1:{an_hour_ahead}")),
    "task_mode_off": Mistake("Invoke(function_name='plain', poll_interval=1)", ("plain is not in", *NO_TASK_MODE)),
    "task_mode_off_http_trigger": Mistake(
        "Invoke(function_name='web', poll_interval=1)", ("web has run synchronously", *NO_TASK_MODE)
    ),
    "task_mode_off_sensor": Mistake(
        "Wait(function_name='plain')",
        ("check invocation_id_prefix 'run-1-'", "that the function is in asynchronous task mode"),
    ),
}
"""What is found when the task runs."""

WHEN_THE_FILE_IS_READ = {
    "naive_datetime": (
        "Wait(started_after=datetime(2026, 11, 1))",
        ("started_after: 2026-11-01 00:00:00 has no time zone", "use pendulum.datetime(..., tz=...)"),
    ),
    "epoch_seconds": (
        "Wait(started_after=1795000000)",
        ("started_after: 1795000000 looks like seconds", "give epoch milliseconds (multiply by 1000)"),
    ),
    "illegal_id": (
        "Invoke(function_name='resize', invocation_id='job#1')",
        ("invocation_id: 'job#1' holds '#', which no invocation id can", "use letters"),
    ),
    "status_misspelt": (
        "List(function_name='resize', statuses=['Suceeded'])",
        ("statuses: 'Suceeded' is not one of Enqueued", "Succeeded, Failed"),
    ),
    "both_prefix_and_ids": (
        "Wait(invocation_id_prefix='run-1-', invocation_ids=['a'])",
        ("invocation_id_prefix: is given beside invocation_ids", "give one of the two"),
    ),
    "negative_interval": (  # in Airflow's own words
        "Wait(poke_interval=-5)",
        ("`poke_interval` must be timedelta object or a non-negative number",),
    ),
    "negative_interval_invoke": (
        "Invoke(function_name='resize', poll_interval=-5)",
        ("poll_interval: -5 is too short", "give 1 seconds or more"),
    ),
    "a_word_for_a_number": (
        "Wait(expected_count='many')",
        ("expected_count: 'many' is not a whole number", "give one, 0 or more"),
    ),
}
"""What Airflow finds when it reads the file, by the task in it."""

IMPORTS = {
    "a_hook": ("FunctionComputeHook", "from airflow_provider_fc.hooks import FunctionComputeHook"),
    "a_sensor": (
        "FunctionComputeInvocationsSensor",
        "from airflow_provider_fc.sensors import FunctionComputeInvocationsSensor",
    ),
    "an_error": ("InvocationsFailedError", "from airflow_provider_fc.exceptions import InvocationsFailedError"),
}
"""What is imported from the root, and the line that is right."""


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """What the connections lead to."""
    functions = ["resize", "plain", "web", "of_another_account", "of_fc_2", "of_fc_3"]
    refusals = {
        "of_another_account": (403, "SignatureNotMatch"),
        "of_fc_2": (404, "FunctionNotFound"),
        "of_fc_3": (404, "ServiceNotFound"),
    }
    with ExitStack() as stack:
        emulator = stack.enter_context(FunctionComputeEmulator(functions={name: {} for name in functions}))
        emulator.set_switches(task_mode_off=["plain"], runs_synchronously=["web"])
        emulator.add_invocations(
            [{"function": "resize", "id_template": "run-1-{index}", "count": 3, "statuses": ["Succeeded"]}]
        )
        emulator.add_faults(
            {"action": "status", "status": status, "code": code, "function": name}
            for name, (status, code) in refusals.items()
        )
        ahead = stack.enter_context(FunctionComputeEmulator(clock=lambda: time.time() + 3600))
        authority = make_authority(tmp_path_factory.mktemp("authority"))
        untrusted = stack.enter_context(closing(WireServer(tls=authority.server)))
        bound = stack.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        yield {
            "port": emulator.endpoint.rpartition(":")[2],
            "an_hour_ahead": ahead.endpoint.rpartition(":")[2],
            "untrusted": untrusted.port,
            "nobody": bound.getsockname()[1],
            "key": emulator.connection["login"],
            "secret": emulator.connection["password"],
        }


def variable(connection: Mapping[str, Any] | str, ports: Mapping[str, object]) -> str:
    """The value of AIRFLOW_CONN_..., as a beginner writes it."""
    if isinstance(connection, str):
        return connection.format(**ports)
    return re.sub(r"\{(\w+)\}", lambda found: str(ports[found[1]]), json.dumps(connection))


def tasks(sources: Mapping[str, str]) -> str:
    lines = (source.replace("(", f"(task_id={name!r}, fc_conn_id={name!r}, ", 1) for name, source in sources.items())
    return "".join(f"    {line}\n" for line in lines)


@pytest.fixture(scope="module")
def logs(metadata_db: None, ports: Mapping[str, object], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The log of every task, as ``airflow dags test`` prints it."""
    folder = tmp_path_factory.mktemp("dags")
    sources = {name: mistake.task for name, mistake in IN_THE_LOG.items()}
    (folder / "first_hour.py").write_text(DAG_FILE.format(dag_id="first_hour", tasks=tasks(sources)), encoding="utf-8")
    # As if the extra were not installed.
    missing = tmp_path_factory.mktemp("missing")
    (missing / "alibabacloud_credentials.py").write_text("raise ImportError('not installed')", encoding="utf-8")
    connections = {
        f"AIRFLOW_CONN_{name.upper()}": variable(mistake.connection, ports)
        for name, mistake in IN_THE_LOG.items()
        if mistake.connection is not None
    }
    done = subprocess.run(
        [sys.executable, api_server.__file__, "dags", "test", "first_hour"],
        env={
            **os.environ,
            **connections,
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
            "PYTHONPATH": os.pathsep.join([str(missing), *filter(None, sys.path)]),
            "NO_COLOR": "1",
            "COLUMNS": "10000",  # Airflow 3.0 breaks lines where the terminal ends
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    parts = re.split(r"\[DAG TEST\] starting task_id=(\w+)", done.stdout)
    assert set(parts[1::2]) == set(IN_THE_LOG), done.stdout
    logs: dict[str, str] = defaultdict(str)
    for name, log in zip(parts[1::2], parts[2::2], strict=True):
        logs[name] += log  # Airflow 3.0 starts a deferred task anew
    return logs


NEXT_LINE = re.compile(r"^\[?\d{4}-\d\d-\d\d[T ]", re.MULTILINE)


def error_of(log: str) -> list[str]:
    """The lines of the error that Airflow shows at the end, without the places in the code."""
    _, failed, rest = log.partition("Task failed with exception")
    assert failed, log
    shown = NEXT_LINE.split(rest)[0]
    assert shown.count("Traceback (most recent call last)") == 1, f"more of a traceback than Airflow's own:\n{shown}"
    return re.split(r"\n(?=\w[\w.]+: )", shown)[-1].strip().splitlines()


@pytest.mark.parametrize("name", IN_THE_LOG)
def test_the_last_line_of_the_log_says_what_is_wrong_and_what_to_do(logs: Mapping[str, str], name: str) -> None:
    mistake = IN_THE_LOG[name]
    lines = error_of(logs[name])[-1:] if mistake.fails else logs[name].splitlines()

    assert [line for line in lines if all(words in line for words in mistake.says)], "\n".join(lines)


def import_errors(folder: Path) -> dict[str, str]:
    """The last line of what Airflow shows of each file that it cannot read."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2.11
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]
    return {
        Path(file).stem: error.strip().splitlines()[-1] for file, error in DagBag(str(folder)).import_errors.items()
    }


def test_what_no_template_can_mend_is_said_when_the_file_is_read(tmp_path: Path) -> None:
    for name, (task, _) in WHEN_THE_FILE_IS_READ.items():
        (tmp_path / f"{name}.py").write_text(DAG_FILE.format(dag_id=name, tasks=tasks({name: task})), encoding="utf-8")

    found = import_errors(tmp_path)

    assert found.keys() == WHEN_THE_FILE_IS_READ.keys()
    for name, (_, says) in WHEN_THE_FILE_IS_READ.items():
        assert [words for words in says if words not in found[name]] == [], found[name]


def test_an_import_from_the_root_says_where_the_name_lives(tmp_path: Path) -> None:
    for name, (imported, _) in IMPORTS.items():
        source = f"from airflow.providers.common.compat.sdk import DAG\nfrom airflow_provider_fc import {imported}\n"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    found = import_errors(tmp_path)

    assert found.keys() == IMPORTS.keys()
    for name, (imported, line) in IMPORTS.items():
        assert found[name].startswith(f"ImportError: {imported} is in ")
        assert found[name].endswith(line)
