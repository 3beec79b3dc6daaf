"""Genuine deliveries are accepted, forged ones are refused, and unreadable ones raise their own error."""

from __future__ import annotations

import base64
import hashlib
import math
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Literal

import pytest
from multidict import CIMultiDict
from starlette.datastructures import Headers as StarletteHeaders
from webhooks.rsa_keys import KeyPair

from rebyte_async.errors import (
    ConfigurationError,
    MissingSignatureError,
    RebyteError,
    SignatureMismatchError,
    TimestampToleranceError,
    WebhookPayloadError,
    WebhookVerificationError,
)
from rebyte_async.types import WebhookEventName
from rebyte_async.webhooks import SignatureScheme, SignedDelivery, WebhookEvent, WebhookVerifier, sign
from rebyte_async.webhooks._headers import Headers

SECRET = "s3cret-of-the-tests"
URL = "https://app.example.com/rebyte?tenant=7"
NOW = 1_800_000_000
PAYLOAD = {"event": "task.completed", "taskId": "t1"}
EVENT = WebhookEvent(WebhookEventName.TASK_COMPLETED, "t1", PAYLOAD)


@pytest.fixture
def both(keys: KeyPair) -> WebhookVerifier:
    """Make a verifier of secret and signature."""
    return WebhookVerifier(SECRET, keys.public)


@pytest.fixture
def genuine(keys: KeyPair) -> SignedDelivery:
    """Make a delivery with secret and signature."""
    return sign(PAYLOAD, secret=SECRET, private_key=keys.private, url=URL, now=NOW)


# --- genuine and forged ---


def test_a_genuine_delivery_is_read(both: WebhookVerifier, genuine: SignedDelivery) -> None:
    """The result has the event, the task and the whole payload."""
    event = both.verify(*genuine, url=URL, now=NOW)
    assert event == EVENT
    assert event.payload == PAYLOAD
    assert (event.is_terminal, event.event is WebhookEventName.TASK_COMPLETED) == (True, True)


@pytest.mark.parametrize("configured", ["secret", "key", "both"])
def test_all_that_is_configured_must_hold(
    keys: KeyPair, other_keys: KeyPair, genuine: SignedDelivery, configured: str
) -> None:
    """A proof that is configured must be there and be right; any other doesn't matter."""
    secret = None if configured == "key" else SECRET
    key = None if configured == "secret" else keys.public
    verifier = WebhookVerifier(secret, key)
    assert verifier.verify(*genuine, url=URL, now=NOW) == EVENT
    headers = {
        "secret": "X-Webhook-Secret",
        "key": "X-Webhook-Signature",
    }
    for part, name in headers.items():
        without = {header: value for header, value in genuine.headers.items() if header != name}
        made_by_others = sign(PAYLOAD, secret="other", private_key=other_keys.private, url=URL, now=NOW).headers
        wrong = genuine.headers | {name: made_by_others[name]}
        if configured in {part, "both"}:
            with pytest.raises(MissingSignatureError, match=name):
                verifier.verify(without, genuine.body, URL, NOW)
            with pytest.raises(SignatureMismatchError, match=name):
                verifier.verify(wrong, genuine.body, URL, NOW)
        else:
            assert verifier.verify(without, genuine.body, URL, NOW) == EVENT
            assert verifier.verify(wrong, genuine.body, URL, NOW) == EVENT


def test_several_secrets_and_keys_while_they_are_changed(keys: KeyPair, other_keys: KeyPair) -> None:
    """Each of several secrets and keys is valid; one that was removed isn't."""
    verifier = WebhookVerifier(["new", "old"], [other_keys.public, keys.public])
    for secret in ("new", "old"):
        for pair in (keys, other_keys):
            delivery = sign(PAYLOAD, secret=secret, private_key=pair.private, url=URL, now=NOW)
            assert verifier.verify(*delivery, url=URL, now=NOW) == EVENT
    with pytest.raises(SignatureMismatchError):
        WebhookVerifier("new").verify(*sign(PAYLOAD, secret="old", now=NOW), now=NOW)


@pytest.mark.parametrize("part", ["body", "url", "timestamp", "signature"])
def test_every_part_is_signed(both: WebhookVerifier, genuine: SignedDelivery, part: str) -> None:
    """A delivery with another body, URL, time or signature than the signed one is refused."""
    headers = dict(genuine.headers)
    body = genuine.body
    url = URL
    if part == "body":
        body += b" "
    elif part == "url":
        url = "https://app.example.com/other"
    elif part == "timestamp":
        headers["X-Webhook-Timestamp"] = str(NOW - 1)
    else:
        signature = headers["X-Webhook-Signature"]
        headers["X-Webhook-Signature"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    with pytest.raises(SignatureMismatchError, match="X-Webhook-Signature"):
        both.verify(headers, body, url, NOW)


@pytest.mark.parametrize("age", [301, -301, 10**9, -(10**9)])
def test_old_and_future_deliveries_are_refused(both: WebhookVerifier, genuine: SignedDelivery, age: int) -> None:
    """A time beyond the tolerance in either direction is refused, also with a secret alone; the error says how far."""
    when = f"is {abs(age)} s {'old' if age > 0 else 'in the future'}; the tolerance is 300 s"
    for verifier in (both, WebhookVerifier(SECRET)):
        with pytest.raises(TimestampToleranceError, match=when):
            verifier.verify(*genuine, url=URL, now=NOW + age)
    assert both.verify(*genuine, url=URL, now=NOW + math.copysign(300, age)) == EVENT


@pytest.mark.parametrize(("age", "when"), [(0.5, "0 s old"), (-0.5, "0 s in the future")])
def test_a_moment_may_be_too_much(genuine: SignedDelivery, age: float, when: str) -> None:
    """A tolerance may be shorter than a second."""
    with pytest.raises(TimestampToleranceError, match=f"is {when}; the tolerance is 0.1 s"):
        WebhookVerifier(SECRET, tolerance=0.1).verify(*genuine, now=NOW + age)


def test_a_verifier_says_what_it_checks(keys: KeyPair) -> None:
    """Each of the two, and by which scheme."""
    scheme = SignatureScheme(prefix="v1=")
    secret, signature = WebhookVerifier(SECRET), WebhookVerifier(public_key=keys.public, scheme=scheme)
    assert (secret.checks_secret, secret.checks_signature, secret.scheme) == (True, False, SignatureScheme())
    assert (signature.checks_secret, signature.checks_signature, signature.scheme) == (False, True, scheme)


def test_a_source_must_return_a_key(keys: KeyPair) -> None:
    """Without a key every delivery would be called forged."""
    verification = WebhookVerifier(public_key=keys.public).verification
    assert len(verification.with_keys([keys.public, keys.public]).keys) == 2
    with pytest.raises(ConfigurationError, match="the source of the public key must return a PEM, not NoneType"):
        verification.with_keys(None)


def test_the_tolerance_can_be_set(keys: KeyPair, genuine: SignedDelivery) -> None:
    """The verifier or its scheme sets the tolerance; an infinite one accepts any time."""
    with pytest.raises(TimestampToleranceError):
        WebhookVerifier(SECRET, tolerance=5).verify(*genuine, now=NOW + 6)
    with pytest.raises(TimestampToleranceError):
        WebhookVerifier(SECRET, scheme=SignatureScheme(tolerance=5)).verify(*genuine, now=NOW + 6)
    old = WebhookVerifier(SECRET, keys.public, tolerance=math.inf)
    assert old.verify(*genuine, url=URL, now=NOW + 10**9) == EVENT


@pytest.mark.parametrize(
    "stamp", ["", " ", "soon", "-1", "+5", "1e9", "0x10", "inf", "nan", "1_800_000_000", "٣", "9" * 16, "9" * 5000, "é"]
)
def test_an_unreadable_time_is_refused_where_it_is_signed(
    both: WebhookVerifier, genuine: SignedDelivery, stamp: str
) -> None:
    """A signature needs a time that can be read."""
    with pytest.raises((TimestampToleranceError, MissingSignatureError)):
        both.verify(genuine.headers | {"X-Webhook-Timestamp": stamp}, genuine.body, URL, NOW)


@pytest.mark.parametrize("stamp", [None, "", "soon", "2026-11-24T10:00:00Z", "9" * 5000])
def test_a_secret_alone_needs_no_time(genuine: SignedDelivery, stamp: str | None) -> None:
    """Without a signature, a time that is missing or can't be read doesn't matter."""
    headers = {name: value for name, value in genuine.headers.items() if name != "X-Webhook-Timestamp"}
    if stamp is not None:
        headers["X-Webhook-Timestamp"] = stamp
    assert WebhookVerifier(SECRET).verify(headers, genuine.body, now=NOW) == EVENT


def test_the_time_comes_from_the_clock_or_the_caller(genuine: SignedDelivery) -> None:
    """The time is unix seconds or an aware datetime; the clock's where none is given."""
    verifier = WebhookVerifier(SECRET, clock=lambda: NOW + 299.5)
    assert verifier.verify(*genuine) == EVENT
    assert verifier.verify(*genuine, now=datetime.fromtimestamp(NOW, UTC)) == EVENT
    with pytest.raises(TimestampToleranceError):
        verifier.verify(*genuine, now=NOW + 400.0)
    for wrong in (datetime(2026, 1, 1), math.nan, math.inf, "now", True):  # noqa: DTZ001 - naive on purpose
        with pytest.raises(ConfigurationError, match="now must be"):
            verifier.verify(*genuine, now=wrong)  # type: ignore[arg-type]
    assert WebhookVerifier(SECRET).verify(*sign(PAYLOAD, secret=SECRET)) == EVENT


# --- headers and bodies in every form ---


def _forms(headers: dict[str, str]) -> Iterator[Any]:
    yield headers
    yield {name.lower(): value for name, value in headers.items()}
    yield {name.upper(): value for name, value in headers.items()}
    yield CIMultiDict(headers)
    yield StarletteHeaders(headers)
    yield list(headers.items())
    yield [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    yield iter([[name, value] for name, value in headers.items()])
    yield [*headers.items(), *headers.items()]


def test_headers_are_read_in_every_form(both: WebhookVerifier, genuine: SignedDelivery) -> None:
    """Headers may be mappings or pairs of text or bytes, in any case; the same value twice counts once."""
    for form in _forms(genuine.headers):
        assert both.verify(form, genuine.body, URL, NOW) == EVENT


@pytest.mark.parametrize("name", ["X-Webhook-Secret", "X-Webhook-Signature", "X-Webhook-Timestamp"])
def test_a_header_that_contradicts_itself_is_refused(both: WebhookVerifier, genuine: SignedDelivery, name: str) -> None:
    """A header that occurs with the right value and another one is refused."""
    for pairs in ([*genuine.headers.items(), (name.lower(), "1")], [(name, "1"), *genuine.headers.items()]):
        with pytest.raises(SignatureMismatchError, match="different values"):
            both.verify(pairs, genuine.body, URL, NOW)


@pytest.mark.parametrize("secret", ["sécret", "Ключ", "密码 with spaces", "🔑", "a" * 500])
def test_a_secret_may_be_any_text(secret: str) -> None:
    """A secret outside of ASCII is recognized as bytes, and as aiohttp and Starlette decode it."""
    verifier = WebhookVerifier(secret)
    body = b'{"taskId":"t1"}'
    wire = secret.encode()
    for value in (wire, wire.decode(), wire.decode("latin-1"), wire.decode("utf-8", "surrogateescape")):
        pairs: Any = [(b"x-webhook-secret" if isinstance(value, bytes) else "x-webhook-secret", value)]
        assert verifier.verify(pairs, body).task_id == "t1"


@pytest.mark.parametrize("value", [b"\xff\xfe", "é", chr(0xDCFE), chr(0xD800), "🔑", "\x00", "", b"", "x" * 100_000])
def test_no_header_raises_another_error(both: WebhookVerifier, genuine: SignedDelivery, value: str | bytes) -> None:
    """Any invalid value of a header gives a WebhookVerificationError."""
    for name in ("X-Webhook-Secret", "X-Webhook-Signature", "X-Webhook-Timestamp"):
        pairs: Any = [*((key, given) for key, given in genuine.headers.items() if key != name), (name, value)]
        with pytest.raises(WebhookVerificationError):
            both.verify(pairs, genuine.body, URL, NOW)


@pytest.mark.parametrize("signature", ["AAAA", "A", "not base64!", "====", "A" * 344, "A" * 10_000, "AA AA", "-_-_"])
def test_an_invalid_signature_is_a_mismatch(both: WebhookVerifier, genuine: SignedDelivery, signature: str) -> None:
    """Bad base64 and a wrong length raise what a wrong signature raises."""
    with pytest.raises(SignatureMismatchError):
        both.verify(genuine.headers | {"X-Webhook-Signature": signature}, genuine.body, URL, NOW)


@pytest.mark.parametrize(
    "headers", [None, 5, "X-Webhook-Secret: x", b"x", [1], [("a",)], [("a", "b", "c")], [(1, "b")]]
)
def test_invalid_headers_are_the_callers_mistake(headers: Any) -> None:
    """Values that are no headers raise a ConfigurationError, not an error of the delivery."""
    with pytest.raises(ConfigurationError, match="header"):
        WebhookVerifier(SECRET).verify(headers, b"{}")
    with pytest.raises(ConfigurationError, match="value of a header"):
        WebhookVerifier(SECRET).verify({"X-Webhook-Secret": 7}, b"{}")  # type: ignore[arg-type]


@pytest.mark.parametrize("body", ["{}", {"taskId": "t1"}, None, 5])
def test_a_decoded_body_is_the_callers_mistake(body: Any) -> None:
    """A body that isn't bytes raises a ConfigurationError."""
    with pytest.raises(ConfigurationError, match="bytes as they came"):
        WebhookVerifier(SECRET).verify({"X-Webhook-Secret": SECRET}, body)


def test_a_body_may_be_any_kind_of_bytes() -> None:
    """A body may be bytes, a bytearray or a memoryview."""
    for body in (b'{"taskId":"t1"}', bytearray(b'{"taskId":"t1"}'), memoryview(b'{"taskId":"t1"}')):
        assert WebhookVerifier(SECRET).verify({"X-Webhook-Secret": SECRET}, body).task_id == "t1"  # type: ignore[arg-type]


# --- genuine, but unreadable ---

DEEP = b'{"taskId":"t1","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
UNREADABLE = {
    "empty": b"",
    "no JSON": b"taskId=t1",
    "half": b'{"taskId": "t1"',
    "two documents": b'{"taskId":"t1"}{"taskId":"t2"}',
    "an array": b'[{"taskId":"t1"}]',
    "a string": b'"t1"',
    "null": b"null",
    "a number": b"7",
    "no UTF-8": b'{"taskId":"t\xff"}',
    "UTF-16": '{"taskId":"t1"}'.encode("utf-16"),
    "deep": DEEP,
    "NaN": b'{"taskId":"t1","x":NaN}',
    "a huge number": b'{"taskId":"t1","x":' + b"9" * 10_000 + b"}",
    "no task": b'{"event":"task.completed"}',
    "a null task": b'{"taskId":null}',
    "a number as task": b'{"taskId":7}',
    "an empty task": b'{"taskId":" "}',
    "a long task": b'{"taskId":"' + b"t" * 257 + b'"}',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_genuine_delivery_is_another_error(keys: KeyPair, body: bytes) -> None:
    """A genuine body that can't be read is no verification error; the error keeps its beginning, and pickles."""
    delivery = sign(body, secret=SECRET, private_key=keys.private, url=URL, now=NOW)
    with pytest.raises(WebhookPayloadError) as caught:
        WebhookVerifier(SECRET, keys.public).verify(*delivery, url=URL, now=NOW)
    assert not isinstance(caught.value, WebhookVerificationError)
    assert caught.value.body == body[:2_000].decode(errors="replace").replace("\0", "\ufffd")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.body) == (str(caught.value), caught.value.body)


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_forged_body_is_not_read(body: bytes) -> None:
    """An unreadable body of a forged delivery is only called forged."""
    with pytest.raises(SignatureMismatchError):
        WebhookVerifier(SECRET).verify({"X-Webhook-Secret": "other"}, body)


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        ({"event": "task.created"}, WebhookEventName.TASK_CREATED),
        ({"event": "task.cancelled"}, WebhookEventName.TASK_CANCELED),
        ({"event": "task.archived"}, "task.archived"),
        ({"event": "task.archived", "status": "completed"}, "task.archived"),
        ({"status": "failed"}, WebhookEventName.TASK_FAILED),
        ({"status": "succeeded"}, WebhookEventName.TASK_COMPLETED),
        ({"status": "sleeping"}, None),
        ({"status": ["completed"]}, None),
        ({"event": {"name": "task.completed"}}, None),
        ({"event": ""}, None),
        ({}, None),
    ],
)
def test_the_event_is_found_by_name_or_status(payload: dict[str, Any], event: str | None) -> None:
    """The event is a known name, a newer name as it is, else found by the status, else None."""
    read = WebhookVerifier(SECRET).verify(*sign({"taskId": "t1", **payload}, secret=SECRET))
    assert read.event == event
    assert read.may_be_terminal == (event not in {"task.created", "task.running"})
    assert read.payload == {"taskId": "t1", **payload}


def test_halves_of_surrogate_pairs_are_replaced() -> None:
    """Strings of an event can be printed and sent; a byte order mark is skipped."""
    body = b'\xef\xbb\xbf{"taskId":"t\\ud800","event":"\\udfff"}'
    read = WebhookVerifier(SECRET).verify({"X-Webhook-Secret": SECRET}, body)
    assert (read.task_id, read.event) == ("t\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}")


# --- setting up ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "anybody could deliver"),
        ({"secret": ""}, "empty"),
        ({"secret": []}, "empty list"),
        ({"secret": ["fine", ""]}, "empty"),
        ({"secret": ["fine", 5]}, "a secret must be a string, not int"),
        ({"secret": b"bytes"}, "string"),
        ({"secret": 5}, "string"),
        ({"secret": "hush\n"}, "strip it"),
        ({"secret": "hush\nhush"}, "strip it"),
        ({"secret": "\ud800"}, "can't be sent"),
        ({"public_key": ""}, "PEM"),
        ({"public_key": []}, "empty list"),
        ({"public_key": 5}, "PEM"),
        ({"public_key": "-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----"}, "can't be read"),
        ({"public_key": base64.b64encode(b"no pem").decode()}, "PEM"),
        ({"secret": SECRET, "tolerance": 0}, "tolerance"),
        ({"secret": SECRET, "tolerance": math.nan}, "tolerance"),
        ({"secret": SECRET, "tolerance": "300"}, "tolerance"),
        ({"secret": SECRET, "tolerance": 10**400}, "tolerance"),
        ({"secret": SECRET, "scheme": "default"}, "SignatureScheme"),
    ],
)
def test_invalid_settings_are_refused(arguments: dict[str, Any], words: str) -> None:
    """A verifier with an invalid setting can't be made, and the error repeats no secret."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        WebhookVerifier(**arguments)
    assert "hush" not in str(caught.value)


def test_the_key_may_be_a_pem_or_the_base64_of_one(keys: KeyPair, genuine: SignedDelivery) -> None:
    """A key is text or bytes, a PEM or its base64, with any line ends."""
    packed = base64.encodebytes(keys.public.encode())
    for form in (keys.public, keys.public.encode(), packed, packed.decode(), keys.public.replace("\n", "\r\n")):
        assert WebhookVerifier(public_key=form).verify(*genuine, url=URL, now=NOW) == EVENT
    with pytest.raises(ConfigurationError, match="or the base64 of one"):
        WebhookVerifier(public_key=b"*" + packed)


def test_a_key_of_another_kind_is_refused() -> None:
    """A key that isn't RSA's is refused."""
    pem = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519"], check=True, capture_output=True
    ).stdout  # fmt: skip
    public = subprocess.run(["openssl", "pkey", "-pubout"], check=True, capture_output=True, input=pem).stdout
    with pytest.raises(ConfigurationError, match="RSA"):
        WebhookVerifier(public_key=public)
    with pytest.raises(ConfigurationError, match="RSA"):
        sign(PAYLOAD, private_key=pem, url=URL)


def test_the_url_is_needed_for_a_signature(both: WebhookVerifier, genuine: SignedDelivery, keys: KeyPair) -> None:
    """A missing URL raises a ConfigurationError, not an error of the delivery."""
    with pytest.raises(ConfigurationError, match="url is needed"):
        both.verify(*genuine, now=NOW)
    with pytest.raises(ConfigurationError, match="url must be a string"):
        both.verify(*genuine, url=7, now=NOW)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="url is needed"):
        sign(PAYLOAD, private_key=keys.private)


def test_without_cryptography_signatures_are_refused_and_secrets_work() -> None:
    """A key is refused with an error that says what to install; a secret needs nothing."""
    code = (
        "import sys\n"
        "sys.modules['cryptography'] = None\n"
        "from rebyte_async.errors import ConfigurationError\n"
        "from rebyte_async.webhooks import WebhookVerifier, sign\n"
        "print(WebhookVerifier('s').verify(*sign({'taskId': 't1'}, secret='s')).task_id)\n"
        "key = '-----BEGIN PUBLIC KEY-----'\n"
        "for use in (lambda: WebhookVerifier('s', key), lambda: sign({}, private_key=key, url='')):\n"
        "    try:\n"
        "        use()\n"
        "    except ConfigurationError as error:\n"
        "        print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    task_id, *messages = shown.splitlines()
    assert task_id == "t1"
    assert len(messages) == 2
    assert all(re.search(r"pip install .*webhooks", message) for message in messages)


def test_importing_needs_neither_cryptography_nor_a_server() -> None:
    """Importing the package imports no optional or slow library."""
    code = (
        "import sys, rebyte_async.webhooks\n"
        "print([name for name in ('cryptography', 'aiohttp', 'cattrs', 'starlette') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert shown == "[]\n"


def test_a_source_of_the_key_needs_a_receiver(genuine: SignedDelivery) -> None:
    """A verifier alone can't read the key from its source; the error says what to do."""

    async def source() -> str:
        raise AssertionError

    with pytest.raises(ConfigurationError, match=r"await client\.webhooks\.public_key"):
        WebhookVerifier(public_key=source).verify(*genuine, url=URL, now=NOW)


class Nowhere(tzinfo):
    """A zone that has no offset, so that a time in it is naive."""

    def utcoffset(self, _moment: datetime | None) -> None:
        """Return nothing."""

    def dst(self, _moment: datetime | None) -> None:
        """Return nothing."""

    def tzname(self, _moment: datetime | None) -> None:
        """Return nothing."""


@pytest.mark.parametrize(
    "now",
    [
        pytest.param(10**400, id="huge"),
        pytest.param(-(10**400), id="long ago"),
        math.nan,
        math.inf,
        True,
        "1",
        pytest.param(datetime(2026, 1, 1), id="naive"),  # noqa: DTZ001 - the point of it
        pytest.param(datetime(2026, 1, 1, tzinfo=Nowhere()), id="without an offset"),
    ],
)
def test_an_invalid_time_is_refused(now: Any) -> None:
    """Verifying and signing refuse a time that is no number, or a naive datetime."""
    with pytest.raises(ConfigurationError, match="now must be unix seconds or an aware datetime"):
        WebhookVerifier(SECRET).verify(*sign(PAYLOAD, secret=SECRET), now=now)
    with pytest.raises(ConfigurationError, match="now must be unix seconds or an aware datetime"):
        sign(PAYLOAD, secret=SECRET, now=now)


def test_secrets_are_never_shown(keys: KeyPair) -> None:
    """No repr and no error shows a secret."""
    verifier = WebhookVerifier([SECRET, "another-secret"], keys.public)
    delivery = sign(PAYLOAD, secret=SECRET, private_key=keys.private, url=URL)
    parsed = Headers.parse(delivery.headers)
    shown = [repr(verifier), repr(verifier.verification), repr(delivery), str(delivery), repr(parsed)]
    shown.append(repr(parsed.get_single("X-Webhook-Secret")))
    for headers in (delivery.headers, {"X-Webhook-Secret": "given-by-a-forger"}):
        try:
            verifier.verify(headers, delivery.body, url="https://other.example")
        except RebyteError as error:
            shown += [repr(error), str(error), repr(error.__dict__)]
    assert len(shown) == 12
    assert not [text for text in shown if SECRET in text or "another-secret" in text or "forger" in text]
    assert repr(verifier) == "<WebhookVerifier of the secret and the signature>"


# --- other schemes ---


@pytest.mark.parametrize(
    "scheme",
    [
        SignatureScheme(),
        SignatureScheme(encoding="hex", prefix="sha256="),
        SignatureScheme(encoding="base64url", padding="pss"),
        SignatureScheme(signed="{body}"),
        SignatureScheme(signed="v1:{url}:{timestamp}:{body}"),
        SignatureScheme(
            secret_header="X-S", signature_header="X-Sig", timestamp_header="X-T", signed="{timestamp}{body}"
        ),
    ],
)
def test_the_scheme_can_be_replaced(keys: KeyPair, scheme: SignatureScheme) -> None:
    """A scheme sets the headers, the signed text, the encoding and the padding."""
    delivery = sign(b'{"taskId":"t1","x":"\xc3\xa9"}', secret=SECRET, private_key=keys.private, url=URL, scheme=scheme)
    assert WebhookVerifier(SECRET, keys.public, scheme=scheme).verify(*delivery, url=URL).task_id == "t1"
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(SECRET, keys.public, scheme=scheme).verify(delivery.headers, delivery.body + b" ", url=URL)
    other = SignatureScheme(signed="other {body}", encoding=scheme.encoding, prefix=scheme.prefix)
    assert SignatureScheme(prefix="v1=").decode(scheme.encode(b"x")) is None
    with pytest.raises(WebhookVerificationError):
        WebhookVerifier(SECRET, keys.public, scheme=other).verify(*delivery, url=URL)


def test_parts_that_are_not_signed_are_not_needed(keys: KeyPair) -> None:
    """A scheme without URL and time needs neither."""
    scheme = SignatureScheme(signed="{body_sha256}")
    delivery = sign(PAYLOAD, private_key=keys.private, scheme=scheme)
    del delivery.headers["X-Webhook-Timestamp"]
    assert WebhookVerifier(public_key=keys.public, scheme=scheme).verify(*delivery) == EVENT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"signed": "{timestamp}.{url}"}, "anybody could change the body"),
        ({"signed": "{timestamp}.{bodi}.{body}"}, "bodi"),
        ({"signed": "{body}{}"}, "signed may have"),
        ({"signed": 5}, "signed must have"),
        ({"secret_header": "X Webhook"}, "secret_header"),
        ({"signature_header": ""}, "signature_header"),
        ({"timestamp_header": None}, "timestamp_header"),
        ({"encoding": "base32"}, "encoding must be one of"),
        ({"padding": "none"}, "padding must be one of"),
        ({"prefix": "ü"}, "prefix"),
        ({"tolerance": -1}, "tolerance"),
    ],
)
def test_an_invalid_scheme_is_refused(arguments: dict[str, Any], words: str) -> None:
    """A scheme with an invalid part can't be made, nor one that leaves the body unsigned."""
    with pytest.raises(ConfigurationError, match=words):
        SignatureScheme(**arguments)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to sign with")
def test_a_signature_of_openssl_is_genuine(tmp_path: Path) -> None:
    """A key and a signature that other code made, over the text of the default scheme, are valid."""

    def openssl(*arguments: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            ["openssl", *arguments], check=True, capture_output=True, input=given, cwd=tmp_path
        ).stdout

    openssl("genrsa", "-out", "key.pem", "2048")
    body = b'{"taskId":"t1","event":"task.completed"}'
    message = f"{NOW}.{URL}.{hashlib.sha256(body).hexdigest()}".encode()
    signature = base64.b64encode(openssl("dgst", "-sha256", "-sign", "key.pem", given=message)).decode()
    public = openssl("rsa", "-in", "key.pem", "-pubout")

    headers = {"x-webhook-signature": signature, "x-webhook-timestamp": str(NOW)}
    assert WebhookVerifier(public_key=public).verify(headers, body, URL, NOW).task_id == "t1"


def test_signing_refuses_invalid_arguments() -> None:
    """`sign` refuses arguments that would make no valid delivery."""
    with pytest.raises(ConfigurationError, match="secret, private_key or both"):
        sign(PAYLOAD)
    with pytest.raises(ConfigurationError, match="bytes as they came"):
        sign(5, secret=SECRET)  # type: ignore[arg-type]
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    for payload in ("\ud800", {"a": object()}, endless):
        with pytest.raises(ConfigurationError, match="payload can't be sent"):
            sign(payload, secret=SECRET)
    with pytest.raises(ConfigurationError, match="private_key"):
        sign(PAYLOAD, private_key="nonsense", url=URL)
    assert sign('{"taskId":"t1"}', secret=SECRET, now=datetime.fromtimestamp(NOW, UTC)) == (
        {"Content-Type": "application/json", "X-Webhook-Timestamp": str(NOW), "X-Webhook-Secret": SECRET},
        b'{"taskId":"t1"}',
    )


@pytest.mark.parametrize("encoding", ["base64", "base64url"])
def test_a_signature_has_one_encoding(encoding: Literal["base64", "base64url"]) -> None:
    """Unused bits of the last digit must not be set, or else a changed header would pass."""
    scheme = SignatureScheme(encoding=encoding)
    assert scheme.encode(b"\0" * 256).endswith("AA==")
    assert scheme.decode("A" * 342 + "==") == b"\0" * 256
    assert scheme.decode("A" * 341 + "B==") is None


@pytest.mark.parametrize("size", [1, 2, 3, 256])
def test_only_base64url_may_lack_its_padding(size: int) -> None:
    """What fills the last group may be left out of base64url, as elsewhere, and of no other encoding."""
    signature = bytes(range(size))
    for encoding in ("base64", "base64url", "hex"):
        scheme = SignatureScheme(encoding=encoding)
        text = scheme.encode(signature)
        bare = text.rstrip("=")
        assert scheme.decode(text) == signature
        assert scheme.decode(bare) == (signature if encoding == "base64url" or bare == text else None)
