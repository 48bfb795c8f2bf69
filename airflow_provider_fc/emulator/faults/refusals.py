"""Faults that refuse: the service, or a proxy before it, says no and does nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Annotated, ClassVar

import msgspec

from airflow_provider_fc.core.http import HttpResponse
from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.faults.rule import LONGEST, Arrival, Fault, Ordinal, Refuse, RefusingFault, Seconds
from airflow_provider_fc.emulator.generations import Operation

MESSAGE = "a fault injected into the emulator"
HeaderName = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]+\Z")]
HeaderText = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]*\Z")]
_CODES = {400: "InvalidArgument", 403: "AccessDenied", 429: "ResourceExhausted", 500: "InternalServerError"}


class Status(RefusingFault, tag="status", kw_only=True):
    """An error of the service.

    :param code: by default one that goes with the status; a neutral one is spelled as the generation spells it.
    :param retry_after: seconds, or text to be sent as it is; ``retry_after_as_date`` sends the seconds as a date.
    :param x_acs_retry_after: milliseconds.
    """

    status: Annotated[int, msgspec.Meta(ge=300, le=599)]
    code: str = ""
    message: str = MESSAGE
    retry_after: Seconds | HeaderText | None = None
    retry_after_as_date: bool = False
    x_acs_retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    headers: dict[HeaderName, HeaderText] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        Fault.__post_init__(self)
        if self.retry_after_as_date and not isinstance(self.retry_after, int | float):
            raise ValueError("`retry_after_as_date` needs a number of seconds in `retry_after`")

    def refuse(self, arrival: Arrival) -> Refusal:
        headers = {name.lower(): text for name, text in self.headers.items()}
        if self.retry_after is not None:
            headers["retry-after"] = self._retry_after(self.retry_after, arrival.server_time)
        if self.x_acs_retry_after is not None:
            headers["x-acs-retry-after"] = str(self.x_acs_retry_after)
        return Refusal(self.code or default_code(self.status), self.message, status=self.status, headers=headers)

    def _retry_after(self, wish: float | str, server_time: float) -> str:
        if isinstance(wish, str):
            return wish
        if self.retry_after_as_date:
            return format_datetime(datetime.fromtimestamp(server_time + wish, UTC), usegmt=True)
        return str(int(wish) if wish == int(wish) else wish)


def default_code(status: int) -> str:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "InternalServerError"
    return _CODES.get(status) or phrase.replace(" ", "")


class Html(RefusingFault, tag="html"):
    """The page of a proxy that cannot reach the service."""

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 502

    def refuse(self, arrival: Arrival) -> Refusal:
        return Refusal("", "", status=self.status)

    def alter(self, response: HttpResponse) -> HttpResponse:
        page = f"<html><head><title>{self.status}</title></head><body><h1>{self.status}</h1><hr>proxy</body></html>"
        headers = {"content-type": "text/html", "date": response.headers["date"]}
        return HttpResponse(self.status, headers, page.encode())


class RateLimit(RefusingFault, tag="rate_limit", kw_only=True):
    """429 ResourceExhausted with Retry-After for what exceeds ``qps`` requests a second.

    :param burst: how many may come at once; by default as many as in a second.
    """

    qps: Annotated[float, msgspec.Meta(ge=1 / LONGEST, le=LONGEST)]
    burst: Ordinal | None = None

    def refuser(self) -> Refuse:
        capacity = float(self.burst or max(1, int(self.qps)))
        filled, at = capacity, 0.0

        def refuse(arrival: Arrival) -> Refusal | None:
            nonlocal filled, at
            filled = min(capacity, filled + max(0.0, arrival.now - at) * self.qps)
            at = arrival.now
            if filled > 1 - 1e-6:  # differences of epoch seconds are not exact
                filled -= 1
                return None
            wait = math.ceil((1 - filled) / self.qps)
            message = f"more than {self.qps:g} requests per second"
            return Refusal("ResourceExhausted", message, status=429, headers={"retry-after": str(wait)})

        return refuse


class ExpiredSecurityToken(RefusingFault, tag="expired_security_token"):
    """403 InvalidSecurityToken.Expired for requests with this security token, by default with any."""

    security_token: str | None = None

    def meets(self, arrival: Arrival) -> bool:
        given = arrival.security_token
        return super().meets(arrival) and given != "" and self.security_token in (None, given)

    def refuse(self, arrival: Arrival) -> Refusal:
        return Refusal("InvalidSecurityToken.Expired", "the security token has expired", status=403)


class ExpiredPageToken(RefusingFault, tag="expired_page_token"):
    """400 InvalidArgument for a List that goes on behind its first page."""

    happens_to: ClassVar[frozenset[Operation | None]] = frozenset({"List"})

    def meets(self, arrival: Arrival) -> bool:
        return super().meets(arrival) and arrival.continued

    def refuse(self, arrival: Arrival) -> Refusal:
        return Refusal("InvalidArgument", "nextToken has expired")
