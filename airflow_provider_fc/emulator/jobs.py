"""The queue of invocations that worker processes execute."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count
from typing import Protocol

import msgspec

from airflow_provider_fc.emulator.catalogue import Catalogue
from airflow_provider_fc.emulator.invocations import TERMINAL, Invocation

# With a clock that a test moves, a due time is noticed after so many seconds at the latest.
_LONGEST_WAIT = 0.5


class Execution(msgspec.Struct):
    """One attempt to execute a callable.

    :param started: epoch ms, like ``ended``, which is 0 while it runs.
    :param outcome: ``succeeded``, ``failed``, ``stopped``, or ``""`` while it runs.
    """

    function: str
    service: str
    invocation_id: str
    attempt: int
    started: int
    ended: int = 0
    outcome: str = ""


class Owner(Protocol):
    """Whose invocations the queue leads; ``changed`` is its lock as well."""

    changed: threading.Condition
    catalogue: Catalogue

    @property
    def now(self) -> int: ...

    def enter(self, invocation: Invocation, status: str, *, error: str = "") -> None: ...


class JobQueue:
    """Leads invocations through their attempts: Enqueued, Dequeued, Running, and Retrying while any are left."""

    def __init__(self, state: Owner, *, retries: int, retry_delay: float) -> None:
        self.executions: list[Execution] = []
        self._state = state
        self._retries = retries
        self._retry_delay = int(retry_delay * 1000)
        self._waiting: list[tuple[int, int, Invocation]] = []
        self._tie = count()
        self._running: dict[str, Callable[[], None]] = {}

    def put(self, invocation: Invocation) -> None:
        """Let a worker take it once it is due; the caller holds the lock."""
        heapq.heappush(self._waiting, (invocation.due, next(self._tie), invocation))
        self._state.changed.notify_all()

    def resume(self, invocation: Invocation) -> None:
        """Go on with an invocation another process of the emulator left unfinished; the caller holds the lock."""
        status = invocation.last.status
        if status in TERMINAL:
            return
        if status == "Stopping":
            self._state.enter(invocation, "Stopped")
        elif invocation.function not in self._state.catalogue.callables:
            self._state.enter(invocation, "Invalid", error=f"function {invocation.function!r} no longer exists")
        else:
            if status in ("Dequeued", "Running"):
                self._state.enter(invocation, "Retrying", error="the emulator was restarted")
            self.put(invocation)

    def wait(self, closing: Callable[[], bool]) -> Invocation | None:
        """Wait for an invocation to execute; ``None`` once ``closing``."""
        with self._state.changed:
            while not closing():
                if invocation := self.take():
                    return invocation
                self._state.changed.wait(self._pause())
        return None

    def take(self) -> Invocation | None:
        """Take the next invocation to execute, if one is due."""
        with self._state.changed:
            while self._waiting and self._waiting[0][0] <= self._state.now:
                invocation = heapq.heappop(self._waiting)[2]
                if invocation.last.status == "Enqueued":
                    self._state.enter(invocation, "Dequeued")
                if invocation.last.status in ("Dequeued", "Retrying"):  # otherwise it has been stopped
                    return invocation
        return None

    def _pause(self) -> float | None:
        """Compute the seconds until the next one is due; without one, there is nothing to wait for but a change."""
        return min(_LONGEST_WAIT, (self._waiting[0][0] - self._state.now) / 1000) if self._waiting else None

    def begin(self, invocation: Invocation, instance_id: str, end: Callable[[], None]) -> Execution | None:
        """Begin an attempt, which ``end`` ends early; ``None`` if the invocation was stopped in the meantime."""
        with self._state.changed:
            if invocation.last.status in TERMINAL:
                return None
            invocation.attempts += 1
            invocation.instance_id = instance_id
            self._running[invocation.request_id] = end
            self._state.enter(invocation, "Running")
            execution = Execution(
                function=invocation.function,
                service=invocation.service,
                invocation_id=invocation.id,
                attempt=invocation.attempts,
                started=self._state.now,
            )
            self.executions.append(execution)
        return execution

    def end(self, invocation: Invocation) -> None:
        """End the attempt that is running; the caller holds the lock."""
        if end := self._running.get(invocation.request_id):
            end()

    def finish(self, invocation: Invocation, execution: Execution, *, result: bytes, error: str) -> bool:
        """End an attempt, with an ``error`` if it failed, and tell whether it was stopped."""
        with self._state.changed:
            del self._running[invocation.request_id]
            execution.ended = self._state.now
            if invocation.last.status == "Stopping":
                execution.outcome = "stopped"
                self._state.enter(invocation, "Stopped")
            elif not error:
                execution.outcome = "succeeded"
                invocation.return_payload = result
                self._state.enter(invocation, "Succeeded")
            else:
                execution.outcome = "failed"
                self._fail(invocation, error)
        return execution.outcome == "stopped"

    def _fail(self, invocation: Invocation, error: str) -> None:
        invocation.failures += 1
        if invocation.failures > self._retries:
            self._state.enter(invocation, "Failed", error=error)
            return
        invocation.due = self._state.now + self._retry_delay
        self._state.enter(invocation, "Retrying", error=error)
        self.put(invocation)
