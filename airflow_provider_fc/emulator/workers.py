"""Worker processes, and the threads that feed them."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.context import Context, RoleCredentials
from airflow_provider_fc.emulator.functions import Target
from airflow_provider_fc.emulator.invocations import Invocation
from airflow_provider_fc.emulator.state import FunctionComputeState
from airflow_provider_fc.emulator.worker import Outcome, Task

log = logging.getLogger(__name__)

# A fresh interpreter rather than multiprocessing's spawn, which runs the caller's __main__ again in every worker and
# leaves its resource tracker running.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from airflow_provider_fc.emulator.worker import main; main(int(sys.argv[2]))"
)
_STDERR = 2
_EXIT_SECONDS = 5.0
_KEYS = ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN")


class WorkerProcess:
    """One process that executes functions. What they print goes to our stderr: stdout is for the READY line."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,
                start_new_session=True,  # so that a stop also ends what the function has started
            )
        self._answers = self._socket.makefile("rb")
        self.pid = self._process.pid

    def execute(self, task: Task) -> Outcome | None:
        """Have a task executed; ``None`` if the process ended before it was."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(msgspec.json.encode(task) + b"\n")
            if answer := self._answers.readline():
                return msgspec.json.decode(answer, type=Outcome)
        return None

    def kill(self) -> None:
        if self._process.returncode is None:  # pragma: no branch - otherwise its id may be another process's by now
            self._kill_group()

    def close(self) -> int:
        """End the process, if it has not ended by itself, and return its exit code."""
        self._answers.close()
        self._socket.close()  # an idle one ends at this
        if self._process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_EXIT_SECONDS)
            self._kill_group()
        return self._process.wait()

    def _kill_group(self) -> None:
        """Kill the process and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)


class WorkerPool:
    """Executes what is queued in up to ``workers`` processes, which start when they are first needed."""

    def __init__(
        self,
        state: FunctionComputeState,
        targets: Mapping[str, Target],
        *,
        workers: int,
        region: str,
        account_id: str,
        credentials: Callable[[], Credentials],
        load_first: bool = False,
    ) -> None:
        self._state = state
        self._targets = targets
        self._credentials = credentials
        self._where = {"region": region, "account_id": account_id}
        self._stamps = {target.file: _stamp(target.file) for target in targets.values()}
        self._closing = False
        self._processes: set[WorkerProcess] = set()
        if load_first:
            self._load_all()
        self._threads = [threading.Thread(target=self._work, name="fc-worker", daemon=True) for _ in range(workers)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End all processes; what they were executing stays unfinished."""
        with self._state.changed:
            self._closing = True
            for process in self._processes:
                process.kill()
            self._state.changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _load_all(self) -> None:
        """Import every function, in a process that executes none.

        :raises ValueError: one cannot be imported, so that whoever is still there to read it hears of it.
        """
        process = WorkerProcess()
        try:
            for name, target in self._targets.items():
                outcome = process.execute(Task(target, b"", self._context(name, target), only_load=True))
                if problem := _problem(process, outcome):
                    raise ValueError(f"{target.file or target.module}: {target.name} cannot be imported: {problem}")
        finally:
            process.close()

    def _work(self) -> None:
        """Feed one process after the other, each for as long as it lives."""
        process: WorkerProcess | None = None
        while (invocation := self._state.jobs.wait(lambda: self._closing)) is not None:
            process = process or self._start()
            if not self._execute(process, invocation):
                self._end(process)
                process = None
        if process is not None:
            self._end(process)

    def _start(self) -> WorkerProcess:
        process = WorkerProcess()
        with self._state.lock:
            self._processes.add(process)
            if self._closing:  # close() came too early to know of it
                process.kill()  # pragma: no cover - a race
        return process

    def _end(self, process: WorkerProcess) -> None:
        with self._state.lock:
            self._processes.discard(process)
        process.close()

    def _execute(self, process: WorkerProcess, invocation: Invocation) -> bool:
        """Execute one invocation, and tell whether the process can go on with others."""
        jobs = self._state.jobs
        execution = jobs.begin(invocation, f"c-emulator-{process.pid}", process.kill)
        if execution is None:  # stopped meanwhile
            return True  # pragma: no cover - a race
        task = self._task(invocation)
        outcome = process.execute(task)
        if self._closing:
            return False
        result, problem = outcome.result if outcome else b"", _problem(process, outcome)
        if outcome is None and invocation.last.status != "Stopping":
            log.error("%s: %s", task.failed, problem)
        stopped = jobs.finish(invocation, execution, result=result, error=problem)
        return outcome is not None and not stopped

    def _task(self, invocation: Invocation) -> Task:
        target = self._targets[invocation.function]
        self._say_if_changed(target.file)
        context = msgspec.structs.replace(
            self._context(invocation.function, target),
            service_name=invocation.service,
            qualifier=invocation.qualifier,
            request_id=invocation.request_id,
            invocation_id=invocation.id,
            attempt=invocation.attempts,
        )
        return Task(target=target, event=invocation.payload, context=context)

    def _say_if_changed(self, file: str) -> None:
        stamp = _stamp(file)
        if stamp != self._stamps[file]:
            self._stamps[file] = stamp
            log.warning("%s has changed: restart the emulator; old and new code may run side by side until then", file)

    def _context(self, function: str, target: Target) -> Context:
        """Make the context of a function that nobody has invoked yet."""
        return Context(
            function_name=function,
            service_name="",
            qualifier="",
            request_id="",
            invocation_id="",
            attempt=1,
            handler=target.handler,
            credentials=_role(self._credentials()),
            **self._where,
        )


def _stamp(file: str) -> int:
    with suppress(OSError):
        return os.stat(file).st_mtime_ns
    return 0


def _problem(process: WorkerProcess, outcome: Outcome | None) -> str:
    """Say what went wrong; without an outcome the process has ended."""
    return f"the worker process ended with exit code {process.close()}" if outcome is None else outcome.error


def _role(ours: Credentials) -> RoleCredentials:
    """Give functions the keys that the environment holds; without any those that are valid here."""
    id, secret, token = (os.environ.get(f"ALIBABA_CLOUD_{name}", "") for name in _KEYS)
    if id and secret:
        return RoleCredentials(id, secret, token)
    return RoleCredentials(ours.access_key_id, ours.access_key_secret, ours.security_token or "")
