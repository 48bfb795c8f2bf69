"""Where credentials come from: static keys and STS tokens."""

from __future__ import annotations

from typing import Protocol

from airflow_provider_fc.core.errors import SettingsError
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials


class CredentialsProvider(Protocol):
    """Hands out one snapshot per request."""

    def cached(self, rejected: Credentials | None) -> Credentials | None:
        """A usable snapshot if it is at hand; never blocks."""

    def get(self, rejected: Credentials | None) -> Credentials:
        """A usable snapshot; may block to obtain one.

        :param rejected: a snapshot the server has refused.
        """


class StaticCredentials:
    """The keys that stand in the connection."""

    def __init__(self, auth: Auth) -> None:
        self._credentials = Credentials(auth.access_key_id or "", auth.access_key_secret or "", auth.security_token)

    def cached(self, rejected: Credentials | None) -> Credentials:
        return self._credentials

    def get(self, rejected: Credentials | None) -> Credentials:
        return self._credentials


def provider_for(settings: Settings) -> CredentialsProvider:
    """The provider that the connection's ``auth_type`` asks for."""
    if settings.auth.auth_type in ("access_key", "sts"):
        return StaticCredentials(settings.auth)
    raise SettingsError(
        settings.conn_id,
        [f"extra.auth_type {settings.auth.auth_type!r} is not supported yet; use access_key or sts"],
    )
