"""Decides which faults hit an exchange, and counts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from random import Random

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.delivery import AT_ONCE, Delivery
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.faults import Arrival, Asked, FaultRule, Fetch, Memory
from airflow_provider_fc.emulator.invocations import Invocation, Moment
from airflow_provider_fc.emulator.listing import Lens, Page


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
        self.action = rule.action
        self.matched = 0
        self.fired = 0
        self.memory: Memory = {}
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
        """Find the faults whose turn it is."""
        with self._lock:
            faults = [one for one in self._faults if one.meet(arrival)]
        return Interference(faults, arrival, self._lock)


class Interference:
    """What faults do to one exchange; a fault counts as fired when it has changed something."""

    def __init__(self, faults: list[ArmedFault], arrival: Arrival, lock: threading.Lock) -> None:
        self._faults = faults
        self._lock = lock
        self._fired: list[ArmedFault] = []
        self.server_time = arrival.now
        for one in faults:
            if one.action.shift and (seconds := one.action.shift(one.rule)) and self._fire(one):
                self.server_time += seconds
        self._arrival = msgspec.structs.replace(arrival, server_time=self.server_time)

    @property
    def fired(self) -> tuple[str, ...]:
        """The names of those that acted."""
        return tuple(one.rule.label for one in self._fired)

    def refuse(self) -> None:
        """Let the first one that refuses do it; of the others that could, none does anything else.

        :raises Refusal: there is one.
        """
        acting, refusal = self._refusing()
        self._faults = [one for one in self._faults if one is acting or not one.action.refuse]
        if refusal is not None:
            raise refusal

    def _refusing(self) -> tuple[ArmedFault | None, Refusal | None]:
        for one in self._faults:
            if refuse := one.action.refuse:
                with self._lock:  # it may count what it lets pass
                    refusal = refuse(one.rule, self._arrival, one.memory)
                if refusal and self._fire(one):
                    return one, refusal
        return None, None

    def page(self, asked: Asked, fetch: Fetch) -> Page:
        """Get the page that is shown instead of what ``fetch`` gets."""
        for one in reversed(self._faults):
            if one.action.page:
                fetch = partial(self._page, one, one.action.page, fetch)
        return fetch(asked)

    @property
    def lens(self) -> Lens | None:
        return self._see if any(one.action.show for one in self._faults) else None

    def alter(self, response: HttpResponse) -> HttpResponse:
        for one in self._faults:
            altered = one.action.alter(one.rule, response) if one.action.alter else response
            if altered is not response and self._fire(one):
                response = altered
        return response

    def deliver(self, response: HttpResponse) -> Delivery:
        delivery = AT_ONCE
        for one in self._faults:
            changed = one.action.deliver(one.rule, delivery, response) if one.action.deliver else delivery
            if changed != delivery and self._fire(one):
                delivery = changed
        return delivery

    def _page(self, one: ArmedFault, act: Callable[..., Page], fetch: Fetch, asked: Asked) -> Page:
        return act(one.rule, asked, fetch) if self._fire(one) else fetch(asked)

    def _see(self, invocation: Invocation, moment: Moment, asked: Callable[[Moment], bool]) -> Moment | None:
        now = int(self._arrival.now * 1000)
        for one in self._faults:
            if one.action.show is None or not one.rule.selects(invocation.id):
                continue
            seen = one.action.show(one.rule, invocation, moment, now)
            concerns = asked(moment) or (seen is not None and asked(seen))
            if seen == moment or (concerns and not self._fire(one)):
                continue
            if seen is None:
                return None
            moment = seen
        return moment

    def _fire(self, one: ArmedFault) -> bool:
        """Count, once an exchange, and say whether it may act."""
        if one in self._fired:
            return True
        with self._lock:
            if one.spent:
                return False
            one.fired += 1
        self._fired.append(one)
        return True
