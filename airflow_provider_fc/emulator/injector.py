"""Decides which faults hit an exchange, and counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import TypeVar

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.faults import FaultRule
from airflow_provider_fc.emulator.faults.delivery import AT_ONCE, Delivery
from airflow_provider_fc.emulator.faults.rule import Arrival, Asked, Fault, ItemFault, PageFault, RefusingFault
from airflow_provider_fc.emulator.invocations import Invocation, Moment
from airflow_provider_fc.emulator.listing import Lens, Page

F = TypeVar("F", bound=Fault)


class FaultReport(msgspec.Struct, frozen=True):
    """A rule, how many requests it has met, and how many of them it hit."""

    name: str
    rule: FaultRule
    matched: int
    fired: int


class ArmedFault:
    """A rule at work."""

    def __init__(self, rule: FaultRule, position: int, now: float) -> None:
        self.rule = rule
        self.matched = 0
        self.fired = 0
        self.refuse = rule.refuser() if isinstance(rule, RefusingFault) else None
        self._since = now
        # The position keeps rules of the same seed from acting in step.
        self._random = Random(f"{rule.seed} {position}")

    def meet(self, arrival: Arrival) -> bool:
        """Count a request, and say whether it is one to be hit."""
        rule = self.rule
        if not rule.meets(arrival):
            return False
        self.matched += 1
        age = arrival.now - self._since
        lucky = self._random.random() < rule.probability
        in_turn = rule.first <= self.matched and (rule.last is None or self.matched <= rule.last)
        in_time = rule.after <= age and (rule.until is None or age < rule.until)
        return lucky and in_turn and in_time and not self.spent

    @property
    def spent(self) -> bool:
        return self.rule.times is not None and self.fired >= self.rule.times

    @property
    def report(self) -> FaultReport:
        return FaultReport(self.rule.label, self.rule, self.matched, self.fired)


class FaultInjector:
    """Holds the rules in the order in which they were added. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[ArmedFault] = []

    def add(self, rules: Iterable[FaultRule], now: float) -> None:
        with self._lock:
            for rule in rules:
                self._faults.append(ArmedFault(rule, len(self._faults), now))

    def clear(self) -> None:
        with self._lock:
            self._faults = []

    @property
    def reports(self) -> list[FaultReport]:
        with self._lock:
            return [one.report for one in self._faults]

    def meet(self, arrival: Arrival) -> Interference:
        """The faults whose turn it is."""
        with self._lock:
            faults = [one for one in self._faults if one.meet(arrival)]
        return Interference(faults, arrival, self._lock)


class Interference:
    """What faults do to one exchange; a fault counts as fired when it has changed something."""

    def __init__(self, faults: list[ArmedFault], arrival: Arrival, lock: threading.Lock) -> None:
        self._faults = faults
        self._lock = lock
        self._fired: list[ArmedFault] = []
        shift = sum(rule.shift() for one, rule in self._of(Fault) if rule.shift() and self._fire(one))
        self.server_time = arrival.now + shift
        self._arrival = msgspec.structs.replace(arrival, server_time=self.server_time)

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of those that acted."""
        return tuple(one.rule.label for one in self._fired)

    def refuse(self) -> None:
        """Let the first one that refuses do it.

        :raises Refusal: there is one.
        """
        for one, _ in self._of(RefusingFault):
            with self._lock:  # it may count what it lets pass
                refusal = one.refuse and one.refuse(self._arrival)
            if refusal and self._fire(one):
                self._rest(one)
                raise refusal
        self._rest()

    def page(self, asked: Asked, fetch: Callable[[Asked], Page]) -> Page:
        """The page that is shown instead of what ``fetch`` gets."""
        for one, rule in reversed(self._of(PageFault)):
            fetch = partial(self._page, one, rule, fetch)
        return fetch(asked)

    @property
    def lens(self) -> Lens | None:
        return self._see if self._of(ItemFault) else None

    def alter(self, response: HttpResponse) -> HttpResponse:
        for one, rule in self._of(Fault):
            altered = rule.alter(response)
            if altered is not response and self._fire(one):
                response = altered
        return response

    def deliver(self, response: HttpResponse) -> Delivery:
        delivery = AT_ONCE
        for one, rule in self._of(Fault):
            delivered = rule.deliver(delivery, response)
            if delivered != delivery and self._fire(one):
                delivery = delivered
        return delivery

    def _page(self, one: ArmedFault, rule: PageFault, fetch: Callable[[Asked], Page], asked: Asked) -> Page:
        return rule.page(asked, fetch) if self._fire(one) else fetch(asked)

    def _see(self, invocation: Invocation, moment: Moment, asked: Callable[[Moment], bool]) -> Moment | None:
        now = int(self._arrival.now * 1000)
        for one, rule in self._of(ItemFault):
            seen = rule.show(invocation, moment, now) if rule.selects(invocation.id) else moment
            concerns = asked(moment) or (seen is not None and asked(seen))
            if seen == moment or (concerns and not self._fire(one)):
                continue
            if seen is None:
                return None
            moment = seen
        return moment

    def _of(self, kind: type[F]) -> list[tuple[ArmedFault, F]]:
        return [(one, one.rule) for one in self._faults if isinstance(one.rule, kind)]

    def _rest(self, acting: ArmedFault | None = None) -> None:
        """Those that refuse do nothing else unless they have refused."""
        self._faults = [one for one in self._faults if one is acting or one.refuse is None]

    def _fire(self, one: ArmedFault) -> bool:
        """Count, once an exchange; whether it may act."""
        if one in self._fired:
            return True
        with self._lock:
            if one.spent:
                return False
            one.fired += 1
        self._fired.append(one)
        return True
