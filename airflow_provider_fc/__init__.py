"""The version of airflow-provider-fc; importing the package imports nothing else, and says where a name lives."""

__version__ = "0.1.0"

_HOMES = {
    "FunctionComputeHook": "hooks",
    "FunctionComputeAsyncHook": "hooks",
    "FunctionComputeInvocationsSensor": "sensors",
    "FunctionComputeListInvocationsOperator": "operators",
    "FunctionComputeInvokeOperator": "operators",
    "FunctionComputeStopInvocationsOperator": "operators",
    "FunctionComputeInvocationsTrigger": "triggers",
    "FunctionComputeInvocationTrigger": "triggers",
    "FunctionComputeInvocationsEventTrigger": "event_triggers",
    "FunctionComputeConsoleLink": "links",
    "FunctionComputeEmulator": "emulator.server",
    "Invocation": "invocations",
    "legal_invocation_id": "invocations",
    **dict.fromkeys(
        (
            "AccessDeniedError",
            "AlreadyCompletedError",
            "AlreadyExistsError",
            "ApiError",
            "CertificateError",
            "ConnectionNotFoundError",
            "DeadlineExceeded",
            "FunctionComputeError",
            "InvocationsFailedError",
            "InvocationsLostError",
            "MalformedBodyError",
            "NoInvocationsError",
            "NoRecordError",
            "NotFoundError",
            "PagingError",
            "ParameterError",
            "ProtocolError",
            "ResultTooLargeError",
            "SettingsError",
            "TransportError",
            "TriggerError",
            "UnavailableError",
            "WaitError",
            "WaitTimeoutError",
        ),
        "exceptions",
    ),
}


def __getattr__(name: str) -> object:
    # Offering them here would make every Airflow process that reads our metadata load what it does not need.
    if name in _HOMES:
        raise ImportError(f"{name} is in {__name__}.{_HOMES[name]}: from {__name__}.{_HOMES[name]} import {name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
