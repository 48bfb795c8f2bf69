"""Each invocation is announced once, however often the listing is read."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest
from harness import FUNCTION, World
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_fc.core.announcing import (
    KEPT_FOR,
    AnnouncedIds,
    Announcer,
    BatchAnnouncer,
    DatedKey,
    EachAnnouncer,
    WatchedListing,
    WatchedPage,
)
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import ListInvocations, Page
from airflow_provider_fc.core.policies import Announcing

HOUR = 3_600_000
MINUTE = 60_000


def pages(world: World, prefix: str = "job-") -> list[WatchedPage]:
    """One listing."""
    operation = ListInvocations(world.settings.function(FUNCTION), prefix=prefix, order="asc")
    listing, found = WatchedListing(operation, world.context), []
    while not listing.done:
        found.append(world.run(listing.next_page()))
    return found


def each(world: World, known: AnnouncedIds | None = None, **policy: int) -> EachAnnouncer:
    return EachAnnouncer(world.batch(), known or AnnouncedIds(), Announcing(**policy))


def batch(world: World, known: AnnouncedIds | None = None) -> BatchAnnouncer:
    return BatchAnnouncer(world.batch(), known or AnnouncedIds(), Announcing())


def read(world: World, announcer: Announcer, found: list[WatchedPage] | None = None) -> list[dict[str, object]]:
    """What is announced after one listing, the announced ids kept each time."""
    payloads: list[dict[str, object]] = []
    for page in pages(world) if found is None else found:
        announcements = announcer.read(page, world.clock.now())
        if announcements is not None:
            announcer.has_kept(through_json(announcements.announced))
            payloads.extend(announcements.payloads)
    return payloads


def later(world: World, announcer: Announcer) -> list[dict[str, object]]:
    """The same when Airflow has had time to make a DAG run of what was announced before."""
    world.clock.sleep(Announcing.between_events)
    return read(world, announcer)


def through_json(known: AnnouncedIds) -> AnnouncedIds:
    return AnnouncedIds.from_json(json.loads(json.dumps(known.to_json())))


def ids(payloads: list[dict[str, object]]) -> list[object]:
    return [payload["invocation_id"] for payload in payloads]


# Each


def test_every_invocation_that_has_ended_is_announced_once() -> None:
    world = World()
    world.add_many(250)
    world.add("job-live", statuses=["Running"])
    announcer = each(world)

    announced = [*ids(read(world, announcer)), *ids(later(world, announcer))]

    assert sorted(map(str, announced)) == [f"job-{index:05}" for index in range(250)]
    assert later(world, announcer) == []


def test_one_of_several_is_announced_at_the_next_poll_so_that_airflow_takes_up_all_of_them() -> None:
    world = World()
    world.add_many(150)
    announcer = each(world)

    assert [len(later(world, announcer)) for _ in range(3)] == [149, 1, 0]


def test_what_is_held_back_follows_when_airflow_has_had_time() -> None:
    world = World()
    world.add_many(2)
    announcer = each(world)
    announced = []
    for _ in range(4):
        announced.append(len(read(world, announcer)))
        world.clock.sleep(Announcing.between_events / 2)

    assert announced == [1, 0, 1, 0]


def test_a_single_one_is_announced_at_once() -> None:
    world = World()
    world.add("job-1", statuses=["Succeeded"])

    assert ids(read(world, each(world))) == ["job-1"]


def test_what_is_held_back_is_announced_next_however_many_others_come() -> None:
    world = World()
    announcer = each(world)
    announced = []
    for number in range(5):
        world.add(*(f"job-{number}-{index}" for index in range(3)), statuses=["Succeeded"])
        announced.append(len(read(world, announcer)))

    assert announced == [2, 3, 3, 3, 3]


def test_one_that_ends_later_is_announced_then() -> None:
    world = World()
    world.add("job-1", timeline=[[0, "Running"], [60, "Failed"]])
    announcer = each(world)
    assert read(world, announcer) == []

    world.clock.sleep(60)

    assert ids(read(world, announcer)) == ["job-1"]


def test_an_announcement_tells_id_status_and_times_and_no_payload() -> None:
    world = World()
    world.add("job-1", timeline=[[0, "Running"], [60, "Failed"]], error_message="secret", return_payload="secret")
    world.clock.sleep(60)

    [payload] = read(world, each(world))

    assert payload == {
        "mode": "each",
        "function_name": FUNCTION,
        "invocation_id": "job-1",
        "status": "Failed",
        "request_id": payload["request_id"],
        "started_at": "2026-11-22T08:00:00.000Z",
        "ended_at": "2026-11-22T08:01:00.000Z",
    }


def test_other_ids_of_a_shared_listing_are_none_of_its_business() -> None:
    world = World()
    world.add("job-1", "jobless", "other", statuses=["Succeeded"])

    assert ids(read(world, each(world), pages(world, prefix="j"))) == ["job-1"]


def test_a_restart_with_the_kept_ids_repeats_nothing() -> None:
    world = World()
    world.add_many(3)
    before = each(world)
    announced = ids(read(world, before))
    world.add("job-new", statuses=["Succeeded"])
    after = each(world, through_json(before.announced))

    announced += [*ids(read(world, after)), *ids(later(world, after))]

    assert sorted(map(str, announced)) == ["job-00000", "job-00001", "job-00002", "job-new"]


def test_what_could_not_be_kept_is_announced_at_the_next_poll() -> None:
    world = World()
    world.add_many(3)
    announcer = each(world)
    [page] = pages(world)

    announcer.read(page, world.clock.now())

    assert len([*read(world, announcer), *later(world, announcer)]) == 3


def test_many_at_once_are_announced_over_several_polls() -> None:
    world = World()
    world.add_many(Announcing.most + 50)
    announcer = each(world)

    assert [len(later(world, announcer)) for _ in range(4)] == [Announcing.most, 49, 1, 0]


# Batch


def settled(world: World, announcer: Announcer) -> list[dict[str, object]]:
    """What two polls announce that are far enough apart."""
    first = read(world, announcer)
    world.clock.sleep(Announcing.settle)
    return [*first, *read(world, announcer)]


def test_a_batch_that_has_ended_is_announced_once_when_a_second_poll_confirms_it() -> None:
    world = World()
    world.add_many(150)
    world.add("job-bad", statuses=["Failed"])
    announcer = batch(world)
    assert read(world, announcer) == []
    world.clock.sleep(Announcing.settle - 1)
    assert read(world, announcer) == []
    world.clock.sleep(1)

    [payload] = read(world, announcer)

    assert (payload["mode"], payload["total"], payload["lost"]) == ("batch", 151, 0)
    assert payload["by_status"] == {"Failed": 1, "Succeeded": 150}
    assert payload["failed"] == ["job-bad"]
    assert settled(world, announcer) == []


@pytest.mark.parametrize("status", ["Enqueued", "Dequeued", "Running", "Retrying", "Stopping", "Migrating"])
def test_a_batch_with_an_unfinished_invocation_is_not_announced(status: str) -> None:
    world = World()
    world.add_many(3)
    world.add("job-live", statuses=["Running"])
    world.app.add_faults([{"action": "unknown_status", "status": status, "id": "job-live"}])

    assert settled(world, batch(world)) == []


def test_nothing_there_is_no_batch() -> None:
    world = World()

    assert settled(world, batch(world)) == []


def test_one_that_appears_between_the_polls_delays_the_announcement() -> None:
    world = World()
    world.add_many(3)
    announcer = batch(world)
    read(world, announcer)
    world.clock.sleep(Announcing.settle)
    world.add("job-late", statuses=["Succeeded"])
    assert read(world, announcer) == []
    world.clock.sleep(Announcing.settle)

    [payload] = read(world, announcer)

    assert payload["total"] == 4


def test_new_ids_under_a_standing_prefix_are_the_next_batch() -> None:
    world = World()
    world.add_many(3)
    announcer = batch(world)
    [first] = settled(world, announcer)
    world.add("job-next-1", "job-next-2", timeline=[[0, "Running"], [60, "Succeeded"]])
    assert settled(world, announcer) == []
    world.clock.sleep(60)

    [second] = settled(world, announcer)

    assert (first["total"], second["total"]) == (3, 2)


def test_records_that_expire_do_not_arm_it_again() -> None:
    world = World()
    world.add_many(3, disappears_after=3600)
    world.add("job-stays", statuses=["Succeeded"])
    announcer = batch(world)
    assert len(settled(world, announcer)) == 1

    world.clock.sleep(3600)

    assert settled(world, announcer) == []


def test_an_invocation_that_vanished_unfinished_is_counted_as_lost() -> None:
    world = World()
    world.add_many(3)
    world.add("job-gone", statuses=["Running"], disappears_after=60)
    announcer = batch(world)
    read(world, announcer)
    world.clock.sleep(60)

    [payload] = settled(world, announcer)

    assert (payload["total"], payload["lost"]) == (3, 1)


def test_a_batch_is_not_judged_by_the_rest_of_a_listing() -> None:
    world = World()
    world.add("job-0", statuses=["Running"])
    world.add_many(150)
    announcer = batch(world)
    _, rest = pages(world)

    for _ in range(2):
        assert announcer.read(rest, world.clock.now()) is None
        world.clock.sleep(Announcing.settle)


# The announced ids


def ended(key: str, moment: int | None) -> Invocation:
    return Invocation(invocation_id=key, status="Succeeded", end_time=moment)


def test_what_is_no_longer_kept_stays_known() -> None:
    world = World()
    now = world.clock.now()
    at = round(now.timestamp() * 1000)
    items = [ended(f"job-{index}", at - 2 * HOUR - index) for index in range(Announcing.kept + 500)]

    known = AnnouncedIds().after(map(DatedKey.of, items), now).trimmed(now, Announcing())

    assert len(known.dated) == Announcing.kept
    assert all(map(known.knows, items))
    assert len(json.dumps(known.to_json())) < 65_535


def test_the_last_hour_is_kept_one_by_one_however_much_it_was() -> None:
    world = World()
    now = world.clock.now()
    at = round(now.timestamp() * 1000)
    items = [ended(f"job-{index}", at - index) for index in range(3 * Announcing.kept)]

    known = AnnouncedIds().after(map(DatedKey.of, items), now).trimmed(now, Announcing())

    assert not known.knows(ended("job-late", at - len(items)))
    assert all(map(known.knows, items))


def test_one_without_any_time_is_known_for_eight_days() -> None:
    world = World()
    item = ended("job-1", None)
    known = AnnouncedIds().after([DatedKey.of(item)], world.clock.now())

    later = known.after([], world.clock.now() + KEPT_FOR - timedelta(seconds=1))

    assert later.knows(item)
    assert not later.knows(ended("job-2", None))
    assert not known.after([], world.clock.now() + KEPT_FOR).undated


def test_ids_that_somebody_else_has_written_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        AnnouncedIds.from_json({"watermark": "2026-11-22"})


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 3 * 24 * 60), st.booleans(), st.booleans()), max_size=12
    )
)
def test_over_any_history_each_is_announced_exactly_once(steps: list[tuple[int, int, bool, bool]]) -> None:
    """Steps: so many end, so many minutes pass, without a time or with one, and a restart."""
    world = World()
    known, announced, there = AnnouncedIds(), [], []
    for number, (how_many, minutes, undated, restart) in enumerate(steps):
        world.clock.sleep(minutes * 60)
        at = round(world.clock.now().timestamp() * 1000)
        there += [(at, ended(f"job-{number}-{index}", None if undated else at - index)) for index in range(how_many)]
        listed = [item for since, item in there if at - since < 7 * 24 * HOUR]
        fresh = [item for item in listed if not known.knows(item)]
        announced += [item.invocation_id for item in fresh]
        known = known.after(map(DatedKey.of, fresh), world.clock.now()).trimmed(world.clock.now(), Announcing())
        known = through_json(known) if restart else known

    assert announced == [item.invocation_id for _, item in there]


@given(
    lives=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 900)), min_size=1, max_size=60),
    polls=st.lists(st.integers(1, 900), max_size=8),
)
@example(lives=[(0, 900)] * 5 + [(1, 0)], polls=[])  # what begins last has ended first
def test_however_large_the_backlog_each_is_announced_exactly_once(
    lives: list[tuple[int, int]], polls: list[int]
) -> None:
    """Minutes at which each begins and for which it lasts, and between the polls; five are announced a poll."""
    world = World()
    zero = round(world.clock.now().timestamp() * 1000)
    announcer = each(world, most=5, kept=4)
    announced: list[object] = []
    for minutes in [*polls, 2000, *[1] * 30]:
        world.clock.sleep(minutes * 60)
        announced += ids(read(world, announcer, [told(lives, zero, world)]))

    assert sorted(map(str, announced)) == sorted(f"job-{index}" for index in range(len(lives)))
    assert len(announcer.announced.dated) <= 4 or not announced


def told(lives: list[tuple[int, int]], zero: int, world: World) -> WatchedPage:
    """Those that have begun, by their beginning, as a listing on one page."""
    now = round(world.clock.now().timestamp() * 1000)
    items = []
    for index, (begin, length) in enumerate(lives):
        start, end = zero + begin * MINUTE, zero + (begin + length) * MINUTE
        if start <= now:
            over = end <= now
            items.append(
                Invocation(
                    invocation_id=f"job-{index}",
                    status="Succeeded" if over else "Running",
                    started_time=start,
                    end_time=end if over else None,
                )
            )
    return WatchedPage("job-", Page(sorted(items, key=lambda item: item.started_time or 0), None, now), True)


def test_what_a_batch_lost_is_told_even_when_the_first_time_could_not_be_kept() -> None:
    world = World()
    world.add_many(3)
    world.add("job-gone", statuses=["Running"], disappears_after=60)
    announcer = batch(world)
    read(world, announcer)
    world.clock.sleep(60)
    read(world, announcer)
    world.clock.sleep(Announcing.settle)
    [page] = pages(world)
    first = announcer.read(page, world.clock.now())

    [payload] = read(world, announcer)

    assert first is not None
    assert first.payloads == (payload,)
    assert payload["lost"] == 1


def test_those_without_an_end_time_are_put_off_like_others_and_then_announced() -> None:
    world = World()
    page = WatchedPage("job-", Page([ended(f"job-{number}", None) for number in range(4)], None, None), first=True)
    announcer = each(world, most=1)

    found = []
    for _ in range(8):
        found += read(world, announcer, [page])
        world.clock.sleep(Announcing.between_events)

    assert sorted(map(str, ids(found))) == ["job-0", "job-1", "job-2", "job-3"]
