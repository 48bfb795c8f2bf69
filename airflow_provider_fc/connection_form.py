"""The connection form for Airflow before 3.2, which asks the hook for widgets instead of reading ``provider_info``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_provider_fc.provider_info import get_provider_info


def ui_field_behaviour() -> dict[str, Any]:
    """Make what ``FunctionComputeHook.get_ui_field_behaviour`` returns.

    The port is hidden: only later versions need it, see ``provider_info.py``. The JSON of extra stands above the fields
    that are in it, half a page high. It cannot be hidden: without it the form's Test button does nothing.
    """
    behaviour = {name.replace("-", "_"): value for name, value in _connection_type()["ui-field-behaviour"].items()}
    return {
        "hidden_fields": [*behaviour["hidden_fields"], "port"],
        "relabeling": {**behaviour["relabeling"], "extra": "Extra (usually empty)"},
        "placeholders": {name: text for name, text in behaviour["placeholders"].items() if name != "port"},
    }


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
        return PasswordField(label, widget=partial(_render_secret, BS3PasswordFieldWidget), **options)
    # Airflow allows no decimal field: "number" is text here, and Settings reads it.
    kind = IntegerField if "integer" in schema["type"] else StringField
    return kind(label, widget=BS3TextFieldWidget(), **options)


STORED_SECRET = "RATHER_LONG_SENSITIVE_FIELD_PLACEHOLDER"
"""What Airflow 2 takes for "as it was" when a connection is saved (``process_form`` in ``airflow/www/views.py``)."""


def _render_secret(widget: Callable[..., Any], field: Any, **attributes: Any) -> Any:
    """Show that a secret is stored without showing it: an empty field would delete it when another one is changed."""
    is_stored = field.data and not field.raw_data  # raw: just typed, into a form that was refused
    return widget(hide_value=False)(field, value=STORED_SECRET if is_stored else "", **attributes)
