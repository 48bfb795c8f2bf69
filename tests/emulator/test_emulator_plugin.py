"""The fixture users load into their own tests."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_fc.emulator.pytest_plugin import function_compute_emulator, function_compute_options
from airflow_provider_fc.emulator.schema import SchemaError

__all__ = ["function_compute_emulator", "function_compute_options"]


def test_the_fixture_s_emulator_is_where_the_default_connection_leads(function_compute_emulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_FC_DEFAULT"])

    assert connection == function_compute_emulator.connection


class TestOptions:
    @pytest.fixture
    def function_compute_options(self):
        return {"region": "cn-shanghai", "functions": {"resize": {"statuses": ["Succeeded"]}}}

    def test_a_test_says_what_its_emulator_is_made_with(self, function_compute_emulator):
        assert function_compute_emulator.connection["extra"]["region_id"] == "cn-shanghai"
        assert function_compute_emulator.state.catalogue.lives.keys() == {"resize"}


MISSPELT = {
    "function": "did you mean `functions`?",
    "statefile": "did you mean `state_file`?",
    "colour": "known options: access_key_id, access_key_secret, account_id, ",
}


@pytest.mark.parametrize("option", MISSPELT)
class TestMisspeltOptions:
    @pytest.fixture
    def function_compute_options(self, option):
        return {option: "x"}

    def test_the_one_that_may_be_meant_is_named(self, option, request):
        with pytest.raises(SchemaError) as caught:
            request.getfixturevalue("function_compute_emulator")

        assert str(caught.value).startswith(f"function_compute_options has no '{option}'; {MISSPELT[option]}")
