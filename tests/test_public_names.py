"""Where users find the names they import."""

from __future__ import annotations

import importlib
import inspect

import pytest

import airflow_provider_fc
from airflow_provider_fc import exceptions, invocations
from airflow_provider_fc.core import errors


def test_every_error_has_its_public_name() -> None:
    tree = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}

    assert set(exceptions.__all__) == tree
    assert all(getattr(exceptions, name) is getattr(errors, name) for name in tree)


def test_the_status_words_are_public() -> None:
    assert {*invocations.LIVE_STATUSES, *invocations.TERMINAL_STATUSES} >= invocations.SUCCESS_STATUSES
    assert set(invocations.__all__) <= set(vars(invocations))


HOMES = {name: home for name, home in airflow_provider_fc._HOMES.items() if home != "event_triggers"}


@pytest.mark.parametrize("name", HOMES)
def test_importing_from_the_package_itself_says_where_a_name_lives(name: str) -> None:
    home = f"airflow_provider_fc.{HOMES[name]}"

    with pytest.raises(ImportError, match=f"from {home} import {name}"):
        importlib.import_module("airflow_provider_fc").__getattr__(name)
    assert hasattr(importlib.import_module(home), name)


def test_a_name_that_is_nowhere_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = airflow_provider_fc.Nothing


def test_of_each_error_the_package_itself_knows_where_it_lives() -> None:
    assert {name for name, home in HOMES.items() if home == "exceptions"} == set(exceptions.__all__)
