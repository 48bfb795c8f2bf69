"""What can be wrong with a service: every action of a fault rule."""

from __future__ import annotations

from typing import get_args

from airflow_provider_fc.emulator.faults.contents import (
    AppearsLate,
    Disappears,
    EmptyPage,
    NullList,
    RepeatedToken,
    ShortPage,
    UnknownStatus,
)
from airflow_provider_fc.emulator.faults.refusals import ExpiredPageToken, ExpiredSecurityToken, Html, RateLimit, Status
from airflow_provider_fc.emulator.faults.rule import Fault
from airflow_provider_fc.emulator.faults.transport import (
    Close,
    Delay,
    Drip,
    LoseAnswer,
    Reset,
    ResetInBody,
    TruncatedBody,
    TruncatedJson,
    WrongClock,
)

FaultRule = (
    Status
    | Html
    | RateLimit
    | ExpiredSecurityToken
    | ExpiredPageToken
    | EmptyPage
    | ShortPage
    | RepeatedToken
    | NullList
    | UnknownStatus
    | AppearsLate
    | Disappears
    | WrongClock
    | TruncatedJson
    | Delay
    | Drip
    | Reset
    | ResetInBody
    | TruncatedBody
    | LoseAnswer
    | Close
)
ACTIONS: dict[str, type[Fault]] = {str(one.__struct_config__.tag): one for one in get_args(FaultRule)}
