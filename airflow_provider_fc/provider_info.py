"""What Airflow's ProvidersManager reads: plain data; every Airflow process loads this file, so it loads nothing heavy.

Airflow 3.2 and later build the connection form from ``conn-fields`` and ``ui-field-behaviour``; for earlier ones
``connection_form.py`` turns the same entries into widgets.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_fc.core.connection_fields import CONN_TYPE, EXTRA_FIELDS, SECTIONS, STANDARD_FIELDS, Field

_INTEGRATION = "Alibaba Cloud Function Compute"


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "airflow-provider-fc",
        "name": _INTEGRATION,
        "description": "Run, watch, list and stop asynchronous tasks of Alibaba Cloud Function Compute.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.alibabacloud.com/help/en/functioncompute/",
                "tags": ["service"],
            }
        ],
        "hooks": _modules("airflow_provider_fc.hooks"),
        "operators": _modules("airflow_provider_fc.operators"),
        "sensors": _modules("airflow_provider_fc.sensors"),
        "triggers": _modules("airflow_provider_fc.triggers", "airflow_provider_fc.event_triggers"),
        "extra-links": ["airflow_provider_fc.links.FunctionComputeConsoleLink"],
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": "airflow_provider_fc.hooks.FunctionComputeHook",
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema"],
                    "relabeling": {row.name: row.label for row in STANDARD_FIELDS},
                    "placeholders": _placeholders(),
                },
                "conn-fields": {
                    row.name: _form_field(row, section) for section, rows in SECTIONS.items() for row in rows
                },
            }
        ],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": list(names)}]


_TYPES = {"boolean": "boolean", "whole": "integer", "timeout": "number"}
"""What JSON Schema calls a kind of field; all others are text."""


_PORT = "empty; 0 lets the Test button of 3.3.1 and 3.3.2 work"
"""These two refuse to test a connection without a port (apache/airflow#73298), so it has to be shown."""


def _placeholders() -> dict[str, str]:
    # Only Airflow 2 shows those of fields in extra. It has no lists to choose from, so what can be chosen stands there.
    shown = {row.name: row.placeholder or ", ".join(row.choices) for row in (*STANDARD_FIELDS, *EXTRA_FIELDS)}
    return {name: text for name, text in shown.items() if text} | {"port": _PORT}


def _form_field(row: Field, section: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [_TYPES.get(row.kind, "string"), "null"], "section": section}
    if row.choices:
        schema["enum"] = list(row.choices)
    if row.kind == "secret":
        schema["format"] = "password"
    if row.kind in ("whole", "timeout"):
        schema["minimum"] = row.at_least or 0
    return {"label": row.label, "description": row.help, "schema": schema}
