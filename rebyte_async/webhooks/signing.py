"""Make valid deliveries, for tests of a receiver."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from rebyte_async._wire import json
from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks._verification import encode_secrets, import_rsa
from rebyte_async.webhooks.scheme import SignatureScheme
from rebyte_async.webhooks.verifier import PublicKey, check_body, unix_seconds


class SignedDelivery(NamedTuple):
    """A delivery as the service would send it. Use it as `verifier.verify(*delivery, url=…)`."""

    headers: dict[str, str]
    """The delivery's headers, with the proofs that were asked for."""
    body: bytes
    """The delivery's body."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {', '.join(self.headers)}; {len(self.body)} bytes>"


def sign(
    payload: Mapping[str, Any] | bytes | str,
    *,
    secret: str | None = None,
    private_key: PublicKey | None = None,
    url: str | None = None,
    now: float | datetime | None = None,
    scheme: SignatureScheme = SignatureScheme(),  # noqa: B008 - frozen
) -> SignedDelivery:
    """Make a valid delivery, for tests of a receiver.

        delivery = sign({"event": "task.completed", "taskId": "t1"}, secret="s3cret")
        await http.post("/rebyte", data=delivery.body, headers=delivery.headers)

    Args:
        payload: The content: an object, which becomes JSON, or the body itself.
        secret: The secret; None leaves it out.
        private_key: An RSA key in PEM to sign with; None doesn't sign. Needs the extra `webhooks`.
        url: The URL as it was registered; a signature needs it.
        now: When the delivery is sent, in unix seconds or as an aware datetime; None for now.
        scheme: How deliveries are signed.

    Raises:
        ConfigurationError: There is neither secret nor key, or an argument is invalid.

    *Source*: contract §7, the secret documented, the form of the signature GUESS(§7).
    """
    if secret is None and private_key is None:
        raise ConfigurationError("give secret, private_key or both: a delivery without either is not valid")
    body = _encode_body(payload)
    timestamp = str(int(unix_seconds(time.time() if now is None else now)))
    headers = {"Content-Type": "application/json", scheme.timestamp_header: timestamp}
    if secret is not None:
        headers[scheme.secret_header] = encode_secrets(secret)[0].decode()
    if private_key is not None:
        if url is None and scheme.needs_url:
            raise ConfigurationError("url is needed, because the signature covers it: give it as it was registered")
        message = scheme.message(timestamp, url or "", body)
        signature = import_rsa().sign(private_key, message, scheme.padding)
        headers[scheme.signature_header] = scheme.encode(signature)
    return SignedDelivery(headers, body)


def _encode_body(payload: object) -> bytes:
    try:
        if isinstance(payload, Mapping):
            return json.dumps(dict(cast("Mapping[str, Any]", payload)))
        return payload.encode() if isinstance(payload, str) else check_body(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"payload can't be sent as JSON: {error!s:.200}") from error
