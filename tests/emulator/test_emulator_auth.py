"""Which requests the emulator believes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_fc.core.signing import Credentials, sign
from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET, FunctionComputeApp

FC_2016 = "/2016-08-15/services/media/functions/resize/stateful-async-invocations"
FC_2021 = "/2021-04-06/services/media/functions/resize/stateful-async-invocations"
FC_2023 = "/2023-03-30/functions/resize/async-tasks"
MISMATCH = {FC_2016: "SignatureNotMatch", FC_2021: "SignatureNotMatch", FC_2023: "SignatureDoesNotMatch"}
GENERATIONS = pytest.mark.parametrize("path", [FC_2016, FC_2021, FC_2023])
SIGNATURES = pytest.mark.parametrize("signature", ["FC", "ACS3"])
MINUTES = 60


def with_headers(**changes):
    """A tampering that replaces headers, or with None removes them."""

    def tamper(request):
        headers = {**request.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return replace(request, headers={name: value for name, value in headers.items() if value is not None})

    return tamper


@pytest.fixture
def exchange(client):
    """Sign a request, let someone tamper with it, send it and read the answer."""

    def run(path, signature, tamper=lambda request: request, **query):
        client_send = client.send
        client.send = lambda request: client_send(tamper(request))
        signed = client.signed
        client.signed = lambda request: signed(request, signature)
        try:
            return client("GET", path, **query)
        finally:
            client.send, client.signed = client_send, signed

    return run


@GENERATIONS
@SIGNATURES
def test_either_signature_is_good_for_every_generation(exchange, path, signature):
    assert exchange(path, signature, prefix="a b*~/+é").status == 200


@GENERATIONS
@SIGNATURES
def test_a_wrong_secret_does_not_match(exchange, client, path, signature):
    client.credentials = Credentials(ACCESS_KEY_ID, "another secret")

    refused = exchange(path, signature)

    assert (refused.status, refused.code) == (403, MISMATCH[path])


@GENERATIONS
@SIGNATURES
def test_an_unknown_key_id_is_named_as_such(exchange, client, path, signature):
    client.credentials = Credentials("someone else", ACCESS_KEY_SECRET)

    refused = exchange(path, signature)

    assert (refused.status, refused.code) == (403, "InvalidAccessKeyID")


@pytest.mark.parametrize(
    ("signature", "tamper"),
    [
        ("FC", lambda request: replace(request, method="GET", path=request.path.replace("resize", "thumb"))),
        ("FC", with_headers(content_type="text/plain")),
        ("FC", with_headers(x_fc_account_id="42")),
        ("ACS3", lambda request: replace(request, path=request.path.replace("resize", "thumb"))),
        ("ACS3", lambda request: replace(request, query={"limit": "7"})),
        ("ACS3", lambda request: replace(request, body=b"event")),
        ("ACS3", with_headers(host="other.example")),
        ("ACS3", with_headers(x_acs_content_sha256="0" * 64)),
        ("ACS3", with_headers(x_acs_unsigned="1")),
    ],
)
@GENERATIONS
def test_what_was_changed_on_the_way_does_not_match(exchange, path, signature, tamper):
    refused = exchange(path, signature, tamper)

    assert (refused.status, refused.code) == (403, MISMATCH[path])


def test_the_query_is_no_part_of_the_fc_signature(exchange):
    assert exchange(FC_2016, "FC", lambda request: replace(request, query={"limit": "7"})).status == 200


def test_an_unsigned_header_may_be_added_on_the_way(exchange):
    assert exchange(FC_2023, "ACS3", with_headers(via="1.1 proxy", user_agent="something")).status == 200


def test_signed_headers_must_name_the_host(exchange):
    def tamper(request):
        unsigned = request.headers["authorization"].replace("host;", "")
        return with_headers(authorization=unsigned)(request)

    refused = exchange(FC_2023, "ACS3", tamper)

    assert refused.code == "SignatureDoesNotMatch"
    assert "host" in refused.body["Message"]


@pytest.mark.parametrize("minutes", [-16, 16])
@pytest.mark.parametrize(
    ("signature", "status", "code"), [("FC", 403, "AccessDenied"), ("ACS3", 400, "InvalidTimeStamp.Expired")]
)
def test_a_clock_more_than_fifteen_minutes_off_is_refused(exchange, clock, minutes, signature, status, code):
    def later(request):
        clock.seconds += minutes * MINUTES
        return request

    refused = exchange(FC_2023, signature, later)

    assert (refused.status, refused.code) == (status, code)
    assert "server time is 2023-11-14T2" in refused.body["Message"]


@pytest.mark.parametrize("minutes", [-15, 15])
@SIGNATURES
def test_a_clock_fifteen_minutes_off_is_good(exchange, clock, minutes, signature):
    def later(request):
        clock.seconds += minutes * MINUTES
        return request

    assert exchange(FC_2023, signature, later).status == 200


def test_a_nonce_can_be_used_once(app, client):
    request = client.signed(client.request("GET", FC_2023, {}))

    first, second = app.handle(request), app.handle(request)

    assert (first.status, second.status) == (200, 400)
    assert b"SignatureNonceUsed" in second.body


def test_old_nonces_are_forgotten(app, client, clock):
    for _ in range(5):
        client("GET", FC_2023)
    clock.seconds += 31 * MINUTES
    for _ in range(5):
        client("GET", FC_2023)

    assert len(app._verifier._nonces) == 5


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        ("FC", "date"),
        ("ACS3", "host"),
        ("ACS3", "x-acs-action"),
        ("ACS3", "x-acs-version"),
        ("ACS3", "x-acs-date"),
        ("ACS3", "x-acs-signature-nonce"),
        ("ACS3", "x-acs-content-sha256"),
        ("FC", "authorization"),
    ],
)
def test_a_missing_header_is_named(exchange, signature, name):
    refused = exchange(FC_2023, signature, with_headers(**{name.replace("-", "_"): None}))

    assert (refused.status, refused.code) == (400, "MissingRequiredHeader")
    assert name in refused.body["Message"]


@pytest.mark.parametrize(
    ("signature", "changes"),
    [
        ("FC", {"date": "yesterday"}),
        ("ACS3", {"x_acs_date": "yesterday"}),
        ("ACS3", {"x_acs_date": "2023-11-14 22:13:20"}),
        ("FC", {"authorization": "Bearer token"}),
        ("FC", {"authorization": "FC"}),
    ],
)
def test_a_malformed_header_is_an_invalid_argument(exchange, signature, changes):
    refused = exchange(FC_2023, signature, with_headers(**changes))

    assert (refused.status, refused.code) == (400, "InvalidArgument")


@pytest.mark.parametrize(("action", "version"), [("GetAsyncTask", "2023-03-30"), ("ListAsyncTasks", "2021-04-06")])
def test_a_right_signature_for_another_operation_is_refused(app, client, clock, action, version):
    now = datetime.fromtimestamp(clock(), UTC)
    request = client.request("GET", FC_2023, {})
    signed = sign(request, client.credentials, signature="ACS3", now=now, nonce="1", action=action, version=version)

    response = app.handle(signed)

    assert response.status == 404
    assert b"InvalidAction.NotFound" in response.body


TOKEN = "CAIS+sts/token=="


@pytest.mark.parametrize(("token", "status"), [(TOKEN, 200), ("another", 403), (None, 403)])
@SIGNATURES
def test_a_required_security_token_must_be_exactly_it(state, client, exchange, signature, token, status):
    client.send = FunctionComputeApp(state, security_token=TOKEN).handle
    client.credentials = Credentials(ACCESS_KEY_ID, ACCESS_KEY_SECRET, token)

    answer = exchange(FC_2023, signature)

    assert answer.status == status
    assert status == 200 or answer.code == "InvalidSecurityToken"


def test_keys_can_be_rotated(app, client):
    app.credentials = Credentials("new id", "new secret")
    old = client("GET", FC_2023)
    client.credentials = app.credentials

    assert (old.code, client("GET", FC_2023).status) == ("InvalidAccessKeyID", 200)


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        (FC_2016, {"ErrorCode", "ErrorMessage"}),
        (FC_2021, {"ErrorCode", "ErrorMessage"}),
        (FC_2023, {"Code", "Message", "RequestId"}),
    ],
)
def test_an_error_has_its_generation_s_shape(client, path, keys):
    client.credentials = Credentials("someone else", ACCESS_KEY_SECRET)

    refused = client("GET", path)

    assert refused.body.keys() == keys
    assert refused.headers["content-type"] == "application/json"
    assert refused.body.get("RequestId", refused.headers["x-fc-request-id"]) == refused.headers["x-fc-request-id"]


@GENERATIONS
def test_every_answer_has_a_request_id_of_its_own_and_the_server_s_date(client, path):
    answers = [client("GET", path), client("GET", path), client("GET", f"{path}/none")]

    assert len({one.headers["x-fc-request-id"] for one in answers}) == 3
    assert {one.headers["date"] for one in answers} == {"Tue, 14 Nov 2023 22:13:20 GMT"}


def test_no_answer_and_no_record_holds_a_secret(app, state, client):
    app.credentials = client.credentials = Credentials(ACCESS_KEY_ID, "secret-canary", "token-canary")
    state.add([{"function": "resize", "id": "job", "payload": "payload-canary"}])
    client.credentials = Credentials(ACCESS_KEY_ID, "wrong", "token-canary")
    answers = [client("GET", FC_2023)]
    client.credentials = app.credentials
    answers += [client("GET", FC_2023), client("GET", f"{FC_2023}/none")]
    client("POST", "/2023-03-30/functions/resize/invocations", body=b"payload-canary")

    assert "canary" not in repr([(one.body, one.headers) for one in answers])
    assert "canary" not in repr(list(app.requests))
    assert [(one.operation, one.status) for one in app.requests] == [
        ("List", 403),
        ("List", 200),
        ("Get", 404),
        ("Invoke", 400),
    ]
