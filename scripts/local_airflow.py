"""Airflow and the emulator as processes of this machine, for the demo and the end-to-end tests.

All files lie below one folder, nothing but 127.0.0.1 is contacted, and everything ends with the process that began it.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import secrets
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # not resolved: the interpreter's real folder holds no `airflow`
SIGN_OF_LIFE = 5.0
"""Seconds of silence after which a wait says that it still waits."""

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")

Say = Callable[[str], None]


class Failure(Exception):
    """Something did not come about. The text says what, and ends with the log that explains it."""


class Program:
    """A running command with all its children. They end at ``stop()`` or with us, however we end (see guard.py).

    :param keep: file descriptors to hold open until the last of them has ended.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        env: dict[str, str],
        cwd: Path = REPOSITORY,
        keep: Collection[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        guard = [sys.executable, str(Path(__file__).with_name("guard.py"))]
        with log.open("wb") as output:
            self._guard = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C in a terminal is for us alone; we stop what has to be stopped
                pass_fds=tuple(keep),
            )

    def pause(self, seconds: float) -> None:
        """Sleep.

        :raises Failure: the program has ended meanwhile.
        """
        with suppress(subprocess.TimeoutExpired):
            code = self._guard.wait(seconds)
            raise Failure(f"{self.name} has ended with exit code {code}:\n{tail(self.log)}")

    def wait_until(self, condition: Callable[[], object], *, seconds: float = 60, problem: str = "it") -> None:
        """Ask twice a second, as long as the program runs.

        :param problem: what did not come about.
        :raises Failure: the program has ended, or it takes longer.
        """
        give_up = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > give_up:
                raise Failure(f"{problem} did not come about within {seconds:g} s:\n{tail(self.log)}")
            self.pause(0.5)

    def join(self, seconds: float) -> None:
        """Wait for its end.

        :raises Failure: it fails, or takes longer.
        """
        try:
            code = self._guard.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} has not ended after {seconds:g} s:\n{tail(self.log)}") from None
        if code:
            raise Failure(f"{self.name} has ended with exit code {code}:\n{tail(self.log)}")

    def stop(self) -> None:
        """End it; calling it again does nothing."""
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class Emulator(Program):
    """A local Function Compute; ``connection`` is what Airflow is told of it.

    :param cwd: where the functions run.
    """

    def __init__(
        self, functions: Path, folder: Path, *, cwd: Path = REPOSITORY, workers: int = 4, keep: Collection[int] = ()
    ) -> None:
        module = [sys.executable, "-P", "-m", "airflow_provider_fc.emulator"]  # -P: import nothing from cwd
        options = ["--port", "0", "--functions", str(functions), "--workers", str(workers), "--log-requests"]
        log = folder / "emulator.log"
        super().__init__("the emulator", [*module, *options], log=log, env=environment(), cwd=cwd, keep=keep)
        try:
            self.connection = self._connection()
        except BaseException:
            self.stop()
            raise
        self.endpoint: str = json.loads(self.connection)["host"]
        self._port = int(self.endpoint.rpartition(":")[2])

    def _connection(self) -> str:
        """From the second line it prints: ``export AIRFLOW_CONN_FC_DEFAULT='...'``."""
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            for line in self.log.read_text().splitlines(keepends=True):
                if line.startswith("export ") and line.endswith("\n"):
                    return shlex.split(line)[1].partition("=")[2]
            self.pause(0.05)
        raise Failure(f"the emulator does not get ready:\n{tail(self.log)}")

    def executions(self) -> list[dict[str, Any]]:
        """What its workers have executed."""
        executions: list[dict[str, Any]] = ask(self._port, "GET", "/_emulator/executions")["executions"]
        return executions


class Airflow:
    """One Airflow with its own home. Start ``standalone``, or the components one by one; all end with it.

    :param home: replaced by a new folder.
    :param template: migrated databases are kept here, so that only the first Airflow has to create one.
    :param connection: of the emulator; becomes ``fc_default``.
    """

    def __init__(
        self, home: Path, template: Path, dags: Path, connection: str, *, say: Say, keep: Collection[int] = ()
    ) -> None:
        self.home = home
        self.port, worker_logs, trigger_logs = free_ports(3)
        self._keep = keep
        self._say = say
        self._programs = ExitStack()
        self._token = ""
        self.env = environment(
            PATH=f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # standalone starts "airflow" by name
            AIRFLOW_HOME=str(home),
            AIRFLOW_CONN_FC_DEFAULT=connection,
            AIRFLOW__CORE__DAGS_FOLDER=str(dags),
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
            AIRFLOW__CORE__PARALLELISM="2",
            AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
            AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://{HOST}:{self.port}/execution/",
            AIRFLOW__API__HOST=HOST,
            AIRFLOW__API__PORT=str(self.port),
            AIRFLOW__API__BASE_URL=f"http://{HOST}:{self.port}",
            AIRFLOW__API__WORKERS="1",
            AIRFLOW__API__SECRET_KEY=secrets.token_hex(16),
            AIRFLOW__API_AUTH__JWT_SECRET=secrets.token_hex(64),
            AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=str(worker_logs),
            AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=str(trigger_logs),
            AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL="2",
            AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL="5",
            AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        )
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        template.mkdir(parents=True, exist_ok=True)
        self._make_database(template / f"airflow-{version('apache-airflow')}.db")

    def _make_database(self, migrated: Path) -> None:
        """A fresh database: what a run killed half-way has left behind never comes back."""
        if not migrated.exists():
            self._say("creating Airflow's database (only the first time)")
            log = self.home / "migrate.log"
            command = [str(BIN / "airflow"), "db", "migrate"]
            with Program("airflow db migrate", command, log=log, env=self.env, keep=self._keep) as program:
                program.join(180)
            new = migrated.with_suffix(".new")
            shutil.copyfile(self.home / "airflow.db", new)
            new.replace(migrated)
        shutil.copyfile(migrated, self.home / "airflow.db")

    def start(self, *command: str) -> Program:
        """Start one of its programs, for example ``start("standalone")``."""
        log = self.home / f"{command[0]}-{time.monotonic_ns()}.log"
        program = Program(
            f"airflow {command[0]}", [str(BIN / "airflow"), *command], log=log, env=self.env, keep=self._keep
        )
        return self._programs.enter_context(program)

    def wait_until_healthy(self, program: Program, *, seconds: float = 300) -> None:
        """Wait until all components have reported, and say which has.

        :param program: whose end is a reason to give up.
        """
        missing = list(COMPONENTS)
        began = said = time.monotonic()
        for _ in self._patiently(program, seconds, lambda: f"{', '.join(missing)} did not start"):
            with suppress(Failure):
                health = ask(self.port, "GET", "/api/v2/monitor/health")
                for name in [name for name in missing if health[name]["status"] == "healthy"]:
                    missing.remove(name)
                    self._say(f"{name.replace('_', ' ')} is up")
            if not missing:
                return
            if time.monotonic() - said >= SIGN_OF_LIFE:
                said = time.monotonic()
                self._say(f"Airflow has been starting for {said - began:.0f} s")

    def wait_for_dag(self, dag_id: str, program: Program, *, seconds: float = 60) -> None:
        """Wait until the DAG has been parsed.

        :raises Failure: it cannot be imported.
        """
        for _ in self._patiently(program, seconds, lambda: f"DAG {dag_id} was not found"):
            errors = self.get("/importErrors")["import_errors"]
            if errors:
                raise Failure("".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors))
            if any(dag["dag_id"] == dag_id for dag in self.get("/dags")["dags"]):
                return

    def _patiently(self, program: Program, seconds: float, problem: Callable[[], str]) -> Iterator[None]:
        """Come back twice a second, until it has taken too long."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            yield
            program.pause(0.5)
        raise Failure(f"{problem()} within {seconds:g} s:\n{tail(program.log)}")

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> Run:
        run = self.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(dag_id, run["dag_run_id"])

    def follow(self, run: Run, program: Program, *, seconds: float) -> Iterator[Change]:
        """Every change of a task's state until the run has ended, then one of the run itself (task ``""``)."""
        seen: dict[str, str] = {}
        for _ in self._patiently(program, seconds, lambda: f"run {run.run_id} has not ended (tasks: {seen})"):
            state = self.get(run.path)["state"]
            for task in sorted(
                self.get(f"{run.path}/taskInstances")["task_instances"], key=lambda task: task["task_id"]
            ):
                name, now = task["task_id"], task["state"] or "none"
                if task["map_index"] >= 0:
                    name += f"[{task['map_index']}]"
                before = seen.get(name, "none")
                if now != before:
                    seen[name] = now
                    yield Change(name, before, now)
            if state in ("success", "failed"):
                yield Change("", "running", state)
                return

    def xcom(self, run: Run, task_id: str, key: str = "return_value") -> Any:
        entry = self.get(f"{run.path}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}")
        return entry["value"]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read its database, which needs no server and is the same question to all its versions."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query, parameters).fetchall()

    def task_logs(self, run: Run, task_id: str) -> list[Path]:
        """The log files of all tries of a task, the triggerer's among them."""
        folder = self.home / "logs" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task_id}"
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def get(self, path: str) -> Any:
        """Read; tried again, because a busy sqlite makes the API server fail now and then."""
        for pause in (0.5, 1.0, 2.0):
            with suppress(Failure):
                return ask(self.port, "GET", f"/api/v2{path}", token=self._bearer())
            time.sleep(pause)
        return ask(self.port, "GET", f"/api/v2{path}", token=self._bearer())

    def post(self, path: str, body: object) -> Any:
        return ask(self.port, "POST", f"/api/v2{path}", body, token=self._bearer())

    def patch(self, path: str, body: object) -> Any:
        return ask(self.port, "PATCH", f"/api/v2{path}", body, token=self._bearer())

    def _bearer(self) -> str:
        self._token = self._token or ask(self.port, "GET", "/auth/token")["access_token"]
        return self._token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._programs.close()


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{quote(self.run_id, safe='')}"


@dataclass(frozen=True)
class Change:
    """A task's state has changed; the run's own where there is no task."""

    task: str
    before: str
    now: str


def environment(**more: str) -> dict[str, str]:
    """For programs started here: nothing of the caller's Airflow, cloud credentials or proxies; no way but loopback."""
    foreign = ("AIRFLOW_", "AIRFLOW__", "ALIBABA_CLOUD_")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(foreign) and not name.upper().endswith("_PROXY")
    }
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):  # else each of a dozen processes would compile Airflow anew
        kept["PYTHONPYCACHEPREFIX"] = str(REPOSITORY / ".demo" / "bytecode")
    local = {"NO_PROXY": "*", "no_proxy": "*", "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", "NO_COLOR": "1"}
    return {**kept, **local, "PYTHONUNBUFFERED": "1", **more}


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on, all different."""
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def ask(port: int, method: str, path: str, body: object = None, *, token: str = "") -> Any:
    """One exchange of JSON with a server of this machine. It knows no proxies and follows no redirects.

    :raises Failure: an error of the server's.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"{method} {path}: no answer on port {port}: {error!r}") from error
    finally:
        connection.close()
    if response.status >= 300:
        raise Failure(f"{method} {path}: HTTP {response.status}: {text[:2000]}")
    return json.loads(text) if text else None


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log, indented."""
    with suppress(OSError):
        kept = path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"  --- end of {path}", *(f"  {readable(line)[:600]}" for line in kept)])
    return f"  --- {path} cannot be read"


def readable(line: str) -> str:
    """What a line of a log says. Task logs are JSON; only the exceptions of a traceback are shown."""
    try:
        entry = json.loads(line)
        causes = [f"{each['exc_type']}: {each['exc_value']}" for each in entry.get("error_detail", [])]
        return f"{entry['level']}: {'; '.join([entry['event'], *causes])}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return line
