"""Turns what a user scripted into invocations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from airflow_provider_fc.emulator.invocations import Invocation, after_first
from airflow_provider_fc.emulator.schema import Life, ScriptedInvocation

DEFAULT_STATUSES = ("Enqueued", "Running", "Succeeded")


def invocations_of(
    script: ScriptedInvocation, now: int, new_id: Callable[[], str], *, reset_start: bool
) -> Iterator[Invocation]:
    """Make the invocations a script stands for; ``now`` and all times of an invocation are epoch ms."""
    first = now - int(script.submitted_seconds_ago * 1000)
    gone = None if script.disappears_after is None else now + int(script.disappears_after * 1000)
    payload = script.payload.encode()
    for index, id in enumerate(script.ids()):
        invocation = Invocation(
            service=script.service,
            function=script.function,
            qualifier=script.qualifier,
            id=id,
            request_id=new_id(),
            submitted=first + int(index * script.submitted_seconds_apart * 1000),
            payload=payload,
            started_time=script.started_time,
            end_time=script.end_time,
            visible_from=now + int(script.appears_after * 1000) if script.appears_after else 0,
            visible_until=gone,
        )
        give_life(invocation, script, reset_start=reset_start)
        yield invocation


def give_life(invocation: Invocation, life: Life, *, reset_start: bool) -> None:
    """Let an invocation nobody executes live ``life`` from its submission on."""
    invocation.script_error = life.error_message
    invocation.return_payload = life.return_payload.encode()
    if life.timeline is not None:
        invocation.advance = "time"
        for seconds, status in life.timeline:
            invocation.enter(status, invocation.submitted + int(seconds * 1000), reset_start=reset_start)
    else:
        invocation.advance = "responses"
        statuses = tuple(life.statuses or DEFAULT_STATUSES)
        invocation.enter(statuses[0], invocation.submitted)
        invocation.script = after_first(statuses)


def words_of(lives: Iterable[Life]) -> set[str]:
    """Collect every status the lives go through."""
    words: set[str] = set()
    for life in lives:
        words.update(life.statuses or DEFAULT_STATUSES)
        words.update(status for _, status in life.timeline or ())
    return words
