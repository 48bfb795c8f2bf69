"""The conversations with Function Compute as generators that ask for effects; a driver in clients/ obeys.

A flow yields :class:`Send`, :class:`Sleep` or :class:`GetCredentials` and is resumed with what came of it. Transport
errors are thrown into it. So the retrying, paging and waiting below is written once for requests and aiohttp alike.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Generator
from contextlib import closing
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from airflow_provider_fc.core.api_errors import error_from
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ApiError,
    DeadlineExceeded,
    FunctionComputeError,
    PagingError,
    UnavailableError,
)
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.invocations import Invocation
from airflow_provider_fc.core.operations import ListInvocations, Operation, Page
from airflow_provider_fc.core.policies import PRODUCTION, Policies
from airflow_provider_fc.core.settings import Settings
from airflow_provider_fc.core.signing import Credentials, sign

log = logging.getLogger(__name__)

T = TypeVar("T")


class Send(msgspec.Struct, frozen=True):
    """Send the request exactly as it is; resume with the :class:`HttpResponse`.

    :param timeout: seconds the whole exchange may take, or ``None`` for the settings' own limits.
    """

    request: HttpRequest
    timeout: float | None = None


class Sleep(msgspec.Struct, frozen=True):
    seconds: float


class GetCredentials(msgspec.Struct, frozen=True):
    """Resume with one snapshot of :class:`Credentials`.

    :param rejected: a snapshot the server has refused; the answer must not be that one if another can be had.
    """

    rejected: Credentials | None = None


Step = Send | Sleep | GetCredentials
Flow = Generator[Step, Any, T]


def drive(flow: Flow[T], obey: Callable[[Step], object]) -> T:
    """Obey a flow's steps until it returns; errors of ours that a step ends with go into the flow."""
    with closing(flow):
        try:
            step = next(flow)
            while True:
                try:
                    answer = obey(step)
                except FunctionComputeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
                    del answer  # a page's bytes must not last through the sleep that follows
        except StopIteration as stop:
            result: T = stop.value
            return result


async def drive_async(flow: Flow[T], obey: Callable[[Step], Awaitable[object]]) -> T:
    """Do the same, awaiting each step."""
    with closing(flow):
        try:
            step = next(flow)
            while True:
                try:
                    answer = await obey(step)
                except FunctionComputeError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
                    del answer  # a page's bytes must not last through the sleep that follows
        except StopIteration as stop:
            result: T = stop.value
            return result


class Context(msgspec.Struct, frozen=True):
    """What a conversation needs from outside.

    :param now: the current aware time.
    :param random: a number in [0, 1).
    :param nonce: a text never returned before.
    :param limit: after this instant nothing is sent and no answer awaited.
    :param policies: pauses, and what is put up with.
    """

    settings: Settings
    now: Callable[[], datetime]
    random: Callable[[], float]
    nonce: Callable[[], str]
    limit: datetime | None = None
    policies: Policies = PRODUCTION

    def until(self, limit: datetime | None) -> Context:
        return replace(self, limit=limit)

    def seconds_left(self) -> float | None:
        return None if self.limit is None else (self.limit - self.now()).total_seconds()


_BACKOFF_BASE = 0.5
_BACKOFF_CAP = 20.0
_SPREAD = 5.0


def call(operation: Operation[T], context: Context) -> Flow[T]:
    """Sign, send and read one operation; repeat it after transient errors where repeating is harmless.

    Each attempt is signed anew: date and nonce are good for one use.

    :raises FunctionComputeError: the last attempt's error; a permanent one at once.
    """
    rejected: Credentials | None = None
    answer_lost = False
    attempt = 1
    while True:
        credentials: Credentials | None = None
        try:
            credentials = yield GetCredentials(rejected)
            return (yield from _attempt(operation, context, credentials))
        except AlreadyExistsError as error:
            error.repeated = answer_lost
            raise
        except AccessDeniedError:
            # A token may have been refused because its time was up: one refresh, no more.
            if rejected is not None or credentials is None or credentials.expires_at is None:
                raise
            rejected = credentials
        except FunctionComputeError as error:
            if not (error.transient and operation.repeatable) or attempt >= context.settings.max_attempts:
                raise
            pause = backoff(attempt, error, context.random)
            left = context.seconds_left()
            if left is not None and left <= pause:
                raise
            log.debug("Attempt %d of %s failed, again in %.1f s: %s", attempt, operation.kind, pause, error)
            yield Sleep(pause)
            answer_lost = answer_lost or not (credentials is None or _throttled(error))
            attempt += 1


def _throttled(error: FunctionComputeError) -> bool:
    """Tell whether the server turned the request away unread; after another transient error it may have acted on it."""
    return isinstance(error, UnavailableError) and (error.status == 429 or (error.code or "").startswith("Throttling"))


def _attempt(operation: Operation[T], context: Context, credentials: Credentials) -> Flow[T]:
    left = context.seconds_left()
    api = operation.function.api
    action = api.actions[operation.kind]
    if left is not None and left <= 0:
        raise DeadlineExceeded(f"{action} was not sent: the time given for it is over")
    request = sign(
        operation.request(context.settings.origin(api)),
        credentials,
        signature=context.settings.signature_for(api),
        now=context.now(),
        nonce=context.nonce(),
        action=action,
        version=api.version,
    )
    response = yield Send(request, left)
    if not 200 <= response.status < 300:
        raise error_from(action, request, response, redact=credentials.redact, now=context.now())
    return operation.read(response)


def backoff(attempt: int, error: FunctionComputeError, random: Callable[[], float]) -> float:
    """Give the seconds to wait after a failed attempt: exponential, full jitter, on top of what the server wished."""
    wished = error.retry_after if isinstance(error, UnavailableError) else None
    if wished:
        return wished + random() * min(wished, _SPREAD)  # those who were asked to wait do not come back together
    return random() * min(_BACKOFF_CAP, _BACKOFF_BASE * 2.0 ** min(attempt, 10))


# A server that filters after paging may send many empty pages in a row: this is a million records.
_MOST_IDLE_PAGES = 10_000


class Pages:
    """The pages of one listing, first to last, one in memory at a time.

    It goes on while there is a token, over short and empty pages, and refuses a token it has seen before, and a server
    that makes up new ones for ever: a listing that does not end is worse than one that fails.
    """

    def __init__(self, operation: ListInvocations, context: Context) -> None:
        self._operation = operation
        self.context = context
        self._seen: set[bytes] = set()
        self._last_ids: list[str] = []
        self._idle_pages = 0
        self.pages = 0
        self.done = False

    def next_page(self) -> Flow[Page]:
        """Fetch the next page; afterwards :attr:`done` tells whether it was the last.

        :raises PagingError: the server repeated a token, refused one of its own, or does not come to an end.
        """
        try:
            page = yield from call(self._operation, self.context)
        except ApiError as error:
            # Everything but the token stood in the first request too, and that one was accepted.
            if self.pages and error.status == 400 and type(error) is ApiError:
                raise PagingError(f"page {self.pages + 1} of the listing was refused: {error}") from None
            raise
        self.pages += 1
        if page.next_token is None:
            self.done = True
        else:
            self._expect_progress([item.invocation_id for item in page.items])
            self._advance(page.next_token)
        return page

    def _expect_progress(self, ids: list[str]) -> None:
        self._idle_pages = self._idle_pages + 1 if ids in ([], self._last_ids) else 0
        self._last_ids = ids
        if self._idle_pages >= _MOST_IDLE_PAGES:
            raise PagingError(f"the last {self._idle_pages} pages of the listing were empty or all the same")

    def _advance(self, token: str) -> None:
        digest = blake2b(token.encode(), digest_size=8).digest()
        if digest in self._seen:
            raise PagingError(f"page {self.pages} of the listing leads back to a page already read")
        self._seen.add(digest)
        self._operation = self._operation.with_token(token)


REMEMBERED_IDS = 1000


class RecentIds:
    """Remembers the last ids seen, so that an item which moved to the next page meanwhile is not shown twice.

    :param size: at least so many; never twice as many.
    """

    def __init__(self, size: int = REMEMBERED_IDS) -> None:
        self._size = size
        self._older: set[str] = set()
        self._newer: set[str] = set()

    def pick_new(self, items: list[Invocation]) -> list[Invocation]:
        """Leave out the items that have been seen, and remember the others."""
        ids = {item.invocation_id for item in items}
        # The usual page costs a few operations on whole sets, not some for each item.
        if len(ids) < len(items) or not (ids.isdisjoint(self._newer) and ids.isdisjoint(self._older)):
            ids -= self._newer | self._older
            first_shown: dict[str, Invocation] = {}
            for item in items:
                first_shown.setdefault(item.invocation_id, item)
            items = [item for key, item in first_shown.items() if key in ids]
        self._newer |= ids
        if len(self._newer) >= self._size:
            self._older, self._newer = self._newer, set()
        return items
