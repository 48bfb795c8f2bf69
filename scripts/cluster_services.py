"""PostgreSQL and Redis from the system's packages, as processes of their own in temporary folders.

The services that the packages have set up are left alone: these have other ports, folders and settings.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
from local_airflow import HOST, Failure, Program, environment, free_port

ADVICE = "`make system-packages` installs it"
USER = "postgres"
# The data are gone after the run; what a crash of the machine would lose does not matter.
POSTGRES_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing stays if it is killed
}


class PostgreSQL(Program):
    """A PostgreSQL of its own, run by the user postgres where we are root, with the empty database ``airflow``.

    :param folder: an empty one; others must be able to reach it.
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        self.port = free_port()
        self._password = secrets.token_hex(16)
        binaries = postgres_binaries()
        data = folder / "data"
        as_user = _as_postgres(folder)
        password = folder / "password"
        password.write_text(self._password)
        password.chmod(0o644)  # for the user postgres; nobody else may enter the folder
        options = [f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        initdb = [*as_user, str(binaries / "initdb"), "--encoding=UTF8", "--locale=C.UTF-8", *options, str(data)]
        with Program("initdb", initdb, log=logs / "initdb.log", env=environment(), cwd=folder) as program:
            program.join()
        password.unlink()
        settings = {"port": str(self.port), **POSTGRES_SETTINGS}
        command = [*as_user, str(binaries / "postgres"), "-D", str(data)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        super().__init__("PostgreSQL", command, log=logs / "postgresql.log", env=environment(), cwd=folder)
        self.once_ready(self._create_database)

    def _create_database(self) -> None:
        for _ in self.ready_steps():
            self.check()
            with suppress(psycopg2.OperationalError), closing(self.connect("postgres")) as connection:
                connection.autocommit = True
                connection.cursor().execute("create database airflow")
                return

    def connect(self, database: str = "airflow") -> Any:
        return psycopg2.connect(host=HOST, port=self.port, user=USER, password=self._password, dbname=database)

    @property
    def address(self) -> str:
        return f"{USER}:{self._password}@{HOST}:{self.port}/airflow"


class Redis(Program):
    """A Redis of its own that keeps nothing on disk."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.port = free_port()
        if not (server := shutil.which("redis-server")):
            raise Failure(f"redis-server is not installed; {ADVICE}")
        options = ["--port", str(self.port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(folder)]
        super().__init__("Redis", [server, *options], log=logs / "redis.log", env=environment(), cwd=folder)
        self.once_ready(self._wait_until_ready)

    def _wait_until_ready(self) -> None:
        for _ in self.ready_steps():
            self.check()
            with suppress(OSError), socket.create_connection((HOST, self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(7) == b"+PONG\r\n":
                    return

    @property
    def address(self) -> str:
        return f"redis://{HOST}:{self.port}/0"


def postgres_binaries() -> Path:
    """Find the newest installed PostgreSQL: Debian keeps its programs off PATH.

    :raises Failure: there is none.
    """
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: float(path.parent.name))
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    raise Failure(f"PostgreSQL is not installed; {ADVICE}")


def _as_postgres(folder: Path) -> Sequence[str]:
    """How a command is run as the user postgres, who becomes the owner of the folder: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return ()
    try:
        owner = pwd.getpwnam(USER)
    except KeyError as error:
        raise Failure(f"there is no user {USER}; {ADVICE}") from error
    folder.chmod(0o700)
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    return ("setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--init-groups")
