"""What an emulator was asked to be."""

from __future__ import annotations

from attrs import field, frozen

from rebyte_async.emulator.artifacts.format import ArtifactFormat
from rebyte_async.emulator.stream.format import StreamFormat
from rebyte_async.emulator.webhooks.format import DeliveryPolicy, WebhookFormat
from rebyte_async.emulator.webhooks.key import SigningKey


@frozen(kw_only=True)
class Settings:
    """The settings that outlive `Emulator.clear`."""

    api_key: str
    deterministic: bool = False
    pace: float = 0.02
    boot: float = 0.0
    provisioning: float = 0.0
    url_lifetime: float = 3600.0
    stream: StreamFormat = field(factory=StreamFormat)
    artifact_format: ArtifactFormat = field(factory=ArtifactFormat)
    webhook_format: WebhookFormat = field(factory=WebhookFormat)
    delivery: DeliveryPolicy = field(factory=DeliveryPolicy)
    webhook_key: SigningKey = field(factory=SigningKey)
    disabled_executors: frozenset[str] = frozenset()
    seed: int = 0
    log_limit: int = 100_000
