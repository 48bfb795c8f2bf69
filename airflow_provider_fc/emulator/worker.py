"""Runs inside a worker process: executes one callable after the other."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import msgspec

from airflow_provider_fc.emulator.context import Context
from airflow_provider_fc.emulator.functions import Target

log = logging.getLogger(__name__)

RETURN_LIMIT = 1024 * 1024


class Task(msgspec.Struct, frozen=True):
    """A call of a function, or only its import, to see whether that can be done."""

    target: Target
    event: bytes
    context: Context
    only_load: bool = False

    @property
    def failed(self) -> str:
        """Say that it has failed, so that whoever knows the invocation finds it."""
        of = self.context
        which = f" [invocation {of.invocation_id}, attempt {of.attempt}, request id {of.request_id}]"
        return f"{of.function_name} failed{'' if self.only_load else which}"


class Outcome(msgspec.Struct, frozen=True):
    """How a task ended: with a result, or an ``error`` that names type and message."""

    result: bytes = b""
    error: str = ""


def main(descriptor: int) -> None:
    """Take tasks from a socket, one line each, and answer each with the line of its outcome."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] %(message)s")
    connection = socket.socket(fileno=descriptor)
    tasks: SimpleQueue[Task] = SimpleQueue()
    threading.Thread(target=_receive, args=[connection, tasks], daemon=True).start()
    worker = os.getpid()
    while True:
        task = tasks.get()
        _set_environment(task.context.environment)
        outcome = execute(task)
        if os.getpid() != worker:
            os._exit(bool(outcome.error))  # a fork by the function came back from it too: the answer is not its to give
        connection.sendall(msgspec.json.encode(outcome) + b"\n")


def _receive(connection: socket.socket, tasks: SimpleQueue[Task]) -> None:
    with connection.makefile("rb") as lines:
        for line in lines:
            tasks.put(msgspec.json.decode(line, type=Task))
    # The emulator is gone, however it ended: nobody wants what is being executed, nor what that has started.
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _set_environment(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        os.environ[name] = value
        if not value:
            del os.environ[name]  # of the invocation before


def execute(task: Task) -> Outcome:
    """Call the function; the outcome holds its result as bytes, cut at what the service would show."""
    try:
        function = _load(task.target)
        result = None if task.only_load else function(task.event, task.context)
        return Outcome(_as_bytes(result)[:RETURN_LIMIT])
    except BaseException as error:  # whatever a function raises, SystemExit too, is its outcome
        log.exception("%s", task.failed)
        return Outcome(error=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


@cache
def _load(target: Target) -> Callable[[bytes, Context], Any]:
    function: Callable[[bytes, Context], Any] = getattr(_module(target), target.name)
    return function


def _module(target: Target) -> Any:
    if not target.module:
        return _module_of_file(target.file)
    try:
        return importlib.import_module(target.module)
    except ModuleNotFoundError as error:
        itself = error.name is not None and f"{target.module}.".startswith(f"{error.name}.")
        if not (itself and target.file):
            raise
        return _module_of_file(target.file)


@cache
def _module_of_file(path: str) -> Any:
    """Execute a file once in this process, with its neighbours importable."""
    sys.path.insert(0, str(Path(path).parent))
    name = f"fc_functions_{Path(path).stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _as_bytes(result: object) -> bytes:
    if result is None:
        return b""
    if isinstance(result, bytes | bytearray | memoryview):
        return bytes(result)
    return result.encode() if isinstance(result, str) else msgspec.json.encode(result)
