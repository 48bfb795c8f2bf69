"""The connection form for Airflow before 3.2, which asks the hook for widgets instead of reading ``provider_info``."""

from __future__ import annotations

from typing import Any

from airflow_provider_fc.provider_info import get_provider_info


def ui_field_behaviour() -> dict[str, Any]:
    """Make what ``FunctionComputeHook.get_ui_field_behaviour`` returns."""
    return {name.replace("-", "_"): value for name, value in _connection_type()["ui-field-behaviour"].items()}


def connection_form_widgets() -> dict[str, Any]:
    """Make what ``FunctionComputeHook.get_connection_form_widgets`` returns; its libraries come with Airflow 2."""
    return {name: _widget(field) for name, field in _connection_type()["conn-fields"].items()}


def _connection_type() -> dict[str, Any]:
    connection_type: dict[str, Any] = get_provider_info()["connection-types"][0]
    return connection_type


def _widget(field: dict[str, Any]) -> Any:
    # They load the web server, and only Airflow 2 has them.
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    label, schema = lazy_gettext(field["label"]), field["schema"]
    options = {"description": lazy_gettext(field["description"])}
    if "boolean" in schema["type"]:
        return BooleanField(label, **options)

    options["validators"] = [Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])]
    if schema.get("format") == "password":
        return PasswordField(label, widget=BS3PasswordFieldWidget(), **options)
    # Airflow allows no decimal field: "number" is text here, and Settings reads it.
    kind = IntegerField if "integer" in schema["type"] else StringField
    return kind(label, widget=BS3TextFieldWidget(), **options)
