"""Receive webhooks: verify deliveries, handle their events, and wait for tasks without polling.

Start with `WebhookVerifier`, or with `WebhookReceiver`, which also responds to requests. Register webhooks with
`client.webhooks`.
"""

from rebyte_async.webhooks.dedup import SeenStore, SeenWindow
from rebyte_async.webhooks.event import WebhookEvent
from rebyte_async.webhooks.receipt import Receipt, ReceiverStats
from rebyte_async.webhooks.receiver import WebhookReceiver
from rebyte_async.webhooks.scheme import SignatureScheme
from rebyte_async.webhooks.signing import SignedDelivery, sign
from rebyte_async.webhooks.verifier import WebhookVerifier

__all__ = [
    "Receipt",
    "ReceiverStats",
    "SeenStore",
    "SeenWindow",
    "SignatureScheme",
    "SignedDelivery",
    "WebhookEvent",
    "WebhookReceiver",
    "WebhookVerifier",
    "sign",
]
