"""Keeps invocations in an SQLite file, so that a restart finds them again."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from pathlib import Path

import msgspec

from airflow_provider_fc.emulator.invocations import Invocation

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invocations (
    service TEXT, function TEXT, id TEXT, data BLOB NOT NULL, PRIMARY KEY (service, function, id)
)
"""


class SqliteJournal:
    """A file of invocations, for one process at a time; ``state.lock`` keeps its callers apart.

    :raises ValueError: the file is not one of ours, or in use.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        try:
            self._database = _open(path)
        except sqlite3.DatabaseError as error:
            problem = "another process uses it" if error.sqlite_errorcode == sqlite3.SQLITE_BUSY else error
            raise ValueError(f"{path} cannot be the state file: {problem}; name a new file") from error

    def save(self, invocations: Collection[Invocation]) -> None:
        rows = [(one.service, one.function, one.id, msgspec.json.encode(one)) for one in invocations]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO invocations VALUES (?, ?, ?, ?)", rows)

    def load(self) -> list[Invocation]:
        try:
            rows = self._database.execute("SELECT data FROM invocations ORDER BY rowid").fetchall()
            return [msgspec.json.decode(data, type=Invocation) for (data,) in rows]
        except (sqlite3.DatabaseError, msgspec.DecodeError) as error:
            raise ValueError(f"{self._path} was written by another version: {error}; name a new file") from error

    def close(self) -> None:
        self._database.close()


def _open(path: str | Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=0, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode=EXCLUSIVE")  # held until we close it, or end
        # What was answered is on disk even if this process is killed; only a power cut may lose the last moments.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute(_SCHEMA)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
