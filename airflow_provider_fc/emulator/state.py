"""The functions and invocations of a local Function Compute; time is injected, nothing here does I/O."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice
from random import Random
from typing import Any

import msgspec

from airflow_provider_fc.emulator.catalogue import Catalogue
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.invocations import QUEUED, TERMINAL, Invocation, InvocationView, Moment, view
from airflow_provider_fc.emulator.jobs import JobQueue
from airflow_provider_fc.emulator.listing import Lens, Page, Position, Query, Row, matching
from airflow_provider_fc.emulator.schema import Life, SchemaError, ScriptedInvocation, Switches, listed, read
from airflow_provider_fc.emulator.scripts import give_life, invocations_of
from airflow_provider_fc.emulator.store import Journal, Store

PAYLOAD_LIMIT = 128 * 1024
# A scripted invocation with a timeline stays Stopping for so long.
STOPPING_MS = 1000
_LEGAL_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}")


class FunctionComputeState:
    """Everything the emulator knows. Every method may be called from any thread.

    :param functions: names of the functions workers execute.
    :param scripted_functions: function name -> the life of what is invoked under it.
    :param journal: keeps invocations over restarts; ``restored`` says whether it held any.

    The others are those of ``FunctionComputeEmulator``.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        functions: Iterable[str] = (),
        scripted_functions: Mapping[str, Any] | None = None,
        retries: int = 0,
        retry_delay: float = 0.5,
        strict_functions: bool | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.switches = Switches()
        self.new_id = _request_ids()
        self.catalogue = Catalogue(functions, read(dict(scripted_functions or {}), dict[str, Life]), strict_functions)
        self.clock = clock
        self.jobs = JobQueue(self, retries=retries, retry_delay=retry_delay)
        self._store = Store(journal)
        with self.lock:
            loaded = self._store.load()
            self.restored = bool(loaded)
            self.catalogue.learn_from(loaded)
            for invocation in loaded:
                if invocation.advance == "worker":
                    self.jobs.resume(invocation)

    @property
    def now(self) -> int:
        """Epoch ms."""
        return int(self.clock() * 1000)

    # What tests set up.

    def add(self, invocations: Iterable[ScriptedInvocation | Mapping[str, Any]]) -> list[str]:
        """Create scripted invocations and return their ids; all or none.

        :raises SchemaError: a key or value is wrong, or an id is taken.
        """
        scripts = read(listed("invocations", invocations), list[ScriptedInvocation])
        with self.lock:
            now = self.now
            made = [
                one
                for script in scripts
                for one in invocations_of(script, now, self.new_id, reset_start=self.switches.reset_start_on_retry)
            ]
            keys = {(one.service, one.function, one.id) for one in made}
            for one in made:
                if len(keys) < len(made) or self._store.of(one.service, one.function).get(one.id):
                    raise SchemaError(f"an invocation {one.id!r} of function {one.function!r} exists; choose other ids")
            self.catalogue.learn(scripts)
            self._store.keep(made)
            self.changed.notify_all()
        return [one.id for one in made]

    def set_switches(self, /, **switches: Any) -> Switches:
        """Change the named switches and keep the others.

        :raises SchemaError: there is no such switch, or not with that value.
        """
        with self.lock:
            self.switches = read({**msgspec.structs.asdict(self.switches), **switches}, Switches)
            return self.switches

    def reset_switches(self) -> None:
        with self.lock:
            self.switches = Switches()

    def status(self, function: str, id: str, *, service: str = "") -> str | None:
        """Find the status of an invocation, which does not count as showing it; ``None`` if it cannot be seen."""
        with self.lock:
            invocation = self._store.of(service, function).get(id)
            moment = invocation and invocation.at(self.now)
            return moment.status if moment else None

    def wait_for(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``condition`` holds, which is tried after every change, and tell whether it did in time."""
        with self.changed:
            return self.changed.wait_for(condition, timeout)

    # What the service does.

    def submit(
        self,
        service: str,
        function: str,
        *,
        qualifier: str | None = None,
        id: str | None = None,
        payload: bytes = b"",
        delay: float = 0,
        request_id: str | None = None,
        recorded: bool = True,
    ) -> str:
        """Take an asynchronous invocation and return its id; without one the request id becomes it.

        :param recorded: whether it can be seen afterwards; if not, an id may be used again.
        """
        request_id = request_id or self.new_id()
        if id is not None and not _LEGAL_ID.fullmatch(id):
            raise Refusal(
                "InvalidArgument",
                f"invocation id {id!r} must match [A-Za-z_][A-Za-z0-9_-]* and have at most 128 characters",
            )
        if len(payload) > PAYLOAD_LIMIT:
            raise Refusal("EntityTooLarge", f"payload of {len(payload)} bytes exceeds the limit of {PAYLOAD_LIMIT}")
        with self.lock:
            taken = self._store.of(service, function)
            self.catalogue.check_new(service, function, taken)
            if not recorded:
                id = request_id
            if taken.get(id):
                raise Refusal("InvocationAlreadyExists", f"an invocation with id {id!r} already exists")
            now = self.now
            invocation = Invocation(
                service=service,
                function=function,
                qualifier=qualifier or "LATEST",
                id=id or request_id,
                request_id=request_id,
                submitted=now,
                payload=payload,
                recorded=recorded,
                advance="worker" if function in self.catalogue.callables else "responses",
                due=now + int(delay * 1000),
            )
            if invocation.advance == "worker":
                invocation.enter("Enqueued", now)
            else:
                life = self.catalogue.lives.get(function) or Life()
                give_life(invocation, life, reset_start=self.switches.reset_start_on_retry)
            self._store.keep([invocation])
            self.changed.notify_all()
            if invocation.advance == "worker":
                self.jobs.put(invocation)
        return invocation.id

    def check_function(self, service: str, function: str) -> None:
        """Refuse a function that does not exist."""
        with self.lock:
            self.catalogue.check_function(service, function, self._store.of(service, function))

    def list_page(
        self,
        query: Query,
        *,
        limit: int,
        after: int | Position | None = None,
        payloads: bool = False,
        lens: Lens | None = None,
    ) -> Page:
        """Show one page; those of its invocations that advance by responses take a step."""
        if query.status is not None:
            self.catalogue.check_filter(query.status, self.switches.reject_status)
        if self.switches.ignore_status_filter:
            query = msgspec.structs.replace(query, status=None)
        with self.lock:
            listing = self._store.of(query.service, query.function)
            self.catalogue.check_function(query.service, query.function, listing)
            time_shown = self.now - int(self.switches.list_lag * 1000)
            found = matching(listing.rows_at(time_shown), query, after if isinstance(after, Position) else None, lens)
            skipped = after if isinstance(after, int) else 0
            rows = [*islice(found, skipped, skipped + limit + 1)]
            page = Page(
                [view(row.invocation, moment, payloads=payloads) for row, moment in rows[:limit]],
                self._end_of_page(rows[limit - 1][0], skipped + limit) if len(rows) > limit else None,
            )
            self._step([row.invocation for row, _ in rows[:limit]])
        return page

    def get(
        self, service: str, function: str, id: str, *, qualifier: str | None = None, lens: Lens | None = None
    ) -> InvocationView:
        """Show one invocation as it is now, which lets it take a step if it advances by responses."""
        with self.lock:
            invocation, moment = self._find(service, function, id, qualifier, lens)
            shown = view(invocation, moment, payloads=True)
            self._step([invocation])
        return shown

    def stop(
        self, service: str, function: str, id: str, *, qualifier: str | None = None, lens: Lens | None = None
    ) -> None:
        """End an invocation: at once while it is queued, otherwise by way of ``Stopping``."""
        with self.lock:
            (invocation, moment), now = self._find(service, function, id, qualifier, lens), self.now
            status = moment.status
            if status in TERMINAL:
                raise Refusal("InvocationAlreadyCompleted", f"invocation {id!r} is {status}, it cannot be stopped")
            if status == "Stopping":
                return
            invocation.forget_after(now)
            if status in QUEUED or (invocation.advance == "worker" and status == "Retrying"):
                invocation.enter("Stopped", now)
            else:
                invocation.enter("Stopping", now)
                self.jobs.end(invocation)
                if invocation.advance == "responses":
                    invocation.script = ("Stopped",)
                elif invocation.advance == "time":
                    invocation.enter("Stopped", now + STOPPING_MS)
            self.touch([invocation])

    # Shared by the above and by the workers' queue; the caller holds the lock.

    def touch(self, invocations: Collection[Invocation]) -> None:
        """Make a change to existing invocations known: to listings, to whoever waits, and to the journal."""
        self._store.keep(invocations)
        self.changed.notify_all()

    def enter(self, invocation: Invocation, status: str, *, error: str = "") -> None:
        """Let a worker's invocation go on to ``status``."""
        invocation.enter(status, self.now, error=error, reset_start=self.switches.reset_start_on_retry)
        self.touch([invocation])

    def _find(
        self, service: str, function: str, id: str, qualifier: str | None, lens: Lens | None
    ) -> tuple[Invocation, Moment]:
        invocations = self._store.of(service, function)
        self.catalogue.check_function(service, function, invocations)
        invocation = invocations.get(id)
        moment = None if invocation is None else invocation.at(self.now)
        if invocation is not None and moment is not None and lens is not None:
            moment = lens(invocation, moment, lambda _: True)
        if invocation is None or moment is None or qualifier not in (None, invocation.qualifier):
            raise Refusal("InvocationNotFound", f"no invocation {id!r} of function {function!r}")
        return invocation, moment

    def _step(self, invocations: Iterable[Invocation]) -> None:
        now, reset = self.now, self.switches.reset_start_on_retry
        if stepped := [one for one in invocations if one.step(now, reset_start=reset)]:
            self.touch(stepped)

    def _end_of_page(self, last: Row, count: int) -> int | Position:
        return count if self.switches.offset_tokens else Position(*last.key)


def _request_ids() -> Callable[[], str]:
    """Make ids that look like UUIDs, for a third of the price: tests add invocations by the hundred thousand."""
    bits = Random().getrandbits  # not the module's, which tests seed

    def new_id() -> str:
        digits = f"{bits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    return new_id
