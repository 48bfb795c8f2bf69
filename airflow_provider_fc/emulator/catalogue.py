"""What exists: functions, and the words a status can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sized

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.invocations import STATUSES, Invocation
from airflow_provider_fc.emulator.schema import Life
from airflow_provider_fc.emulator.scripts import words_of


class Catalogue:
    """Knows the registered functions and every status word that has come up.

    :param callables: names of the functions workers execute.
    :param lives: function name -> the life of what is invoked under it.
    :param strict: whether a function nobody registered is refused; by default if any was registered.
    """

    def __init__(self, callables: Iterable[str], lives: Mapping[str, Life], strict: bool | None) -> None:
        self.callables = frozenset(callables)
        self.lives = lives
        self._registered = self.callables | lives.keys()
        self._strict = bool(self._registered) if strict is None else strict
        self._words = STATUSES | words_of(lives.values())

    def learn(self, lives: Iterable[Life]) -> None:
        """Take note of the words in scripts."""
        self._words |= words_of(lives)

    def learn_from(self, invocations: Iterable[Invocation]) -> None:
        """Take note of the words in invocations whose scripts are gone."""
        for one in invocations:
            self._words |= {*one.script, *(moment.status for moment in one.moments)}

    def check_function(self, function: str, invocations: Sized) -> None:
        """Refuse a function that nobody registered and no invocation names."""
        if self._strict and function not in self._registered and not invocations:
            names = ", ".join(sorted(self._registered)) or "none"
            raise Refusal("FunctionNotFound", f"no function {function!r}; registered: {names}")

    def check_filter(self, status: str, rejected: Collection[str]) -> None:
        """Refuse a status that cannot be filtered on."""
        if status in rejected:
            raise Refusal("InvalidArgument", f"status {status!r} cannot be used as a filter")
        if status not in self._words:
            raise Refusal("InvalidArgument", f"status {status!r} is unknown; one of {', '.join(sorted(self._words))}")
