"""Which credentials a connection has, and how temporary ones are kept fresh."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NoReturn, Protocol
from weakref import WeakSet

from airflow_provider_fc.clients.role_credentials import Fetch, source_for
from airflow_provider_fc.core.errors import (
    FunctionComputeError,
    SettingsError,
    TransportError,
)
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials

log = logging.getLogger(__name__)


class CredentialsProvider(Protocol):
    """Hands out one snapshot per request."""

    def cached(self, rejected: Credentials | None) -> Credentials | None:
        """Give a usable snapshot if it is at hand; never blocks."""

    def get(self, rejected: Credentials | None) -> Credentials:
        """Give a usable snapshot; may block to obtain one.

        :param rejected: a snapshot the server has refused.
        """


def provider_for(settings: Settings, source: Callable[[Settings], Fetch] = source_for) -> CredentialsProvider:
    """Make the provider that the connection's ``auth_type`` asks for; makes no call of any kind.

    Whatever has to be fetched is shared by all clients of this process that would fetch it in the same way.

    :param source: tells how credentials are fetched.
    """
    if settings.auth.auth_type in ("access_key", "sts"):
        return StaticCredentials(settings.auth)
    # Reduced to what decides how credentials are fetched, so that connections which differ elsewhere share them.
    reduced = Settings(
        conn_id="",
        auth=settings.auth,
        region_id=settings.region_id,
        internal=settings.internal,
        connect_timeout=settings.connect_timeout,
        read_timeout=settings.read_timeout,
        proxy=settings.proxy,
    )
    with _sharing:
        return _OfConnection(settings.conn_id, _shared(reduced, source))


_sharing = threading.Lock()  # lru_cache alone may make two of a kind when two threads ask at the same time


@lru_cache(maxsize=64)
def _shared(settings: Settings, source: Callable[[Settings], Fetch]) -> RefreshingCredentials:
    return RefreshingCredentials(source(settings))


class StaticCredentials:
    """The keys that stand in the connection."""

    def __init__(self, auth: Auth) -> None:
        self._credentials = Credentials(auth.access_key_id or "", auth.access_key_secret or "", auth.security_token)

    def cached(self, rejected: Credentials | None) -> Credentials:
        return self._credentials

    def get(self, rejected: Credentials | None) -> Credentials:
        return self._credentials


class _OfConnection:
    """Shared credentials; what is wrong with the settings is said with this connection's name."""

    def __init__(self, conn_id: str, shared: RefreshingCredentials) -> None:
        self._conn_id = conn_id
        self._shared = shared

    def cached(self, rejected: Credentials | None) -> Credentials | None:
        return self._shared.cached(rejected)

    def get(self, rejected: Credentials | None) -> Credentials:
        try:
            return self._shared.get(rejected)
        except SettingsError as error:
            raise SettingsError(self._conn_id, error.problems) from None


# --- keeping them fresh -----------------------------------------------------------------------------------------------

_LONGEST_MARGIN = 300.0
"""Seconds before the expiry at which credentials are renewed, if their lifetime is long; else 5 % of it."""

_REREAD = 900.0
"""Seconds after which credentials without a known expiry are asked for again: a file may hold new ones."""

_PAUSE = 60.0
"""Seconds for which nothing is fetched again while there still is something to work with."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A snapshot and its times in epoch seconds. It is replaced as a whole, so reading it needs no lock.

    :param fresh_until: then it is renewed, but goes on being used while that fails.
    """

    credentials: Credentials
    fresh_until: float
    valid_until: float

    @classmethod
    def since(cls, now: float, credentials: Credentials) -> _Held:
        if credentials.expires_at is None:
            if credentials.security_token is None:
                return cls(credentials, now + _REREAD, float("inf"))
            credentials = replace(credentials, expires_at=now + _REREAD)
        expires_at = credentials.expires_at or 0.0
        margin = min(_LONGEST_MARGIN, 0.05 * (expires_at - now))
        # What has just been handed out is used, even if it looks expired: then our clock is ahead.
        return cls(credentials, max(expires_at - margin, now + _PAUSE), max(expires_at, now + _PAUSE))


class RefreshingCredentials:
    """Credentials that expire: renewed in time, by one caller at a time, whatever the number of those who ask.

    :param clock: epoch seconds.
    :param patience: seconds to wait for another thread's fetch; far above what its own timeouts allow.
    """

    def __init__(self, fetch: Fetch, *, clock: Callable[[], float] = time.time, patience: float = 120.0) -> None:
        self._fetch = fetch
        self._clock = clock
        self._patience = patience
        self._held: _Held | None = None
        self._error: FunctionComputeError | None = None
        self._failed_at = 0.0
        self._failures = 0
        self._nothing_better_at = float("-inf")
        self.nobody_fetches()
        _all.add(self)

    def nobody_fetches(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.Lock()  # held while something is fetched

    def cached(self, rejected: Credentials | None) -> Credentials | None:
        """See :class:`CredentialsProvider`. While somebody renews them, all others go on with the old ones."""
        return self._at_hand(rejected, being_renewed=self._lock.locked())

    def _at_hand(self, rejected: Credentials | None, *, being_renewed: bool) -> Credentials | None:
        held, now = self._held, self._clock()
        if held is None or now >= held.valid_until:
            return None
        if _same_keys(held.credentials, rejected):
            return held.credentials if 0 <= now - self._nothing_better_at < _PAUSE else None
        due = now >= held.fresh_until and not being_renewed
        return None if due and not self._failed_within(now, _PAUSE) else held.credentials

    def get(self, rejected: Credentials | None) -> Credentials:
        """See :class:`CredentialsProvider`. One caller fetches; the others wait for what comes of it, failures too."""
        lock = self._lock
        if not lock.acquire(blocking=False):
            if at_hand := self.cached(rejected):
                return at_hand
            if not lock.acquire(timeout=self._patience):
                if self._lock is lock:
                    self.nobody_fetches()  # so that the next one tries, should it never come back
                raise TransportError("credentials are still being fetched by another thread")
        try:
            return self._at_hand(rejected, being_renewed=False) or self._renew(rejected)
        finally:
            lock.release()

    def _renew(self, rejected: Credentials | None) -> Credentials:
        # Those who come right after a failure share it. Without this they would queue up, each for as long as a
        # timeout takes, in the few threads that an event loop has for this.
        if self._error and self._failed_within(self._clock(), min(_PAUSE, 2.0 ** (self._failures - 1))):
            _raise_anew(self._error)
        try:
            credentials = self._fetch()
        except FunctionComputeError as error:
            failure = self._error = error
            self._failed_at = self._clock()
            self._failures += 1
            self._warn(error, rejected)
        else:
            return self._hold(credentials, rejected)
        # Outside of the handler: the error's causes may quote secrets, and must not come along as the context.
        return self._at_hand(rejected, being_renewed=False) or _raise_anew(failure)

    def _hold(self, credentials: Credentials, rejected: Credentials | None) -> Credentials:
        now = self._clock()
        self._held = held = _Held.since(now, credentials)
        self._error, self._failures = None, 0
        if _same_keys(credentials, rejected):
            self._nothing_better_at = now
        log.debug("Fetched credentials, to be renewed in %d s", held.fresh_until - now)
        return held.credentials

    def _failed_within(self, now: float, seconds: float) -> bool:
        return self._error is not None and 0 <= now - self._failed_at < seconds

    def _warn(self, error: FunctionComputeError, rejected: Credentials | None) -> None:
        left = self._held.valid_until - self._clock() if self._held else 0.0
        if self._held and left > 0 and not _same_keys(self._held.credentials, rejected):
            validity = "they do not expire" if left == float("inf") else f"{left:.0f} s left"
            log.warning("Could not renew the credentials; those at hand stay in use (%s): %s", validity, error)


_all: WeakSet[RefreshingCredentials] = WeakSet()


def _forget_other_threads() -> None:
    """Begin anew after a fork: it copies taken locks and fetches under way, but not the threads that would end them."""
    global _sharing
    _sharing = threading.Lock()
    for each in _all:
        each.nobody_fetches()


os.register_at_fork(after_in_child=_forget_other_threads)


def _same_keys(credentials: Credentials, other: Credentials | None) -> bool:
    return other is not None and credentials.parts == other.parts


def _raise_anew(error: FunctionComputeError) -> NoReturn:
    """Raise a copy for each caller, since raising changes an exception; without its cause, which may quote secrets."""
    copy = type(error).__new__(type(error), *error.args)
    copy.__dict__.update(error.__dict__)
    raise copy
