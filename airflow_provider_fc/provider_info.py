"""What Airflow's ProvidersManager reads: plain data; every Airflow process loads this file, so it loads nothing more.

Airflow 3.2 and later build the connection form from ``conn-fields`` and ``ui-field-behaviour``; for earlier ones
``connection_form.py`` turns the same entries into widgets.
"""

from __future__ import annotations

from typing import Any

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
                "connection-type": "alibaba_fc",
                "hook-class-name": "airflow_provider_fc.hooks.FunctionComputeHook",
                "hook-name": _INTEGRATION,
                "ui-field-behaviour": {
                    "hidden-fields": ["schema", "port"],
                    "relabeling": {"host": "Endpoint", "login": "AccessKey ID", "password": "AccessKey secret"},
                    "placeholders": {
                        "host": "empty: made from account and region; http://127.0.0.1:9000 for the emulator",
                        "login": "empty where a role or the environment provides the keys",
                        "region_id": "cn-hangzhou",
                        "account_id": "1234567890123456",
                        "role_arn": "acs:ram::1234567890123456:role/airflow",
                        "oidc_provider_arn": "acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123",
                        "oidc_token_file": "/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token",
                        "verify": "true",
                        "proxy": "http://proxy.example:3128",
                    },
                },
                "conn-fields": {
                    "region_id": _text("Region", "For example cn-hangzhou. Needed unless an endpoint is given."),
                    "account_id": _text(
                        "Account ID",
                        "Number of the primary account; part of the endpoint. FC 2.0 and VPC endpoints need it.",
                    ),
                    "internal": _field(
                        "VPC endpoint", "Use the -internal endpoint, reachable from inside a VPC.", type="boolean"
                    ),
                    "auth_type": _choice(
                        "Authentication",
                        "Where credentials come from. Empty: the AccessKey above, with the STS token if there is one.",
                        "access_key",
                        "sts",
                        "ram_role_arn",
                        "ecs_ram_role",
                        "oidc_role_arn",
                        "credentials_uri",
                        "default",
                    ),
                    "security_token": _text("STS token", "For auth_type sts.", format="password"),
                    "role_arn": _text("Role ARN", "RAM role to assume, for auth_type ram_role_arn and oidc_role_arn."),
                    "role_session_name": _text("Role session name", "Shown in the audit log of the assumed role."),
                    "external_id": _text("External ID", "If the role's trust policy asks for one."),
                    "session_duration": _field(
                        "Role session, seconds",
                        "At least 900; at most what the role allows.",
                        type="integer",
                        minimum=900,
                    ),
                    "oidc_provider_arn": _text("OIDC provider ARN", "For auth_type oidc_role_arn (RRSA)."),
                    "oidc_token_file": _text("OIDC token file", "Path on the worker and the triggerer."),
                    "ecs_role_name": _text("ECS role name", "For auth_type ecs_ram_role; empty: ask the instance."),
                    "credentials_uri": _text("Credentials URI", "For auth_type credentials_uri."),
                    "api_version": _choice(
                        "API version",
                        "Empty: 2016-08-15 where a service name is given (FC 2.0), else 2023-03-30 (FC 3.0).",
                        "2016-08-15",
                        "2021-04-06",
                        "2023-03-30",
                    ),
                    "signature": _choice("Signature", "Empty: the one that belongs to the API version.", "FC", "ACS3"),
                    "connect_timeout": _field("Connect timeout, seconds", "Default 5.", type="number", minimum=0),
                    "read_timeout": _field("Read timeout, seconds", "Default 30.", type="number", minimum=0),
                    "max_attempts": _field(
                        "Attempts", "Tries of one request, the first included. Default 4.", type="integer", minimum=1
                    ),
                    "verify": _text("Verify TLS", "true, false, or the path of a CA bundle on every Airflow host."),
                    "proxy": _text("Proxy", "URL; empty: the proxy settings of the environment."),
                },
            }
        ],
    }


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": list(names)}]


def _field(label: str, description: str, *, type: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [type, "null"], **schema}}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return _field(label, description, type="string", **schema)


def _choice(label: str, description: str, *values: str) -> dict[str, Any]:
    return _text(label, description, enum=list(values))
