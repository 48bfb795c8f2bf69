"""What the Python runtimes of the service hand to a function as its second argument.

Source: the vendor's pages "Context" of the Python runtimes (FC 2.0; FC 3.0 for Python 3.6 to 3.10 and for 3.12), the
runtime's own class ``FCContext`` for the spellings ``requestId`` and ``accessKeyId``, and the page "Environment
variables". A function finds here what either of the two runtimes offers.
"""

from __future__ import annotations

import logging
from operator import attrgetter
from types import SimpleNamespace

import msgspec

# The longest that can be configured, since nothing here ends a function that takes too long.
TIMEOUT_SECONDS = 86_400
MEMORY_MB = 512


class RoleCredentials(msgspec.Struct, frozen=True):
    """The keys a function may use, as of the role that it would have in the cloud."""

    access_key_id: str = ""
    access_key_secret: str = ""
    security_token: str = ""

    # The runtime's own, older spellings.
    accessKeyId = property(attrgetter("access_key_id"))
    accessKeySecret = property(attrgetter("access_key_secret"))
    securityToken = property(attrgetter("security_token"))

    def __repr__(self) -> str:
        return "RoleCredentials(***)"


class Context(msgspec.Struct, frozen=True):
    """The second argument of every function.

    :param invocation_id: only here, like ``attempt`` (1 for the first execution) and the three names before: code that
        is to run in the cloud, too, takes ``function``, ``service`` and ``retry_count``.
    """

    function_name: str
    service_name: str
    qualifier: str
    invocation_id: str
    attempt: int
    request_id: str
    region: str
    account_id: str
    handler: str = ""
    credentials: RoleCredentials = RoleCredentials()

    requestId = property(attrgetter("request_id"))
    log_project = log_store = ""  # no function here has a log of its own

    @property
    def function(self) -> SimpleNamespace:
        """Describe the function; its version is that of the service in FC 2.0, and empty for LATEST."""
        return SimpleNamespace(
            name=self.function_name,
            handler=self.handler,
            memory=MEMORY_MB,
            timeout=TIMEOUT_SECONDS,
            version_id="",
            qualifier=self.qualifier,
        )

    @property
    def service(self) -> SimpleNamespace:
        """Describe the service, which has no name in FC 3.0."""
        return SimpleNamespace(
            name=self.service_name, log_project="", log_store="", qualifier=self.qualifier, version_id=""
        )

    @property
    def tracing(self) -> SimpleNamespace:
        """Describe the tracing, which is off."""
        return SimpleNamespace(span_context="", jaeger_endpoint="", span_baggages={})

    @property
    def retry_count(self) -> int:
        return self.attempt - 1

    @property
    def logger(self) -> logging.Logger:
        return logging.getLogger()

    def get_logger(self) -> logging.Logger:
        return self.logger

    @property
    def environment(self) -> dict[str, str]:
        """List the variables that the service sets for a function; those without a value are not set."""
        credentials = self.credentials
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": credentials.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": credentials.access_key_secret,
            "ALIBABA_CLOUD_SECURITY_TOKEN": credentials.security_token,
            "FC_ACCOUNT_ID": self.account_id,
            "FC_FUNCTION_HANDLER": self.handler,
            "FC_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
            "FC_FUNCTION_NAME": self.function_name,
            "FC_QUALIFIER": self.qualifier,
            "FC_REGION": self.region,
            "FC_SERVICE_NAME": self.service_name,
        }
