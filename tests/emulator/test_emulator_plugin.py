"""The fixture users load into their own tests."""

from __future__ import annotations

import json
import os

import pytest

from airflow_provider_fc.emulator.pytest_plugin import function_compute_emulator, function_compute_options

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
