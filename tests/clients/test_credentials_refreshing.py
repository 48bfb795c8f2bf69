"""Credentials that expire: renewed in time, once for all who ask, without ever holding up an event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from clients.kit import Client, settings_for
from harness import FUNCTION, Clock

from airflow_provider_fc.clients import credentials as module
from airflow_provider_fc.clients.aio import AsyncClient
from airflow_provider_fc.clients.credentials import RefreshingCredentials, provider_for
from airflow_provider_fc.core.batch import Batch
from airflow_provider_fc.core.errors import AccessDeniedError, SettingsError, TransportError
from airflow_provider_fc.core.flow import Flow, GetCredentials, call
from airflow_provider_fc.core.operations import GetInvocation
from airflow_provider_fc.core.outcome import Kind
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials
from airflow_provider_fc.core.wait import Schedule, Wait
from airflow_provider_fc.core.watch import watch
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

CALLERS = 200
MINUTES_15 = 900.0


@dataclass
class Issuer:
    """Hands out numbered credentials.

    :param script: what the next fetches do instead: raise this, or return this.
    :param first: called before each, where a test wants to hold a fetch up.
    """

    clock: Clock = field(default_factory=Clock)
    lifetime: float | None = MINUTES_15
    script: list[BaseException | Credentials] = field(default_factory=list)
    first: Callable[[], object] = lambda: None
    fetches: int = 0

    def __call__(self) -> Credentials:
        self.fetches += 1
        self.first()
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, BaseException):
            raise answer
        expires_at = None if self.lifetime is None else self.clock.timestamp() + self.lifetime
        return answer or Credentials(
            f"id-{self.fetches}", f"secret-{self.fetches}", f"token-{self.fetches}", expires_at
        )


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def provider(issuer: Issuer) -> RefreshingCredentials:
    return RefreshingCredentials(issuer, clock=issuer.clock.timestamp)


class Crowd:
    """Threads that all ask at the same time."""

    def __init__(self, how_many: int = CALLERS) -> None:
        self._how_many = how_many
        self._asking = 0
        self._lock = threading.Lock()
        self._all_ask = threading.Event()

    def wait_for(self) -> None:
        """Hold a fetch up until the last one asks."""
        assert self._all_ask.wait(60)

    def ask(self, ask: Callable[[], Credentials]) -> list[Any]:
        with ThreadPoolExecutor(self._how_many) as pool:
            futures = [pool.submit(self._ask, ask) for _ in range(self._how_many)]
        return [future.exception() or future.result() for future in futures]

    def _ask(self, ask: Callable[[], Credentials]) -> Credentials:
        with self._lock:
            self._asking += 1
            if self._asking == self._how_many:
                self._all_ask.set()
        return ask()


@pytest.fixture
def crowd() -> Crowd:
    return Crowd()


def asking(rejected: Credentials | None = None) -> Flow[Credentials]:
    return (yield GetCredentials(rejected))


# --- once for all -----------------------------------------------------------------------------------------------------


def test_200_threads_that_ask_at_once_cause_one_fetch(
    issuer: Issuer, provider: RefreshingCredentials, crowd: Crowd
) -> None:
    issuer.first = crowd.wait_for

    answers = crowd.ask(lambda: provider.get(None))

    assert issuer.fetches == 1
    assert len(answers) == CALLERS
    assert {answer.access_key_id for answer in answers} == {"id-1"}


def test_200_threads_that_report_the_same_refusal_cause_one_fetch(
    issuer: Issuer, provider: RefreshingCredentials, crowd: Crowd
) -> None:
    refused = provider.get(None)
    issuer.first = crowd.wait_for

    answers = crowd.ask(lambda: provider.get(refused))

    assert issuer.fetches == 2
    assert {answer.access_key_id for answer in answers} == {"id-2"}


def test_a_refusal_of_an_older_snapshot_fetches_nothing(issuer: Issuer, provider: RefreshingCredentials) -> None:
    old = provider.get(None)
    new = provider.get(old)

    assert provider.cached(old) is new
    assert provider.get(old) is new
    assert issuer.fetches == 2


def clients_of(provider: RefreshingCredentials, how_many: int) -> list[AsyncClient]:
    return [AsyncClient(settings_for("http://127.0.0.1:1"), credentials=provider) for _ in range(how_many)]


def test_200_coroutines_cause_one_fetch_while_the_loop_goes_on(issuer: Issuer, provider: RefreshingCredentials) -> None:
    beats = 0
    enough = threading.Event()
    issuer.first = lambda: enough.wait(60)  # the fetch ends only when the loop has gone on meanwhile

    async def heart() -> None:
        nonlocal beats
        while not enough.is_set():
            await asyncio.sleep(0.001)
            beats += 1
            if beats == 20:
                enough.set()

    async def main() -> list[Credentials]:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(heart())
            asked = [group.create_task(client.run(asking())) for client in clients_of(provider, CALLERS)]
        return [task.result() for task in asked]

    answers = asyncio.run(main())

    assert beats >= 20
    assert issuer.fetches == 1
    assert {answer.access_key_id for answer in answers} == {"id-1"}


def test_those_who_wait_for_a_fetch_leave_the_threads_of_the_loop_to_others(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    fetching, go_on = threading.Event(), threading.Event()
    issuer.first = lambda: (fetching.set(), go_on.wait(60))

    async def main() -> bool:
        async with asyncio.TaskGroup() as group:
            for client in clients_of(provider, 50):
                group.create_task(client.run(asking()))
            async with asyncio.timeout(5):
                in_time = await asyncio.to_thread(fetching.wait, 5) and not await asyncio.to_thread(go_on.is_set)
            go_on.set()
        return in_time

    assert asyncio.run(main())
    assert issuer.fetches == 1


def test_what_a_fetch_logs_belongs_to_the_one_that_asked(issuer: Issuer, provider: RefreshingCredentials) -> None:
    who: ContextVar[str] = ContextVar("who")
    seen: list[str] = []
    issuer.first = lambda: seen.append(who.get("nobody"))

    async def main() -> None:
        who.set("trigger 1")
        await clients_of(provider, 1)[0].run(asking())

    asyncio.run(main())

    assert seen == ["trigger 1"]


def test_nobody_waits_for_a_renewal_while_the_old_credentials_are_good(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    old = provider.get(None)
    issuer.clock.sleep(MINUTES_15 - 40)
    fetching, go_on = threading.Event(), threading.Event()
    issuer.first = lambda: (fetching.set(), go_on.wait(60))

    with ThreadPoolExecutor(1) as pool:
        renewal = pool.submit(provider.get, None)
        assert fetching.wait(60)
        assert provider.cached(None) is old
        assert provider.get(None) is old
        go_on.set()

    assert renewal.result().access_key_id == "id-2"
    assert provider.cached(None) is renewal.result()


def test_looking_at_what_is_at_hand_does_not_wait_for_a_fetch(issuer: Issuer, provider: RefreshingCredentials) -> None:
    fetching, go_on = threading.Event(), threading.Event()
    issuer.first = lambda: (fetching.set(), go_on.wait(60))

    with ThreadPoolExecutor(1) as pool:
        pool.submit(provider.get, None)
        assert fetching.wait(60)
        assert provider.cached(None) is None
        go_on.set()


def test_a_fetch_that_is_broken_off_is_taken_over_by_the_next(issuer: Issuer, provider: RefreshingCredentials) -> None:
    waiting = threading.Event()
    issuer.first = lambda: waiting.wait(60)
    issuer.script = [KeyboardInterrupt()]

    with ThreadPoolExecutor(2) as pool:
        broken = pool.submit(provider.get, None)
        other = pool.submit(provider.get, None)
        waiting.set()

    outcomes = [future.exception() or future.result() for future in (broken, other)]
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Credentials", "KeyboardInterrupt"]
    assert provider.get(None).access_key_id == "id-2"


def test_a_fetch_that_never_ends_is_given_up_after_a_while(issuer: Issuer) -> None:
    provider = RefreshingCredentials(issuer, clock=issuer.clock.timestamp, patience=0.01)
    fetching, go_on = threading.Event(), threading.Event()
    issuer.first = lambda: (fetching.set(), go_on.wait(60))

    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(provider.get, None)
        assert fetching.wait(60)
        with pytest.raises(TransportError, match="still being fetched"):
            provider.get(None)
        issuer.first = lambda: None
        assert provider.get(None).access_key_id == "id-2"
        go_on.set()

    assert stuck.result()


def in_a_fork(ask: Callable[[], object]) -> str:
    """What comes of it in a forked child."""
    read, write = os.pipe()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # Python 3.12: threads are running
        child = os.fork()
    if child == 0:
        try:
            os.write(write, str(ask()).encode())
        except BaseException as error:  # noqa: BLE001 - the parent judges it
            os.write(write, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def test_a_fork_does_not_wait_for_a_fetch_of_its_parent(issuer: Issuer) -> None:
    provider = RefreshingCredentials(issuer, clock=issuer.clock.timestamp, patience=0.1)
    fetching, go_on = threading.Event(), threading.Event()
    issuer.first = lambda: (fetching.set(), go_on.wait(60))

    def ask() -> str:
        issuer.first = lambda: None
        return provider.get(None).access_key_id

    with ThreadPoolExecutor(1) as pool:
        pool.submit(provider.get, None)
        assert fetching.wait(60)
        answer = in_a_fork(ask)
        go_on.set()

    assert answer == "id-2"


def test_a_fork_does_not_wait_for_a_lock_of_its_parent(provider: RefreshingCredentials) -> None:
    def free() -> list[bool]:
        return [lock.acquire(timeout=0) for lock in (provider._lock, module._sharing)]

    with provider._lock, module._sharing:
        answer = in_a_fork(free)

    assert answer == "[True, True]"


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lifetime", "renewed_after"), [(900, 855), (3600, 3420), (43_200, 42_900)], ids=["15 min", "1 h", "12 h"]
)
def test_credentials_are_renewed_a_little_before_they_expire(
    lifetime: float, renewed_after: float, issuer: Issuer, provider: RefreshingCredentials
) -> None:
    issuer.lifetime = lifetime
    old = provider.get(None)

    issuer.clock.sleep(renewed_after - 1)
    assert provider.cached(None) is old
    issuer.clock.sleep(1)
    assert provider.cached(None) is None
    assert provider.get(None).access_key_id == "id-2"
    assert issuer.fetches == 2


def test_keys_without_a_token_never_expire_but_are_looked_for_again(
    issuer: Issuer, provider: RefreshingCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    keys = Credentials("id", "secret")
    issuer.script = [keys, TransportError("no"), replace(keys, access_key_id="new")]

    assert provider.get(None) == keys
    issuer.clock.sleep(86_400)
    assert provider.get(None) == keys
    assert "those at hand stay in use (they do not expire): no" in caplog.text
    issuer.clock.sleep(60)
    assert provider.get(None).access_key_id == "new"


def test_a_token_without_a_known_expiry_gets_one_so_that_a_refusal_leads_to_a_new_one(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    issuer.lifetime = None

    assert provider.get(None).expires_at == issuer.clock.timestamp() + 900


def test_credentials_just_handed_out_are_used_even_if_our_clock_takes_them_for_expired(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    issuer.lifetime = -600

    fresh = provider.get(None)

    assert provider.cached(None) is fresh
    issuer.clock.sleep(60)
    assert provider.cached(None) is None


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_failed_renewal_warns_and_keeps_what_is_still_valid(
    issuer: Issuer, provider: RefreshingCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.lifetime = 3600
    old = provider.get(None)
    issuer.clock.sleep(3420)
    issuer.script = [TransportError("STS: timed out")] * 3

    for second in range(150):  # asked every second
        assert provider.get(None) is old, second
        issuer.clock.sleep(1)

    assert issuer.fetches == 1 + 3  # at once, after one minute, after two
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"Could not renew the credentials; those at hand stay in use ({left} s left): STS: timed out"
        for left in (180, 120, 60)
    ]


def test_when_the_old_credentials_have_expired_a_failed_renewal_is_an_error(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    provider.get(None)
    issuer.clock.sleep(MINUTES_15)
    issuer.script = [TransportError("STS: timed out")]

    with pytest.raises(TransportError, match="STS: timed out"):
        provider.get(None)


def test_200_threads_share_one_failure_and_each_gets_an_exception_of_its_own(
    issuer: Issuer, provider: RefreshingCredentials, crowd: Crowd
) -> None:
    original = AccessDeniedError("AssumeRole", 403, "NoPermission", "no", "request-1", hint="ask")
    original.__cause__ = ValueError("quotes a secret")
    issuer.script = [original]
    issuer.first = crowd.wait_for

    errors = crowd.ask(lambda: provider.get(None))

    assert issuer.fetches == 1
    assert len({id(error) for error in errors}) == CALLERS
    assert {type(error) for error in errors} == {AccessDeniedError}
    assert {str(error) for error in errors} == {str(original)}
    assert {error.code for error in errors} == {"NoPermission"}
    assert {error.__cause__ or error.__context__ for error in errors} == {None}


def test_while_nothing_can_be_fetched_attempts_become_rarer_up_to_one_a_minute(
    issuer: Issuer, provider: RefreshingCredentials
) -> None:
    issuer.script = [TransportError("no")] * 100
    began = issuer.clock.timestamp()
    attempts = []

    for _ in range(200):
        before = issuer.fetches
        with pytest.raises(TransportError):
            provider.get(None)
        if issuer.fetches > before:
            attempts.append(issuer.clock.timestamp() - began)
        issuer.clock.sleep(1)

    assert attempts == [0, 1, 3, 7, 15, 31, 63, 123, 183]
    issuer.script.clear()
    issuer.clock.sleep(60)
    assert provider.get(None)


def test_refused_credentials_are_not_returned_when_new_ones_cannot_be_had(
    issuer: Issuer, provider: RefreshingCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    refused = provider.get(None)
    issuer.script = [TransportError("STS: timed out")]

    with pytest.raises(TransportError, match="timed out"):
        provider.get(refused)
    assert "stay in use" not in caplog.text
    assert provider.cached(None) is refused  # others may find that they still work
    issuer.clock.sleep(1)
    assert provider.get(refused).access_key_id == "id-3"


def test_if_only_the_refused_credentials_are_handed_out_again_they_are_the_answer(
    issuer: Issuer, provider: RefreshingCredentials, crowd: Crowd
) -> None:
    refused = provider.get(None)
    issuer.script = [replace(refused, expires_at=refused.expires_at and refused.expires_at + 1)] * 2
    issuer.first = crowd.wait_for

    answers = crowd.ask(lambda: provider.get(refused))

    assert {answer.access_key_id for answer in answers} == {"id-1"}
    assert issuer.fetches == 2
    issuer.clock.sleep(60)
    provider.get(refused)
    assert issuer.fetches == 3


def test_a_clock_set_back_does_not_put_off_the_next_attempt(issuer: Issuer, provider: RefreshingCredentials) -> None:
    issuer.script = [TransportError("no")]
    with pytest.raises(TransportError):
        provider.get(None)

    issuer.clock.moment -= timedelta(hours=1)

    assert provider.get(None).access_key_id == "id-2"


# --- shared by the process --------------------------------------------------------------------------------------------

ROLE = Auth("ram_role_arn", "id", "secret", role_arn="acs:ram::1:role/airflow")


class Source:
    """Where credentials come from: every fetch yields some; its settings are noted."""

    def __init__(self) -> None:
        self.fetched: list[Settings] = []

    def __call__(self, settings: Settings) -> Callable[[], Credentials]:
        def fetch() -> Credentials:
            self.fetched.append(settings)
            return Credentials(f"id-{len(self.fetched)}", "secret", "token", 2e9)

        return fetch


@pytest.fixture
def source() -> Source:
    return Source()


def test_connections_with_the_same_role_share_its_credentials(source: Source) -> None:
    one = Settings("one", ROLE, region_id="cn-hangzhou", account_id="1")
    two = Settings("two", replace(ROLE), region_id="cn-hangzhou", endpoint="http://127.0.0.1:9000", max_attempts=1)

    assert provider_for(one, source).get(None) is provider_for(two, source).get(None)
    assert len(source.fetched) == 1


@pytest.mark.parametrize(
    "other",
    [
        Settings("fc", replace(ROLE, role_arn="acs:ram::1:role/other"), region_id="cn-hangzhou"),
        Settings("fc", replace(ROLE, access_key_secret="new"), region_id="cn-hangzhou"),
        Settings("fc", ROLE, region_id="cn-beijing"),
        Settings("fc", ROLE, region_id="cn-hangzhou", proxy="http://proxy.invalid:3128"),
    ],
    ids=["role", "rotated secret", "region", "proxy"],
)
def test_what_changes_how_credentials_are_fetched_separates_them(source: Source, other: Settings) -> None:
    provider_for(Settings("fc", ROLE, region_id="cn-hangzhou"), source).get(None)

    provider_for(other, source).get(None)

    assert len(source.fetched) == 2


def test_200_threads_that_make_providers_share_one_fetch(source: Source, crowd: Crowd) -> None:
    crowd.ask(lambda: provider_for(Settings("fc", ROLE, region_id="cn-hangzhou"), source).get(None))

    assert len(source.fetched) == 1


def test_a_process_keeps_a_bounded_number_of_them(source: Source) -> None:
    for number in range(200):
        provider_for(Settings("fc", replace(ROLE, role_session_name=f"s-{number}")), source).get(None)

    assert module._shared.cache_info().currsize == 64


def test_a_mistake_in_the_settings_is_told_with_the_name_of_the_connection_that_asks() -> None:
    def refuse() -> Credentials:
        raise SettingsError("", ["extra.role_arn is wrong"])

    for conn_id in ("one", "two"):
        with pytest.raises(SettingsError, match=f"Connection '{conn_id}'.*: extra.role_arn is wrong"):
            provider_for(Settings(conn_id, ROLE), lambda settings: refuse).get(None)


# --- a wait that outlives its tokens ----------------------------------------------------------------------------------


@dataclass
class Account:
    """A Function Compute that accepts only the token handed out last, and only until it expires."""

    issuer: Issuer
    fc: FunctionComputeEmulator

    def fetch(self) -> Credentials:
        credentials = self.issuer()
        self.hand_out(credentials)
        return credentials

    def hand_out(self, credentials: Credentials) -> None:
        self.fc.app.credentials = credentials

    def sleep(self, seconds: float) -> None:
        self.issuer.clock.sleep(seconds)
        if (self.fc.app.credentials.expires_at or 0) <= self.issuer.clock.timestamp():
            self.revoke()

    def revoke(self) -> None:
        self.fc.app.credentials = replace(self.fc.app.credentials, security_token="another")

    def connect(self, connect: Callable[..., Client]) -> tuple[Client, Settings]:
        provider = RefreshingCredentials(self.fetch, clock=self.issuer.clock.timestamp)
        client = connect(self.fc.endpoint, {"credentials": provider, "now": self.issuer.clock.now})
        return client, client.context.settings


@pytest.fixture
def account(issuer: Issuer) -> Iterator[Account]:
    with FunctionComputeEmulator(clock=issuer.clock.timestamp) as fc:
        yield Account(issuer, fc)


@pytest.fixture
def slept(account: Account) -> Any:
    """Time passes by being slept through."""

    class Sleeper:
        append = staticmethod(account.sleep)

    return Sleeper()


def test_a_wait_of_3_hours_passes_with_tokens_of_15_minutes(account: Account, connect: Callable[..., Client]) -> None:
    client, settings = account.connect(connect)
    clock = account.issuer.clock
    account.fc.add_invocations(
        [{"function": FUNCTION, "id": "job-1", "timeline": [[0, "Running"], [3 * 3600, "Succeeded"]]}]
    )
    batch = Batch.from_parameters(settings.function(FUNCTION), invocation_id_prefix="job-")
    schedule = Schedule(60.0, clock.now() + timedelta(hours=6))

    outcome = client.run(Wait(watch(batch, clock.now()), schedule, client.context).run(client.context))

    assert outcome.kind is Kind.SUCCESS
    assert clock.timestamp() - Clock().timestamp() >= 3 * 3600
    assert 11 <= account.issuer.fetches <= 13
    assert {request.status for request in account.fc.requests} == {200}  # renewed in time, never refused


def test_an_expired_token_reply_forces_exactly_one_refresh_and_one_more_attempt(
    account: Account, connect: Callable[..., Client]
) -> None:
    client, settings = account.connect(connect)
    account.fc.add_invocations([{"function": FUNCTION, "id": "job-1", "statuses": ["Running"]}])
    operation = GetInvocation.from_parameters(settings.function(FUNCTION), "job-1")
    client.run(call(operation, client.context))
    account.revoke()

    found = client.run(call(operation, client.context))

    assert found.status == "Running"
    assert [request.code for request in account.fc.requests] == ["", "InvalidSecurityToken", ""]
    assert account.issuer.fetches == 2


def test_a_token_refused_twice_is_an_error_after_one_refresh(account: Account, connect: Callable[..., Client]) -> None:
    account.hand_out = lambda credentials: None  # Function Compute never hears of them
    client, settings = account.connect(connect)

    with pytest.raises(AccessDeniedError):
        client.run(call(GetInvocation.from_parameters(settings.function(FUNCTION), "job-1"), client.context))

    assert account.issuer.fetches == 2
    assert len(account.fc.requests) == 2
