"""What exists: functions, and the words a status can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sized

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.invocations import STATUSES, Invocation
from airflow_provider_fc.emulator.schema import Life, ScriptedInvocation
from airflow_provider_fc.emulator.scripts import words_of


class Catalogue:
    """Knows the registered functions and every status word that has come up.

    :param strict: whether a function nobody registered is refused: ``strict_functions`` of ``FunctionComputeEmulator``.
    """

    def __init__(self, callables: Iterable[str], lives: Mapping[str, Life], strict: bool | None) -> None:
        self.callables = frozenset(callables)
        self.lives = lives
        self._registered = self.callables | lives.keys()
        self._scripted: set[tuple[str, str]] = set()
        self._executed: set[str] = set()
        self._strict = strict
        self._words = STATUSES | words_of(lives.values())

    def learn(self, scripts: Collection[ScriptedInvocation]) -> None:
        """Take note of the words in scripts, and that the functions they name exist."""
        self._words |= words_of(scripts)
        self._scripted.update((one.service, one.function) for one in scripts)

    def learn_from(self, invocations: Iterable[Invocation]) -> None:
        """Take note of the words in invocations whose scripts are gone, and which functions were executed."""
        for one in invocations:
            self._words |= {*one.script, *(moment.status for moment in one.moments)}
            if one.advance == "worker":
                self._executed.add(one.function)

    def check_new(self, service: str, function: str, invocations: Sized) -> None:
        """Refuse to invoke a function that nobody registered or scripted: its old invocations do not execute it."""
        if self._is_strict and function not in self._registered and (service, function) not in self._scripted:
            names = f"{', '.join(sorted(self._registered)) or 'none'} (a new one needs a restart)"
            old = "; the state file has old invocations of it: restart with its functions file" if invocations else ""
            raise Refusal("FunctionNotFound", f"no function {function!r}; registered: {names}{old}")

    def check_function(self, service: str, function: str, invocations: Sized) -> None:
        """Refuse a function that nobody registered or scripted, and that has no invocations either."""
        if not invocations:
            self.check_new(service, function, invocations)

    @property
    def served(self) -> str:
        """What is done for an invocation, in words."""
        gone = self._executed - self._registered
        rows = (("executes", self.callables), ("only acts", self.lives), ("no longer has", gone))
        parts = [f"{verb} {', '.join(sorted(names))}" for verb, names in rows if names]
        if not self._is_strict:
            parts.append("executes nothing, and lets what is invoked under any name succeed")
        return "; ".join(parts) or "has no functions"

    @property
    def _is_strict(self) -> bool:
        return bool(self._registered or self._executed) if self._strict is None else self._strict

    def check_filter(self, status: str, rejected: Collection[str]) -> None:
        """Refuse a status that cannot be filtered on."""
        if status in rejected:
            raise Refusal("InvalidArgument", f"status {status!r} cannot be used as a filter")
        if status not in self._words:
            raise Refusal("InvalidArgument", f"status {status!r} is unknown; one of {', '.join(sorted(self._words))}")
