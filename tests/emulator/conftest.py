"""A Function Compute without a network and with a clock the test moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec
import pytest

from airflow_provider_fc.core.http import HttpRequest, HttpResponse
from airflow_provider_fc.core.signing import Credentials, sign
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET, FunctionComputeApp
from airflow_provider_fc.emulator.state import FunctionComputeState

ACTIONS = {
    ("GET", "stateful-async-invocations"): "ListStatefulAsyncInvocations",
    ("GET", "stateful-async-invocations/*"): "GetStatefulAsyncInvocation",
    ("PUT", "stateful-async-invocations/*"): "StopStatefulAsyncInvocation",
    ("GET", "async-tasks"): "ListAsyncTasks",
    ("GET", "async-tasks/*"): "GetAsyncTask",
    ("PUT", "async-tasks/*"): "StopAsyncTask",
    ("POST", "invocations"): "InvokeFunction",
    ("GET", "async-invoke-config"): "GetFunctionAsyncInvokeConfig",
    ("GET", "2023-03-30 async-invoke-config"): "GetAsyncInvokeConfig",
}


KEYS = Credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET)


@dataclass
class Clock:
    seconds: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds

    @property
    def ms(self) -> int:
        return int(self.seconds * 1000)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def ids(self) -> list[str]:
        """The ids of a listing, in its order."""
        if "invocations" in self.body:
            return [item["invocationId"] for item in self.body["invocations"] or []]
        return [item["taskId"] for item in self.body.get("tasks", [])]

    @property
    def statuses(self) -> dict[str, str]:
        items = self.body.get("invocations") or self.body.get("tasks") or []
        return {item.get("invocationId") or item["taskId"]: item["status"] for item in items}

    @property
    def code(self) -> str:
        return self.body.get("ErrorCode") or self.body["Code"]


@dataclass
class Client:
    """Signs what it sends, by default the way each generation's own clients do."""

    send: Callable[[HttpRequest], HttpResponse]
    clock: Clock
    credentials: Credentials = KEYS
    nonces: Any = field(default_factory=count)
    origin: str = "http://127.0.0.1:9000"

    def request(self, method: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str] = {}) -> HttpRequest:
        texts = {name: str(value) for name, value in query.items()}
        return HttpRequest(method, self.origin, path, texts, dict(headers))

    def signed(self, request: HttpRequest, signature: Any = None) -> HttpRequest:
        version, operation = request.path.split("/")[1], _operation(request.path)
        action = ACTIONS.get((request.method, f"{version} {operation}")) or ACTIONS.get((request.method, operation), "")
        return sign(
            request,
            self.credentials,
            signature=signature or ("FC" if version == "2016-08-15" else "ACS3"),
            now=datetime.fromtimestamp(self.clock(), UTC),
            nonce=f"nonce-{next(self.nonces)}",
            action=action,
            version=version,
        )

    def __call__(
        self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] = {}, **query: Any
    ) -> Answer:
        request = self.request(method, path, query, headers)
        request = HttpRequest(request.method, request.origin, request.path, request.query, request.headers, body)
        return answer(self.send(self.signed(request)))

    def list_all(self, path: str, **query: Any) -> list[str]:
        """The ids of all pages."""
        return [id for page in self.pages(path, **query) for id in page]

    def pages(self, path: str, **query: Any) -> list[list[str]]:
        """The ids of every page."""
        pages, token = [], None
        while token != "":
            page = self("GET", path, **query, **({"nextToken": token} if token else {}))
            pages.append(page.ids)
            token = page.body.get("nextToken", "")
        return pages


def answer(response: HttpResponse) -> Answer:
    body = msgspec.json.decode(response.body) if response.body else None
    return Answer(response.status, response.headers, body)


def _operation(path: str) -> str:
    tail = path.partition("/functions/")[2].split("/")[1:]
    return "/".join([*tail[:1], *("*" for _ in tail[1:2])])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> FunctionComputeState:
    return FunctionComputeState(clock=clock)


@pytest.fixture
def app(state: FunctionComputeState) -> FunctionComputeApp:
    return FunctionComputeApp(state)


@pytest.fixture
def client(app: FunctionComputeApp, clock: Clock) -> Client:
    return Client(app.handle, clock)
