"""Responses as the generations spell them."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator import tokens
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.generations import Generation
from airflow_provider_fc.emulator.invocations import InvocationView
from airflow_provider_fc.emulator.listing import Page, Query


def page(generation: Generation, page: Page, query: Query, arn: str, *, payloads: bool) -> HttpResponse:
    """Make a page of a List.

    :param arn: what the ARN of every function begins with.
    """
    items = None if page.items is None else [_item(generation, one, arn, payloads=payloads) for one in page.items]
    following = page.following
    body = {
        generation.envelope: generation.empty_list if items == [] else items,
        "nextToken": generation.last_token if following is None else tokens.encode(following, query, page.turn),
    }
    return _json(200, {key: value for key, value in body.items() if value is not ...})


def invocation(generation: Generation, shown: InvocationView, arn: str) -> HttpResponse:
    """Make the response to a Get."""
    return _json(200, _item(generation, shown, arn, payloads=True))


def task_mode(generation: Generation, *, on: bool) -> HttpResponse:
    """Make the response to a Config: what a function's asynchronous invocations are like."""
    return _json(200, {generation.task_mode_key: on, "maxAsyncRetryAttempts": 3, "createdTime": "2026-01-02T15:04:05Z"})


def error(generation: Generation, refusal: Refusal, code: str, request_id: str) -> HttpResponse:
    """Make the response to what was refused; without a code it is none of the service's, and has no body."""
    if not code:
        return HttpResponse(refusal.status)
    response = _json(
        refusal.status, dict(zip(generation.error_keys, (code, refusal.message, request_id), strict=False))
    )
    return HttpResponse(response.status, {**response.headers, **refusal.headers}, response.body)


def _item(generation: Generation, shown: InvocationView, arn: str, *, payloads: bool) -> dict[str, Any]:
    names, values = generation.with_payloads if payloads else generation.without_payloads
    item = dict(zip(names, values(shown), strict=True))
    if "functionArn" in item:
        item["functionArn"] = arn + shown.function
    return item


def _json(status: int, body: object) -> HttpResponse:
    return HttpResponse(status, {"content-type": "application/json"}, msgspec.json.encode(body))
