"""The conversation of one call, and the pages of a listing, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import ref

import pytest
from core.conversation import START, Conversation, json_answer, refusal
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.api import function_ref
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ApiError,
    DeadlineExceeded,
    FunctionComputeError,
    MalformedBodyError,
    NotFoundError,
    PagingError,
    SettingsError,
    TransportError,
    UnavailableError,
)
from airflow_provider_fc.core.flow import (
    Context,
    Flow,
    GetCredentials,
    Pages,
    RecentIds,
    Send,
    Sleep,
    Step,
    backoff,
    call,
    drive,
    drive_async,
)
from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import GetInvocation, Invoke, ListInvocations, Page, StopInvocation
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials

FC_2 = function_ref("resize", "media")
FC_3 = function_ref("resize")
GET = GetInvocation(FC_3, "job-1")
INVOCATION = {"taskId": "job-1", "status": "Running"}
FOUND = json_answer(INVOCATION)
ACCEPTED = HttpResponse(202, {"x-fc-request-id": "request-1"})
BUSY = refusal(503, "ServiceUnavailable")
LOST = TransportError("connection reset")
EXPIRING = Credentials("STS.old", "secret", "token", expires_at=2_000_000_000.0)
RENEWED = Credentials("STS.new", "secret", "token-2", expires_at=2_000_000_000.0)

TRANSIENT = {
    "reset connection": LOST,
    "429": refusal(429, "ResourceThrottled"),
    "500": refusal(500, "InternalServerError"),
    "502 of a proxy": HttpResponse(502, {"content-type": "text/html"}, b"<html>Bad Gateway</html>"),
    "503": BUSY,
    "400 of a throttling gateway": refusal(400, "Throttling.User"),
    "nonce used, since a connection repeated our bytes": refusal(400, "SignatureNonceUsed"),
    "page of a captive portal": HttpResponse(200, {"content-type": "text/html"}, b"<html>log in</html>"),
    "truncated body": HttpResponse(200, {}, b'{"taskId": "job-1", "sta'),
}
PERMANENT = {
    "400": (refusal(400, "InvalidArgument"), ApiError),
    "401": (refusal(401), AccessDeniedError),
    "403": (refusal(403, "AccessDenied"), AccessDeniedError),
    "404": (refusal(404, "FunctionNotFound"), NotFoundError),
    "409": (refusal(409, "StatefulAsyncInvocationAlreadyExists"), AlreadyExistsError),
    "307": (HttpResponse(307, {"location": "https://elsewhere.test"}), ApiError),
}


@pytest.fixture
def talk() -> Conversation:
    return Conversation()


def cases(table: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("case", table.values(), ids=table.keys())


def with_attempts(max_attempts: int, **fields: Any) -> Conversation:
    return Conversation(Settings("fc_default", Auth(), endpoint="https://fc.test", max_attempts=max_attempts), **fields)


# One call


def test_a_call_asks_for_credentials_then_sends_and_returns_what_it_read() -> None:
    flow = call(GET, Conversation().context)

    assert next(flow) == GetCredentials(None)
    step = flow.send(Credentials("key-id", "key-secret"))
    assert isinstance(step, Send)
    assert step.request.url == "https://fc.test/2023-03-30/functions/resize/async-tasks/job-1"
    with pytest.raises(StopIteration) as stop:
        flow.send(FOUND)
    assert stop.value.value.invocation_id == "job-1"


@pytest.mark.parametrize(
    ("function", "scheme", "marks"),
    [
        (FC_2, "FC key-id:", {"date"}),
        (FC_3, "ACS3-HMAC-SHA256 Credential=key-id,", {"x-acs-action", "x-acs-version"}),
    ],
    ids=["FC 2.0", "FC 3.0"],
)
def test_each_generation_is_signed_its_own_way(talk: Conversation, function: Any, scheme: str, marks: set[str]) -> None:
    talk.answers = [json_answer({"invocationId": "job-1", "taskId": "job-1", "status": "Running"})]

    talk.run(call(GetInvocation(function, "job-1"), talk.context))

    assert talk.sent[0].headers["authorization"].startswith(scheme)
    assert marks <= talk.sent[0].headers.keys()


def test_the_connection_s_signature_overrides_the_generation_s() -> None:
    talk = Conversation(
        Settings("fc_default", Auth(), endpoint="https://fc.test", signature="ACS3"),
        answers=[json_answer({"invocationId": "job-1", "status": "Running"})],
    )

    talk.run(call(GetInvocation(FC_2, "job-1"), talk.context))

    assert talk.sent[0].headers["x-acs-action"] == "GetStatefulAsyncInvocation"
    assert talk.sent[0].headers["x-acs-version"] == "2016-08-15"


@cases(TRANSIENT)
def test_a_transient_failure_is_repeated(talk: Conversation, case: HttpResponse | Exception) -> None:
    talk.answers = [case, case, FOUND]

    assert talk.run(call(GET, talk.context)).status == "Running"
    assert len(talk.slept) == 2


def test_every_attempt_is_signed_anew(talk: Conversation) -> None:
    talk.answers, talk.seconds_per_exchange = [LOST, LOST, FOUND], 1.0

    talk.run(call(GET, talk.context))

    for name in ("x-acs-signature-nonce", "x-acs-date", "authorization"):
        assert len({request.headers[name] for request in talk.sent}) == 3, name


def test_every_fc_attempt_has_a_date_of_its_own(talk: Conversation) -> None:
    talk.luck, talk.answers = 0.9999, [BUSY, BUSY, json_answer({"invocationId": "job-1", "status": "Running"})]
    talk.seconds_per_exchange = 1.0

    talk.run(call(GetInvocation(FC_2, "job-1"), talk.context))

    assert len({request.headers["date"] for request in talk.sent}) == 3
    assert len({request.headers["authorization"] for request in talk.sent}) == 3


def test_nothing_but_the_signature_differs_between_attempts(talk: Conversation) -> None:
    talk.answers = [LOST, ACCEPTED]

    talk.run(call(Invoke(FC_3, b"payload", "job-1"), talk.context))

    first, second = talk.sent
    assert (first.method, first.url, first.body) == (second.method, second.url, second.body)
    assert first.headers.keys() == second.headers.keys()


@pytest.mark.parametrize("max_attempts", [1, 2, 4])
def test_a_call_gives_up_after_max_attempts_with_the_last_error(max_attempts: int) -> None:
    talk = with_attempts(max_attempts, answers=[BUSY] * (max_attempts - 1) + [LOST, FOUND])

    with pytest.raises(TransportError):
        talk.run(call(GET, talk.context))

    assert len(talk.sent) == max_attempts
    assert len(talk.slept) == max_attempts - 1


@cases(PERMANENT)
def test_a_permanent_refusal_is_not_repeated(talk: Conversation, case: tuple[HttpResponse, type[ApiError]]) -> None:
    answer, kind = case
    talk.answers = [answer, FOUND]

    with pytest.raises(kind) as caught:
        talk.run(call(GET, talk.context))

    assert type(caught.value) is kind
    assert len(talk.sent) == 1
    assert talk.slept == []


@cases(TRANSIENT)
@pytest.mark.parametrize(
    ("invocation_id", "sent"), [(None, 1), ("job-1", 2)], ids=["without an id: once", "with an id: again"]
)
def test_an_invocation_is_submitted_again_only_under_an_id(
    talk: Conversation, case: HttpResponse | Exception, invocation_id: str | None, sent: int
) -> None:
    talk.answers = [case, ACCEPTED]

    if invocation_id:
        assert talk.run(call(Invoke(FC_3, invocation_id=invocation_id), talk.context)).invocation_id == "job-1"
    else:
        with pytest.raises((UnavailableError, TransportError, MalformedBodyError)):
            talk.run(call(Invoke(FC_3), talk.context))

    assert len(talk.sent) == sent


def test_stopping_may_be_repeated(talk: Conversation) -> None:
    talk.answers = [LOST, HttpResponse(204)]

    talk.run(call(StopInvocation(FC_3, "job-1"), talk.context))

    assert [request.method for request in talk.sent] == ["PUT", "PUT"]


def test_an_answer_that_cannot_be_read_in_the_end_is_named(talk: Conversation) -> None:
    talk.answers = [HttpResponse(200, {}, b"<html>")] * 4

    with pytest.raises(MalformedBodyError, match="cannot be read"):
        talk.run(call(GET, talk.context))


def test_an_error_of_whoever_supplies_credentials_passes_through() -> None:
    flow = call(GET, Conversation().context)
    next(flow)

    with pytest.raises(SettingsError):
        flow.throw(SettingsError("fc_default", ["no role"]))


def test_credentials_that_cannot_be_had_for_a_moment_are_asked_for_again() -> None:
    flow = call(GET, Conversation().context)
    next(flow)

    assert isinstance(flow.throw(TransportError("sts is out of reach")), Sleep)
    assert flow.send(None) == GetCredentials(None)


def test_credentials_that_are_refused_by_whoever_hands_them_out_are_an_error_at_once() -> None:
    flow = call(GET, Conversation().context)
    next(flow)

    with pytest.raises(AccessDeniedError):
        flow.throw(AccessDeniedError("AssumeRole", 403, "NoPermission", "no", "request-1"))


def test_a_connection_without_an_address_for_the_generation_is_a_settings_error() -> None:
    talk = Conversation(Settings("fc_default", Auth(), region_id="cn-hangzhou"))

    with pytest.raises(SettingsError, match="account_id"):
        talk.run(call(GetInvocation(FC_2, "job-1"), talk.context))

    assert talk.sent == []


# A conflict: the confirmation of a lost answer, or somebody else's id


@pytest.mark.parametrize(
    ("before", "repeated"),
    [
        ([], False),
        ([LOST], True),
        ([BUSY], True),
        ([refusal(500, "InternalServerError")], True),
        ([refusal(499, "ClientClosedRequest")], True),
        ([refusal(400, "SignatureNonceUsed")], True),
        ([refusal(429, "ResourceThrottled")], False),
        ([refusal(400, "Throttling.Api")], False),
        ([refusal(429, "ResourceThrottled"), LOST], True),
        ([LOST, refusal(429, "ResourceThrottled")], True),
    ],
    ids=["first", "reset", "503", "500", "499", "nonce used", "429", "throttling", "429, reset", "reset, 429"],
)
def test_a_conflict_tells_whether_an_earlier_attempt_may_have_caused_it(
    talk: Conversation, before: list[HttpResponse | Exception], repeated: bool
) -> None:
    talk.answers = [*before, refusal(409, "AsyncTaskAlreadyExists")]

    with pytest.raises(AlreadyExistsError) as caught:
        talk.run(call(Invoke(FC_3, invocation_id="job-1"), talk.context))

    assert caught.value.repeated is repeated


def test_a_conflict_after_refused_credentials_is_somebody_else_s_id() -> None:
    talk = Conversation(
        snapshots=[EXPIRING, RENEWED],
        answers=[refusal(403, "InvalidSecurityToken"), refusal(409, "AsyncTaskAlreadyExists")],
    )

    with pytest.raises(AlreadyExistsError) as caught:
        talk.run(call(Invoke(FC_3, invocation_id="job-1"), talk.context))

    assert not caught.value.repeated


# Credentials that the server refuses


def test_refused_credentials_that_expire_are_renewed_once() -> None:
    talk = Conversation(snapshots=[EXPIRING, RENEWED], answers=[refusal(403, "InvalidSecurityToken"), FOUND])

    assert talk.run(call(GET, talk.context)).status == "Running"

    assert talk.rejected == [None, EXPIRING]
    assert talk.sent[1].headers["x-acs-security-token"] == "token-2"
    assert talk.slept == []


def test_credentials_refused_twice_are_an_error() -> None:
    talk = Conversation(snapshots=[EXPIRING, RENEWED], answers=[refusal(403, "InvalidSecurityToken")] * 3)

    with pytest.raises(AccessDeniedError):
        talk.run(call(GET, talk.context))

    assert len(talk.sent) == 2


def test_credentials_that_do_not_expire_are_not_renewed(talk: Conversation) -> None:
    talk.answers = [refusal(403, "AccessDenied"), FOUND]

    with pytest.raises(AccessDeniedError):
        talk.run(call(GET, talk.context))

    assert talk.rejected == [None]


def test_a_renewal_does_not_use_up_an_attempt() -> None:
    talk = with_attempts(2, snapshots=[EXPIRING, RENEWED], answers=[refusal(403, "InvalidSecurityToken"), BUSY, FOUND])

    assert talk.run(call(GET, talk.context)).status == "Running"


def test_refused_credentials_stay_refused_in_later_attempts() -> None:
    talk = Conversation(snapshots=[EXPIRING, RENEWED], answers=[refusal(403, "InvalidSecurityToken"), BUSY, FOUND])

    talk.run(call(GET, talk.context))

    assert talk.rejected == [None, EXPIRING, EXPIRING]


# Pauses


@given(attempt=st.integers(1, 1000), luck=st.floats(0, 1, exclude_max=True))
def test_a_pause_grows_and_stays_within_its_bounds(attempt: int, luck: float) -> None:
    pause = backoff(attempt, LOST, lambda: luck)

    assert 0 <= pause <= min(20.0, 0.5 * 2.0 ** min(attempt, 20))


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (6, 20.0), (50, 20.0)])
def test_the_longest_pause_doubles_up_to_a_cap(attempt: int, longest: float) -> None:
    assert backoff(attempt, LOST, lambda: 1.0) == longest


@pytest.mark.parametrize(
    ("headers", "pause"),
    [({"retry_after": "7"}, 9.5), ({"x_acs_retry_after": "2500"}, 3.75), ({"retry_after": "86400"}, 62.5)],
    ids=str,
)
def test_the_server_s_wish_is_honoured_with_a_spread_on_top(
    talk: Conversation, headers: dict[str, str], pause: float
) -> None:
    talk.answers = [refusal(429, "ResourceThrottled", **headers), FOUND]

    talk.run(call(GET, talk.context))

    assert talk.slept == [pause]


def test_a_wish_shorter_than_our_own_pause_does_not_shorten_it(talk: Conversation) -> None:
    talk.luck, talk.answers = 0.9, [refusal(429, "ResourceThrottled", retry_after="0"), FOUND]

    talk.run(call(GET, talk.context))

    assert talk.slept == [0.9]


# The limit


def limited(talk: Conversation, seconds: float) -> Context:
    return talk.context.until(START + timedelta(seconds=seconds))


def test_an_exchange_may_take_no_longer_than_what_is_left(talk: Conversation) -> None:
    talk.answers, talk.seconds_per_exchange = [LOST, FOUND], 2.0

    talk.run(call(GET, limited(talk, 10)))

    assert talk.timeouts == [10.0, 7.5]


def test_without_a_limit_the_settings_own_timeouts_hold(talk: Conversation) -> None:
    talk.answers = [FOUND]

    talk.run(call(GET, talk.context.until(None)))

    assert talk.timeouts == [None]
    assert talk.context.seconds_left() is None


@pytest.mark.parametrize("seconds", [0.0, -5.0])
def test_nothing_is_sent_once_the_limit_has_passed(talk: Conversation, seconds: float) -> None:
    with pytest.raises(DeadlineExceeded, match="GetAsyncTask was not sent"):
        talk.run(call(GET, limited(talk, seconds)))

    assert talk.sent == []


def test_a_pause_that_would_outlast_the_limit_is_not_begun(talk: Conversation) -> None:
    talk.answers = [refusal(429, "ResourceThrottled", retry_after="30"), FOUND]

    with pytest.raises(UnavailableError, match="ResourceThrottled"):
        talk.run(call(GET, limited(talk, 30)))

    assert talk.slept == []


def test_the_last_error_is_raised_when_time_is_up_and_not_a_new_one(talk: Conversation) -> None:
    talk.answers, talk.seconds_per_exchange = [LOST], 5.0

    with pytest.raises(TransportError, match="connection reset"):
        talk.run(call(GET, limited(talk, 5)))


# The pages of a listing


def page(number: int, token: str | None, size: int = 1) -> HttpResponse:
    tasks = [{"taskId": f"job-{number}-{index}", "status": "Running"} for index in range(size)]
    return json_answer({"tasks": tasks, **({} if token is None else {"nextToken": token})})


def read_all(talk: Conversation, operation: ListInvocations | None = None) -> list[Page]:
    pages, context = [], talk.context
    whole = Pages(operation or ListInvocations(FC_3), context)
    while not whole.done:
        pages.append(talk.run(whole.next_page()))
        assert whole.pages == len(pages)
    return pages


def tokens_sent(talk: Conversation) -> list[str | None]:
    return [request.query.get("nextToken") for request in talk.sent]


@pytest.mark.parametrize("last", [None, ""], ids=["no token", "empty token"])
def test_a_listing_ends_where_there_is_no_token(talk: Conversation, last: str | None) -> None:
    talk.answers = [page(1, "A"), page(2, "B"), page(3, last)]

    pages = read_all(talk)

    assert [item.invocation_id for one in pages for item in one.items] == ["job-1-0", "job-2-0", "job-3-0"]
    assert tokens_sent(talk) == [None, "A", "B"]


@pytest.mark.parametrize("sizes", [[0, 1], [100, 3, 100], [0, 0, 0, 1], [0, 0]], ids=str)
def test_a_short_or_empty_page_with_a_token_is_not_the_last(talk: Conversation, sizes: list[int]) -> None:
    talk.answers = [
        page(number, None if number == len(sizes) else f"token-{number}", size)
        for number, size in enumerate(sizes, start=1)
    ]

    assert [len(one.items) for one in read_all(talk)] == sizes


@pytest.mark.parametrize("envelope", [{}, {"tasks": None}, {"tasks": [], "nextToken": ""}], ids=str)
def test_no_list_at_all_is_a_page_without_items(talk: Conversation, envelope: dict[str, Any]) -> None:
    talk.answers = [json_answer(envelope)]

    assert [one.items for one in read_all(talk)] == [[]]


@pytest.mark.parametrize(
    ("tokens", "read"),
    [("AA", 2), ("ABA", 3), ("ABCA", 4), ("ABCB", 4), ("ABCC", 4)],
)
def test_a_token_seen_before_ends_the_listing_with_an_error(talk: Conversation, tokens: str, read: int) -> None:
    talk.answers = [page(number, token) for number, token in enumerate(tokens * 10)]

    with pytest.raises(PagingError, match=f"page {read} .* already read"):
        read_all(talk)

    assert len(talk.sent) == read


def test_the_same_token_in_two_listings_is_no_error(talk: Conversation) -> None:
    talk.answers = [page(1, "A"), page(2, None)] * 2

    assert [len(read_all(talk)), len(read_all(talk))] == [2, 2]


def test_a_server_that_makes_up_tokens_for_ever_is_left(talk: Conversation) -> None:
    """Each token is new, so none of them gives it away; the page is always the last one."""
    body = '{{"tasks": [{{"taskId": "job-1", "status": "Running"}}], "nextToken": "{}"}}'
    talk.answers = [HttpResponse(200, {}, body.format(number).encode()) for number in range(10_002)]

    with pytest.raises(PagingError, match="the last 10000 pages of the listing were empty or all the same"):
        read_all(talk)


def test_many_empty_pages_are_passed_over(talk: Conversation) -> None:
    talk.answers = [*(page(number, f"token-{number}", 0) for number in range(500)), page(500, None)]

    assert [len(one.items) for one in read_all(talk)] == [0] * 500 + [1]


def test_everything_but_the_token_stays_the_same_during_a_listing(talk: Conversation) -> None:
    talk.answers = [page(1, "A"), page(2, "B"), page(3, None)]
    operation = ListInvocations(
        function_ref("resize", qualifier="prod"), "job-", ("Failed",), 1, 2, "asc", include_payload=True, page_size=7
    )

    read_all(talk, operation)

    assert (
        len({frozenset(request.query.items() - {("nextToken", "A"), ("nextToken", "B")}) for request in talk.sent}) == 1
    )


@pytest.mark.parametrize(
    "token", ["MTIz/NCNh+YmM=\n", "雪", "a b&c=d%2F", "x" * 3000], ids=["base64", "雪", "&", "long"]
)
def test_a_token_goes_back_unchanged(talk: Conversation, token: str) -> None:
    talk.answers = [page(1, token), page(2, None)]

    read_all(talk)

    assert tokens_sent(talk) == [None, token]


def test_a_bad_request_on_the_first_page_is_the_caller_s_mistake(talk: Conversation) -> None:
    talk.answers = [refusal(400, "InvalidArgument")]

    with pytest.raises(ApiError) as caught:
        read_all(talk)

    assert type(caught.value) is ApiError
    assert not caught.value.transient


def test_a_bad_request_on_a_later_page_is_a_token_the_server_refuses(talk: Conversation) -> None:
    talk.answers = [page(1, "A"), refusal(400, "InvalidArgument", "nextToken has expired")]

    with pytest.raises(PagingError, match=r"page 2 of the listing was refused: .*nextToken has expired") as caught:
        read_all(talk)

    assert caught.value.transient
    assert "HTTP 400 InvalidArgument" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("InvalidTimeStamp.Expired", AccessDeniedError), ("Throttling.User", UnavailableError)],
)
def test_a_400_that_has_nothing_to_do_with_the_token_keeps_its_meaning(
    code: str, kind: type[FunctionComputeError]
) -> None:
    talk = with_attempts(1, answers=[page(1, "A"), refusal(400, code)])

    with pytest.raises(kind):
        read_all(talk)


@pytest.mark.parametrize("case", [*PERMANENT.values()][1:], ids=[*PERMANENT][1:])
def test_another_refusal_on_a_later_page_stays_what_it_is(
    talk: Conversation, case: tuple[HttpResponse, type[ApiError]]
) -> None:
    talk.answers = [page(1, "A"), case[0]]

    with pytest.raises(case[1]):
        read_all(talk)


def test_a_page_that_failed_is_asked_for_again_with_the_same_token(talk: Conversation) -> None:
    talk.answers = [page(1, "A"), BUSY, LOST, page(2, None)]

    read_all(talk)

    assert tokens_sent(talk) == [None, "A", "A", "A"]


# Helpers


def invocations(ids: Sequence[str]) -> list[Invocation]:
    return [Invocation(key, f"status {number}") for number, key in enumerate(ids)]


def test_recent_ids_know_an_id_again_within_a_page_and_on_a_later_one() -> None:
    recent = RecentIds()

    assert recent.pick_new(invocations("abacb")) == [
        Invocation("a", "status 0"),
        Invocation("b", "status 1"),
        Invocation("c", "status 3"),
    ]
    assert [item.invocation_id for item in recent.pick_new(invocations("cd"))] == ["d"]
    assert recent.pick_new(invocations("dcba")) == []
    assert recent.pick_new([]) == []


@given(st.lists(st.lists(st.sampled_from("abcdefghijklm"), max_size=5), max_size=20), st.integers(1, 6))
def test_recent_ids_remember_at_least_the_last_ones(pages: list[list[str]], size: int) -> None:
    """What is shown is new or was shown longer ago than ``size`` others; what is left out was shown before."""
    recent = RecentIds(size)
    shown: list[str] = []

    for page in pages:
        found = [item.invocation_id for item in recent.pick_new(invocations(page))]
        assert len(found) == len(set(found))
        assert not set(found) & set(shown[len(shown) - size :])
        assert set(page) - set(found) <= set(shown)
        shown += found


def test_recent_ids_take_little_memory() -> None:
    recent = RecentIds(10)

    for number in range(1000):
        recent.pick_new(invocations([f"job-{number}"]))
        assert len(recent._older) + len(recent._newer) <= 20


def test_a_step_is_a_value() -> None:
    assert Sleep(1.5) == Sleep(1.5)
    assert GetCredentials() == GetCredentials(None)


def test_the_time_left_is_measured_from_the_injected_clock() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    context = Context(Settings("c", Auth()), now=lambda: now, random=lambda: 0.0, nonce=lambda: "")

    assert context.until(now + timedelta(seconds=90)).seconds_left() == 90.0


# --- what the drivers keep --------------------------------------------------------------------------------------------


class Answer:
    """An answer that can be watched."""


def polling() -> Flow[None]:
    """Ask, forget the answer and sleep, twice."""
    for _ in range(2):
        yield GetCredentials()
        yield Sleep(10)


def awaited(flow: Flow[None], obey: Callable[[Step], object]) -> None:
    async def obeyed(step: Step) -> object:
        return obey(step)

    asyncio.run(drive_async(flow, obeyed))


@pytest.mark.parametrize("run", [drive, awaited])
def test_the_answer_before_a_sleep_is_not_kept_through_it(run: Callable[[Flow[None], Callable[[Step], object]], None]):
    answers: list[ref[Answer]] = []
    kept: list[bool] = []

    def obey(step: Step) -> object:
        if isinstance(step, Sleep):
            kept.append(answers[-1]() is not None)
            return None
        answer = Answer()
        answers.append(ref(answer))
        return answer

    run(polling(), obey)

    assert kept == [False, False]
