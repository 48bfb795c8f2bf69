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
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar
from urllib.parse import quote

import psutil

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent  # not resolved: the interpreter's real folder holds no `airflow`
SIGN_OF_LIFE = 5.0
"""Seconds of silence after which a wait says that it still waits."""

ON_AIRFLOW3 = not version("apache-airflow").startswith("2.")
NO_LOG_SERVER = "--skip-serve-logs"  # logs are read from their files
PROGRAMS = {
    "api-server": ("api-server",),
    "dag-processor": ("dag-processor",),
    "scheduler": ("scheduler", NO_LOG_SERVER),
    "triggerer": ("triggerer", NO_LOG_SERVER),
}
"""What a complete Airflow 3 consists of: names, and what follows `airflow` on the command line."""
PROGRAMS_2 = {name: PROGRAMS[name] for name in ("scheduler", "triggerer")}
"""Airflow 2 needs no more to parse DAGs and run tasks."""

STANDSTILL = 300.0
"""Seconds in which nothing has to change in Airflow's database before a wait is given up. How long it takes in all is
no reason: on a busy machine everything takes ten times as long."""
IDLE = 60.0
"""Seconds for which a program that is to get ready may do nothing."""
ENOUGH_CPU = 60.0
"""Seconds of CPU in which a program must have got ready. None needs ten where the machine is quiet."""

Say = Callable[[str], None]
T = TypeVar("T")


INTERRUPTED = 130
"""The exit code of a program that was told to stop."""


@dataclass
class Clock:
    """Puts the seconds since the start before every line."""

    began: float = field(default_factory=time.monotonic)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        print(f"{self.seconds():6.1f} s  {text}", flush=True)


def stop_on_signals(say: Say) -> None:
    """Raise KeyboardInterrupt when we are told to stop, however that is: what was started is then stopped, too."""

    def interrupt(*_: object) -> None:
        say("interrupted; stopping what was started")
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


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
        self.enough_cpu = ENOUGH_CPU
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

    def once_ready(self, get_ready: Callable[[], T]) -> T:
        """Get ready, or end: nobody holds us yet who would end us."""
        try:
            return get_ready()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """
        :raises Failure: it has ended.
        """
        if (code := self._guard.poll()) is not None:
            raise Failure(f"{self.name} has ended with exit code {code}:\n{tail(self.log)}")

    def cpu(self) -> float:
        """Seconds of CPU that it and its children have used so far."""
        used = 0.0
        with suppress(psutil.NoSuchProcess):
            guard = psutil.Process(self._guard.pid)
            for process in [guard, *guard.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    used += sum(process.cpu_times()[:4])  # its own and that of children that have ended
        return used

    def processes(self) -> list[psutil.Process]:
        """Its own process and all children; none when it has ended."""
        with suppress(psutil.NoSuchProcess):
            return list(psutil.Process(self._guard.pid).children(recursive=True))
        return []

    def kill(self) -> list[int]:
        """End it and its children by SIGKILL, all at the same time, as when their machine dies; say which they were."""
        killed = self.processes()
        for act in (psutil.Process.suspend, psutil.Process.kill):  # none shall notice that another has ended
            for process in killed:
                with suppress(psutil.NoSuchProcess):
                    act(process)
        self._guard.wait()
        return [process.pid for process in killed]

    def ready_steps(self) -> Iterator[None]:
        """Come back five times a second, as long as it works.

        :raises Failure: it does nothing, or has worked long enough. Whether it has ended is for the caller to say.
        """
        worked, since = 0.0, time.monotonic()
        while True:
            yield
            time.sleep(0.2)
            cpu = self.cpu()
            if cpu >= worked + 0.5:
                worked, since = cpu, time.monotonic()
            if cpu > self.enough_cpu:
                raise Failure(f"{self.name} is not ready after {cpu:.0f} s of CPU:\n{tail(self.log)}")
            if time.monotonic() > since + IDLE:
                raise Failure(f"{self.name} is not ready and has done nothing for {IDLE:g} s:\n{tail(self.log)}")

    def join(self) -> None:
        """Wait for its end.

        :raises Failure: it fails, does nothing, or works for too long.
        """
        for _ in self.ready_steps():
            if (code := self._guard.poll()) is not None:
                break
        if code:
            self.check()

    def begin_to_stop(self) -> None:
        if self._guard.stdin:
            self._guard.stdin.close()

    def stop(self) -> None:
        """End it; calling it again does nothing."""
        self.begin_to_stop()
        self._guard.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class Emulator(Program):
    """A local Function Compute; ``connection`` is what Airflow is told of it.

    :param cwd: where the functions run.
    :param port: 0 for a free one.
    :param state: a file in which invocations outlive it.
    """

    def __init__(
        self,
        functions: Path,
        folder: Path,
        *,
        cwd: Path = REPOSITORY,
        workers: int = 4,
        port: int = 0,
        state: Path | None = None,
        keep: Collection[int] = (),
    ) -> None:
        module = [sys.executable, "-P", "-m", "airflow_provider_fc.emulator"]  # -P: import nothing from cwd
        options = ["--port", str(port), "--functions", str(functions), "--workers", str(workers), "--log-requests"]
        kept = ["--state", str(state)] if state else []
        log = folder / "emulator.log"
        super().__init__("the emulator", [*module, *options, *kept], log=log, env=environment(), cwd=cwd, keep=keep)
        self.connection = self.once_ready(self._connection)
        self.endpoint: str = json.loads(self.connection)["host"]
        self.port = int(self.endpoint.rpartition(":")[2])

    def _connection(self) -> str:
        """From the second line it prints: ``export AIRFLOW_CONN_FC_DEFAULT='...'``."""
        for _ in self.ready_steps():
            self.check()
            for line in self.log.read_text().splitlines(keepends=True):
                if line.startswith("export ") and line.endswith("\n"):
                    return shlex.split(line)[1].partition("=")[2]
        raise AssertionError("the steps have no end")

    def executions(self) -> list[dict[str, Any]]:
        """What its workers have executed."""
        executions: list[dict[str, Any]] = ask(self.port, "GET", "/_emulator/executions")["executions"]
        return executions

    def add_invocations(self, invocations: list[dict[str, Any]]) -> None:
        """Add invocations that live as their script says."""
        ask(self.port, "POST", "/_emulator/invocations", {"invocations": invocations})


def publish(database: Path, template: Path) -> None:
    """Keep a copy of a database for the next run, under its name only when it is whole.

    Others may do the same at the same moment, so each writes to a file of its own.
    """
    with tempfile.TemporaryDirectory(dir=template.parent) as own:
        shutil.copyfile(database, Path(own) / template.name).replace(template)


class Airflow:
    """One Airflow with its own home, whose programs end with it. DAGs are paused until somebody unpauses them: a task
    that is started before the API server answers has failed.

    :param home: replaced by a new folder.
    :param template: migrated databases are kept here, so that only the first Airflow has to create one.
    :param connection: of the emulator; becomes ``fc_default``.
    :param settings: further environment variables, and others for those set here.
    :param logs: an empty folder for those of its programs and tasks, if not its home.
    """

    programs: ClassVar[Mapping[str, Sequence[str]]] = PROGRAMS if ON_AIRFLOW3 else PROGRAMS_2

    def __init__(
        self,
        home: Path,
        template: Path,
        dags: Path,
        connection: str,
        *,
        say: Say,
        settings: Mapping[str, str] = MappingProxyType({}),
        logs: Path | None = None,
        keep: Collection[int] = (),
    ) -> None:
        self.home = home
        self.logs = logs or home
        self.port = free_port()
        self._keep = keep
        self._say = say
        self._stack = ExitStack()
        self._programs: dict[str, Program] = {}
        self._token = ""
        own = {
            "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # Airflow starts "airflow" by name
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_FC_DEFAULT": connection,
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{self.port}/execution/",
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": f"http://{HOST}:{self.port}",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(64),
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self.env = environment(**(own | dict(settings)))
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        template.mkdir(parents=True, exist_ok=True)
        self._make_database(template / f"airflow-{version('apache-airflow')}.db")

    def _make_database(self, migrated: Path) -> None:
        """A fresh database: what a run killed half-way has left behind never comes back."""
        if not migrated.exists():
            self._say("creating Airflow's database (only the first time)")
            self._migrate()
            publish(self.home / "airflow.db", migrated)
        shutil.copyfile(migrated, self.home / "airflow.db")

    def _migrate(self) -> None:
        self._command("db", "migrate")

    def start(self, name: str) -> Program:
        """Start one of its programs."""
        log = self.logs / f"{name}-{time.monotonic_ns()}.log"
        command = [str(BIN / "airflow"), *self.programs[name]]
        program = Program(f"airflow {name}", command, log=log, env=self.env, keep=self._keep)
        self._programs[name] = self._stack.enter_context(program)
        return program

    def stop(self, name: str) -> None:
        self._programs.pop(name).stop()

    def kill(self, name: str) -> list[int]:
        """End one of its programs by SIGKILL, with all its children; say which they were."""
        return self._programs.pop(name).kill()

    def start_all(self) -> None:
        """Start everything it consists of, and wait until all of it answers and has reported.

        :raises Failure: names the program that is missing, with its log.
        """
        for name in self.programs:
            self.start(name)
        if ON_AIRFLOW3:  # of Airflow 2 nothing runs that others wait for
            self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        began = said = time.monotonic()
        for name in self.programs:  # the API server first: it tells how the others are
            for _ in self._programs[name].ready_steps():
                self.check()
                if self._is_healthy(name):
                    self._say(f"{name.replace('-', ' ')} is up")
                    break
                if time.monotonic() > said + SIGN_OF_LIFE:
                    said = time.monotonic()
                    self._say(f"waiting for the {name.replace('-', ' ')}; Airflow started {said - began:.0f} s ago")

    def _is_healthy(self, name: str) -> bool:
        try:
            health = ask(self.port, "GET", "/api/v2/monitor/health")
        except Failure:
            return False
        return name == "api-server" or health[name.replace("-", "_")]["status"] == "healthy"

    def check(self) -> None:
        """
        :raises Failure: one of its programs has ended.
        """
        for program in self._programs.values():
            program.check()

    def wait_until(self, condition: Callable[[], object], problem: str = "what the test waits for") -> None:
        """Ask twice a second, as long as anything changes.

        :param problem: what has not come about.
        :raises Failure: nothing changes any more, or a program has ended.
        """
        for _ in self._steps(lambda: problem):
            if condition():
                return

    def _steps(self, problem: Callable[[], str]) -> Iterator[None]:
        """Come back twice a second, until Airflow stands still."""
        seen, since = self._state(), time.monotonic()
        while True:
            self.check()
            yield
            time.sleep(0.5)
            if (now := self._state()) != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() > since + STANDSTILL:
                logs = "\n".join(map(tail, self.program_logs()))
                raise Failure(
                    f"{problem()} has not come about, and nothing has changed in Airflow for {STANDSTILL:g} s:\n{logs}"
                )

    def _state(self) -> object:
        """What changes when Airflow gets on with its work."""
        events = "asset_event" if ON_AIRFLOW3 else "dataset_event"
        tasks = "select dag_id, run_id, task_id, map_index, state, try_number from task_instance order by 1, 2, 3, 4"
        return [
            self.rows(tasks),
            self.rows("select dag_id, run_id, state from dag_run order by 1, 2"),
            *(self.rows(f"select count(*) from {table}") for table in (events, "xcom", "dag")),
        ]

    def unpause(self, dag_id: str) -> None:
        """Wait until the DAG has been parsed, and let it run.

        :raises Failure: it cannot be imported.
        """
        self.wait_until(lambda: self._has_parsed(dag_id), f"DAG {dag_id}")
        if ON_AIRFLOW3:
            self.patch(f"/dags/{quote(dag_id)}", {"is_paused": False})
        else:
            self._command("dags", "unpause", dag_id)

    def _command(self, *words: str) -> None:
        """Run a command of Airflow to its end."""
        name, log = " ".join(["airflow", *words[:2]]), self.logs / f"{words[1]}.log"
        with Program(name, [str(BIN / "airflow"), *words], log=log, env=self.env, keep=self._keep) as program:
            program.join()

    def running(self) -> list[Program]:
        return list(self._programs.values())

    def program_logs(self) -> list[Path]:
        return [program.log for program in self._programs.values()]

    def logs_of(self, name: str) -> list[Path]:
        """Those of a program in all its lives."""
        return sorted(self.logs.glob(f"{name}-*.log"))

    def _has_parsed(self, dag_id: str) -> bool:
        errors = self.rows("select filename, stacktrace from import_error")
        if errors:
            raise Failure("\n".join(f"{filename}:\n{stacktrace}" for filename, stacktrace in errors))
        return bool(self.rows("select 1 from dag join serialized_dag using (dag_id) where dag_id = ?", dag_id))

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> Run:
        if not ON_AIRFLOW3:
            run_id = f"manual__{secrets.token_hex(8)}"
            self._command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(conf))
            return Run(dag_id, run_id)
        run = self.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return Run(dag_id, run["dag_run_id"])

    def follow(self, run: Run) -> Iterator[Change]:
        """Every change of a task's state until the run has ended, then one of the run itself (task ``""``)."""
        seen: dict[str, str] = {}
        for _ in self._steps(lambda: f"the end of run {run.run_id} (tasks: {seen})"):
            [(state,)] = self.rows("select state from dag_run where dag_id = ? and run_id = ?", run.dag_id, run.run_id)
            for task_id, map_index, task_state in self.rows(
                "select task_id, map_index, state from task_instance where dag_id = ? and run_id = ? order by 1, 2",
                run.dag_id,
                run.run_id,
            ):
                name, now = task_id, task_state or "none"
                if map_index >= 0:
                    name += f"[{map_index}]"
                before = seen.get(name, "none")
                if now != before:
                    seen[name] = now
                    yield Change(name, before, now)
            if state in ("success", "failed"):
                yield Change("", "running", state)
                return

    def xcom(self, run: Run, task_id: str, key: str = "return_value") -> Any:
        if not ON_AIRFLOW3:
            query = "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and key = ?"
            [(value,)] = self.rows(query, run.dag_id, run.run_id, task_id, key)
            return json.loads(value)
        entry = self.get(f"{run.path}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}")
        return entry["value"]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read its database, which needs no server and is the same question to all its versions."""
        with closing(sqlite3.connect(f"file:{self.home / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query, parameters).fetchall()

    def task_logs(self, run: Run, task_id: str, map_index: int = -1) -> list[Path]:
        """The log files of all tries of a task, the triggerer's among them; of all mapped ones, or of one."""
        folder = self.logs / "tasks" / f"dag_id={run.dag_id}" / f"run_id={run.run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
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
        for program in self._programs.values():  # all at once: each may take seconds
            program.begin_to_stop()
        self._stack.close()


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
    local = {"NO_PROXY": "*", "no_proxy": "*", "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", "NO_COLOR": "1"}
    return {**kept, **local, "PYTHONUNBUFFERED": "1", **more}


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port


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
