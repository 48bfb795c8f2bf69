"""The event trigger in the triggerer's hands: one listing for all watchers, and nothing announced twice."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from running import rebuilt
from versions import AIRFLOW, needs

from airflow_provider_fc.core.announcing import AnnouncedIds, DatedKey, WatchedPage
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

needs("asset watchers")

from airflow.triggers.base import TriggerEvent

from airflow_provider_fc import event_triggers
from airflow_provider_fc.event_triggers import FunctionComputeInvocationsEventTrigger
from airflow_provider_fc.hooks import FunctionComputeAsyncHook

INTERVAL = 0.05


@pytest.fixture
def emulator(connection: Callable[..., str], hasten: Callable[..., None]) -> Iterator[FunctionComputeEmulator]:
    hasten(
        polling={"first": 0.0, "shortest": INTERVAL},
        announcing={"between_events": 0.0, "settle": INTERVAL},
        connections={"reread": 0.0},
    )
    gc.collect()  # the watchers of the test before: as long as they live, they share their listing
    with FunctionComputeEmulator() as emulator:
        connection(**emulator.connection)
        yield emulator


def trigger(prefix: str = "job-", mode: str = "each", **more: Any) -> FunctionComputeInvocationsEventTrigger:
    parameters = {"poll_interval": INTERVAL, **more}
    return FunctionComputeInvocationsEventTrigger(
        function_name="resize", invocation_id_prefix=prefix, mode=mode, **parameters
    )


def add(emulator: FunctionComputeEmulator, prefix: str, count: int, *statuses: str) -> None:
    template = prefix + "{index}"
    emulator.add_invocations(
        [{"function": "resize", "id_template": template, "count": count, "statuses": list(statuses or ["Succeeded"])}]
    )


class Store:
    """As much of Airflow's asset state store as a trigger sees; what is written goes through JSON."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.broken = False
        self.unreadable = False

    async def aget(self, key: str, default: Any = None) -> Any:
        if self.unreadable:
            raise RuntimeError("the API server is away")
        return json.loads(self.kept[key]) if key in self.kept else default

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("the API server is away")
        self.kept[key] = json.dumps(value)


async def watch(trigger: FunctionComputeInvocationsEventTrigger, until: Callable[[], bool]) -> list[Any]:
    """The events until a condition holds, as the triggerer collects them; it never ends by itself."""
    found: list[Any] = []

    async def collect() -> None:
        async with aclosing(trigger.run()) as events:  # type: ignore[type-var]  # Airflow declares less than a generator
            async for event in events:
                found.append(event.payload)

    task = asyncio.create_task(collect())
    while not until():
        assert not task.done(), task
        await asyncio.sleep(INTERVAL / 5)
    assert not task.done(), task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return found


def listed_again(emulator: FunctionComputeEmulator, times: int) -> Callable[[], bool]:
    """So many list calls more have been answered."""
    wanted = len(emulator.requests) + times
    return lambda: len(emulator.requests) >= wanted


def run(trigger: FunctionComputeInvocationsEventTrigger, until: Callable[[], bool]) -> list[Any]:
    return asyncio.run(watch(trigger, until))


# One watcher


def test_each_invocation_is_one_event_and_the_trigger_never_returns(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-", 3)
    add(emulator, "other-", 3)

    found = run(trigger(), listed_again(emulator, 5))

    assert sorted(payload["invocation_id"] for payload in found) == ["job-0", "job-1", "job-2"]


def test_a_batch_is_one_event(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-", 3, "Running", "Running", "Succeeded")

    [payload] = run(trigger(mode="batch"), listed_again(emulator, 12))

    assert (payload["total"], payload["by_status"]) == (3, {"Succeeded": 3})


def test_a_listing_costs_one_request_and_asks_for_the_prefix_only(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-", 3)

    run(trigger(), listed_again(emulator, 3))

    for request in emulator.requests:
        assert request.operation == "List"
        assert request.parameters["prefix"] == "job-"


def test_a_restart_with_a_store_repeats_nothing_and_loses_nothing(emulator: FunctionComputeEmulator) -> None:
    store = Store()
    first, second = trigger(), rebuilt(trigger())
    first.asset_state_store = second.asset_state_store = store
    add(emulator, "job-", 3)
    before = run(first, listed_again(emulator, 3))
    add(emulator, "job-meanwhile-", 2)

    after = run(second, listed_again(emulator, 3))

    assert len(before) == 3
    assert sorted(payload["invocation_id"] for payload in after) == ["job-meanwhile-0", "job-meanwhile-1"]


def test_a_restart_without_a_store_repeats_and_loses_nothing(emulator: FunctionComputeEmulator) -> None:
    """Airflow 3.0 to 3.2."""
    add(emulator, "job-", 3)

    assert [len(run(trigger(), listed_again(emulator, 3))) for _ in range(2)] == [3, 3]


@pytest.fixture
def store_out_of_order(emulator: FunctionComputeEmulator) -> tuple[Store, FunctionComputeInvocationsEventTrigger]:
    store, watching = Store(), trigger()
    watching.asset_state_store = store
    store.broken = True
    add(emulator, "job-", 3)
    return store, watching


def test_what_cannot_be_kept_is_not_announced(
    emulator: FunctionComputeEmulator, store_out_of_order: tuple[Store, FunctionComputeInvocationsEventTrigger]
) -> None:
    _, watching = store_out_of_order

    assert run(watching, listed_again(emulator, 4)) == []


def test_what_could_not_be_kept_is_announced_when_it_can(
    emulator: FunctionComputeEmulator, store_out_of_order: tuple[Store, FunctionComputeInvocationsEventTrigger]
) -> None:
    store, watching = store_out_of_order

    def mended() -> bool:
        store.broken = len(emulator.requests) < 4
        return len(emulator.requests) >= 7

    assert len(run(watching, mended)) == 3


def test_nothing_is_announced_before_it_can_be_read_what_was(emulator: FunctionComputeEmulator) -> None:
    store, first, second = Store(), trigger(), trigger()
    first.asset_state_store = second.asset_state_store = store
    add(emulator, "job-", 3)
    assert len(run(first, listed_again(emulator, 3))) == 3
    add(emulator, "job-meanwhile-", 2)
    begins_at = len(emulator.requests)

    def mended() -> bool:
        store.unreadable = len(emulator.requests) < begins_at + 4
        return len(emulator.requests) >= begins_at + 7

    after = run(second, mended)

    assert sorted(payload["invocation_id"] for payload in after) == ["job-meanwhile-0", "job-meanwhile-1"]


def test_what_need_not_be_kept_any_longer_is_dropped_without_an_event(
    emulator: FunctionComputeEmulator, hasten: Callable[..., None]
) -> None:
    hasten(announcing={"kept": 1})
    store, first, second = Store(), trigger(), trigger()
    first.asset_state_store = second.asset_state_store = store
    add(emulator, "job-", 1)
    run(first, listed_again(emulator, 3))
    [key] = store.kept
    earlier = datetime.now(UTC) - timedelta(hours=2)
    old = [Invocation(f"job-old-{n}", "Succeeded", end_time=round(earlier.timestamp() * 1000) + n) for n in range(3)]
    known = AnnouncedIds.from_json(json.loads(store.kept[key])).after(map(DatedKey.of, old), earlier)
    store.kept[key] = json.dumps(known.to_json())

    assert run(second, listed_again(emulator, 3)) == []
    assert len(AnnouncedIds.from_json(json.loads(store.kept[key])).dated) < len(known.dated)


def test_pages_of_a_listing_that_began_without_a_watcher_are_not_read_by_it(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-", 3)
    add(emulator, "other-", 3)

    async def events() -> list[Any]:
        listing = FunctionComputeInvocationsEventTrigger.open_shared_stream(trigger("other-").serialize()[1])
        page = await anext(aiter(listing))
        assert page.prefix == "other-"

        async def only_page() -> AsyncIterator[WatchedPage]:
            yield page

        return [event async for event in trigger("job-").filter_shared_stream(only_page())]

    assert asyncio.run(events()) == []


def test_a_trigger_of_several_assets_keeps_what_it_has_announced_in_memory(emulator: FunctionComputeEmulator) -> None:
    needs("asset state store")
    from airflow.sdk import Asset
    from airflow.sdk.execution_time import context

    watching = trigger()
    watching.asset_state_store = context.AssetStateStoreAccessors(inlets=[Asset("one"), Asset("two")])
    add(emulator, "job-", 3)

    assert len(run(watching, listed_again(emulator, 4))) == 3


def test_modes_and_prefixes_keep_apart_what_they_have_announced(emulator: FunctionComputeEmulator) -> None:
    store = Store()
    add(emulator, "job-", 3)

    for mode, prefix in [("each", "job-"), ("batch", "job-"), ("each", "job")]:
        watching = trigger(prefix, mode)
        watching.asset_state_store = store
        run(watching, listed_again(emulator, 8))

    assert len(store.kept) == 3


FAULTS = {
    "refused": {"action": "status", "status": 403},
    "missing": {"action": "status", "status": 404, "code": "FunctionNotFound"},
    "failing": {"action": "status", "status": 503},
    "throttled": {"action": "status", "status": 429},
    "reset": {"action": "reset"},
    "malformed": {"action": "html"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_error_ends_the_watch(
    emulator: FunctionComputeEmulator,
    connection: Callable[..., str],
    fault: dict[str, Any],
) -> None:
    connection(**{**emulator.connection, "extra": {**emulator.connection["extra"], "max_attempts": 1}})
    add(emulator, "job-", 3)
    emulator.add_faults([{**fault, "times": 2}])

    assert len(run(trigger(), listed_again(emulator, 5))) == 3


def test_a_connection_that_is_missing_is_looked_for_again(
    emulator: FunctionComputeEmulator, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_FC_DEFAULT")
    add(emulator, "job-", 3)
    calls = iter(range(1_000_000))

    def defined_at_last() -> bool:
        if next(calls) == 30:
            connection(**emulator.connection)
        return len(emulator.requests) >= 3

    assert len(run(trigger(), defined_at_last)) == 3


def test_whatever_airflow_raises_does_not_end_the_watch(
    emulator: FunctionComputeEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(emulator, "job-", 3)
    errors = iter([RuntimeError("the API server is away"), KeyError("conn_id")])
    open_hook = FunctionComputeAsyncHook.__aenter__

    async def fail_twice(hook: Any) -> Any:
        if error := next(errors, None):
            raise error
        return await open_hook(hook)

    monkeypatch.setattr(FunctionComputeAsyncHook, "__aenter__", fail_twice)

    assert len(run(trigger(), listed_again(emulator, 3))) == 3


def test_keys_that_changed_in_the_connection_are_used_from_then_on(
    emulator: FunctionComputeEmulator, connection: Callable[..., str]
) -> None:
    add(emulator, "job-", 3)

    def rotated() -> bool:
        if len(emulator.requests) == 2:
            emulator.app.credentials = Credentials("new-key-id", "new-key-secret")
            connection(**{**emulator.connection, "login": "new-key-id", "password": "new-key-secret"})
        return [record.status for record in emulator.requests][-1:] == [200] and len(emulator.requests) > 4

    assert len(run(trigger(), rotated)) == 3
    assert 403 in {record.status for record in emulator.requests}


# Several watchers


async def shared(
    emulator: FunctionComputeEmulator,
    watchers: list[FunctionComputeInvocationsEventTrigger],
    until: Callable[[], bool],
    *,
    late: bool = False,
) -> list[list[Any]]:
    """What each gets through Airflow's own manager of shared streams.

    :param late: all but the first come when that one has polled.
    """
    needs("shared streams")
    import structlog
    from airflow.triggers.shared_stream import SharedStreamManager

    manager = SharedStreamManager(log=structlog.get_logger())
    found: list[list[Any]] = [[] for _ in watchers]

    async def collect(number: int, watcher: FunctionComputeInvocationsEventTrigger) -> None:
        key = watcher.shared_stream_key()
        stream = manager.subscribe(trigger_id=number, trigger=watcher, key=key)
        events: AsyncIterator[TriggerEvent] = watcher.filter_shared_stream(stream)
        try:
            async for event in events:
                found[number].append(event.payload)
        finally:
            await manager.unsubscribe(number, key)

    tasks = [asyncio.create_task(collect(0, watchers[0]))]
    while late and not emulator.requests:  # noqa: ASYNC110 - another thread answers
        await asyncio.sleep(INTERVAL / 5)
    tasks += [asyncio.create_task(collect(*each)) for each in enumerate(watchers[1:], 1)]
    while not until():
        assert not any(task.done() for task in tasks), tasks
        await asyncio.sleep(INTERVAL / 5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await manager.stop_all()
    return found


def test_watchers_of_one_function_share_each_list_call(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-a-", 3)
    add(emulator, "job-b-", 2)
    add(emulator, "zip-", 5)
    watchers = [trigger("job-a-", "batch"), trigger("job-b-", poll_interval=60)]

    batches, ends = asyncio.run(shared(emulator, watchers, listed_again(emulator, 6)))

    assert [payload["total"] for payload in batches] == [3]
    assert sorted(payload["invocation_id"] for payload in ends) == ["job-b-0", "job-b-1"]
    # One listing serves both: it asks for what their prefixes have in common, and for nothing else.
    assert {request.parameters["prefix"] for request in emulator.requests} == {"job-"}


def test_a_watcher_that_joins_a_more_patient_one_does_not_wait_as_long(
    emulator: FunctionComputeEmulator, hasten: Callable[..., None]
) -> None:
    hasten(polling={"first_spread": 0.0})
    add(emulator, "job-b-", 2)
    watchers = [trigger("job-a-", poll_interval=3600), trigger("job-b-")]

    _, ends = asyncio.run(shared(emulator, watchers, listed_again(emulator, 4), late=True))

    assert sorted(payload["invocation_id"] for payload in ends) == ["job-b-0", "job-b-1"]


def test_a_shared_listing_makes_one_request_an_interval(emulator: FunctionComputeEmulator) -> None:
    add(emulator, "job-a-", 3)
    add(emulator, "other-", 3)
    seen: list[tuple[int, float]] = []

    def fifteen_more() -> bool:
        if emulator.requests:
            seen.append((len(emulator.requests), time.monotonic()))
        return len(emulator.requests) > 15

    asyncio.run(shared(emulator, [trigger("job-a-"), trigger("other-", "batch")], fifteen_more))

    (first, began), *_, (last, ended) = seen
    assert last - first <= 1 + (ended - began) / INTERVAL


def test_watchers_of_different_functions_or_connections_do_not_share() -> None:
    def key(**more: str) -> object:
        made = {"function_name": "resize", "invocation_id_prefix": "job-", **more}
        return FunctionComputeInvocationsEventTrigger(**made).shared_stream_key()

    assert key() == key(invocation_id_prefix="other-", mode="each")
    others = [
        {"function_name": "other"},
        {"service_name": "images"},
        {"qualifier": "prod"},
        {"fc_conn_id": "fc_other"},
        {"region_id": "cn-beijing"},
    ]
    assert len({key(), *(key(**other) for other in others)}) == 1 + len(others)


# In a DAG file


def test_it_survives_serialization_unchanged() -> None:
    made = FunctionComputeInvocationsEventTrigger(function_name="resize", invocation_id_prefix="job-", mode="each")

    assert rebuilt(made).serialize() == made.serialize()


def test_an_asset_can_be_watched_with_it() -> None:
    from airflow.sdk import Asset, AssetWatcher

    if AIRFLOW.startswith(("3.0.", "3.1.")):
        from airflow.serialization import serialized_objects

        encode_asset_like = serialized_objects.encode_asset_condition  # type: ignore[attr-defined]
    else:
        from airflow.serialization.encoders import encode_asset_like

    asset = Asset("thumbnails", watchers=[AssetWatcher(name="batch", trigger=trigger(poll_interval=60))])

    encoded = encode_asset_like(asset)

    [watcher] = encoded["watchers"]
    assert watcher["trigger"]["classpath"] == f"{event_triggers.__name__}.FunctionComputeInvocationsEventTrigger"


MISTAKES = {
    "function_name": ({"function_name": ""}, "function_name"),
    "no prefix": ({"invocation_id_prefix": None}, "invocation_id_prefix: is missing"),
    "empty prefix": ({"invocation_id_prefix": ""}, "would match every invocation; give a prefix of your own$"),
    "mode": ({"mode": "all"}, "mode: 'all' is unknown; use one of batch, each"),
    "interval": ({"poll_interval": 0}, "poll_interval: 0 is too short"),
    "text": ({"poll_interval": "often"}, "poll_interval: 'often' is not a number"),
}


EVERY_PARAMETER = sorted(
    (FunctionComputeInvocationsEventTrigger.__init__.__kwdefaults__ or {})
    | {"function_name": 0, "invocation_id_prefix": 0}
)


@pytest.mark.parametrize("name", EVERY_PARAMETER)
@pytest.mark.parametrize("value", ["nightly-{{ ds }}-", "{% if a %}b{% endif %}"])
def test_a_template_is_an_import_error_of_the_dag_in_every_parameter(name: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        FunctionComputeInvocationsEventTrigger(
            **{"function_name": "resize", "invocation_id_prefix": "job-", name: value}
        )
    assert caught.value.name == name


@pytest.mark.parametrize("interval", [-5, 0, sys.maxsize, float("inf")])
def test_an_interval_that_makes_no_sense_is_named(interval: Any) -> None:
    with pytest.raises(ParameterError, match="poll_interval: "):
        trigger(poll_interval=interval)


@pytest.mark.parametrize("prefix", ["华东-", "a%b"])
def test_a_prefix_whose_meaning_ids_cannot_carry_is_refused(prefix: str) -> None:
    with pytest.raises(ParameterError, match=r"invocation_id_prefix: .* which no invocation id can"):
        trigger(prefix)


@pytest.mark.parametrize(("given", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_an_import_error_of_the_dag(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        FunctionComputeInvocationsEventTrigger(**{"function_name": "resize", "invocation_id_prefix": "job-", **given})


def test_a_run_id_makes_a_prefix() -> None:
    assert trigger("manual__2026-11-23T00:00:00+00:00", poll_interval=60).invocation_id_prefix == (
        "manual__2026-11-23T00_00_00_00_00"
    )
