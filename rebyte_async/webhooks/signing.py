"""Valid deliveries, for tests of one's own receiver."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from rebyte_async._wire import json
from rebyte_async.errors import ConfigurationError
from rebyte_async.webhooks import rsa
from rebyte_async.webhooks.proof import secret_bytes
from rebyte_async.webhooks.scheme import SignatureScheme
from rebyte_async.webhooks.seconds import unix_seconds
from rebyte_async.webhooks.verifier import body_bytes

if TYPE_CHECKING:
    from datetime import datetime

    from rebyte_async.webhooks.verifier import PublicKey

__all__ = ["SignedDelivery", "sign"]


class SignedDelivery(NamedTuple):
    """A delivery as the service would send it: `verifier.verify(*delivery, url=…)`."""

    headers: dict[str, str]
    """Its headers."""
    body: bytes
    """Its body."""

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
        payload: What it says: an object, which becomes JSON, or the body as it is to be.
        secret: The secret; None leaves it out.
        private_key: An RSA key in PEM, to sign with; None doesn't sign. It needs the extra `webhooks`.
        url: The URL that the receiver was registered with; a signature needs it.
        now: When it is sent, in unix seconds or as an aware datetime; None for now.
        scheme: How deliveries are signed.

    Raises:
        ConfigurationError: There is neither secret nor key, or one of the arguments can't be right.

    *Source*: contract §7: the secret documented, the signature's form a guess.
    """
    if secret is None and private_key is None:
        raise ConfigurationError("give secret, private_key or both: without either there is nothing to make valid")
    body, stamp = _body(payload), str(int(unix_seconds(time.time() if now is None else now)))
    headers = {"Content-Type": "application/json", scheme.timestamp_header: stamp}
    if secret is not None:
        headers[scheme.secret_header] = secret_bytes(secret)[0].decode()
    if private_key is not None:
        if url is None and scheme.needs_url:
            raise ConfigurationError("url is needed: it is signed with the rest. Give it as it was registered")
        message = scheme.message(stamp, url or "", body)
        signature = rsa.sign(rsa.signing_key(private_key), message, scheme.padding)
        headers[scheme.signature_header] = scheme.written(signature)
    return SignedDelivery(headers, body)


def _body(payload: object) -> bytes:
    try:
        if isinstance(payload, Mapping):
            return json.plain_dumps(dict(cast("Mapping[str, Any]", payload)))
        return payload.encode() if isinstance(payload, str) else body_bytes(payload)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"payload can't be sent as JSON: {error!s:.200}") from error
