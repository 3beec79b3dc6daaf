"""Settings of the emulator, and all that the contract leaves open: what no client may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from attrs import define, field, frozen

Executor: TypeAlias = Literal["claude", "gemini", "codex", "opencode"] | str  # noqa: PYI051 - shown by editors
"""A coding agent; any name is one."""


@frozen(kw_only=True)
class StreamFormat:
    """The form of event streams where the contract leaves it open.

    *Source*: contract §4, observed; ids, retry and heartbeats: guess
    """

    event_keys: bool = True
    """Whether events have an `eventKey`."""
    first_seq: int = 1
    """The number of a turn's first event: 0 or 1."""
    ids: bool = False
    """Whether event frames have an `id:` line."""
    retry: int | None = None
    """The milliseconds in the stream's `retry:` line; None for no such line."""
    heartbeat: float | None = None
    """Seconds without a frame after which a comment is sent; None for never."""


@frozen(kw_only=True)
class AgentComputerFormat:
    """The form of responses about agent computers where the contract leaves it open.

    *Source*: contract §2, observed
    """

    deleted: Mapping[str, Any] | None = field(default=None, hash=False)
    """The JSON of the response to a delete, with a 200; None for a 204 without a body."""


@frozen(kw_only=True)
class ArtifactFormat:
    """The form of responses about artifacts where the contract leaves it open.

    *Source*: contract §6, guess
    """

    items: Literal["artifacts", "data", "files"] | None = "artifacts"
    """The field that contains a list; None for a bare array."""
    name: Literal["name", "filename"] = "name"
    """The field with an artifact's name."""
    details: bool = True
    """Whether an artifact has `size`, `contentType`, `createdAt` and `updatedAt`."""
    url: bool = False
    """Whether an artifact has a `url`: a signed one, on the other origin."""
    urls: Literal["urls", "data", "files"] = "urls"
    """The field that contains upload URLs."""
    redirect: int | None = None
    """The status, any of 3xx, with which a download is redirected to a signed URL on the other origin; None sends the
    bytes."""
    upload_status: int = 201
    """The status of an upload: 200 or 201."""


@frozen(kw_only=True)
class WebhookFormat:
    """The form of webhooks and their deliveries where the contract leaves it open.

    *Source*: contract §7, guess
    """

    items: Literal["webhooks", "data"] | None = "webhooks"
    """The field that contains the list; None for a bare array."""
    again: Literal["existing", "new", "conflict"] = "existing"
    """The response to registering a URL again: the existing webhook, a new one, or a 409."""
    public_key: Literal["publicKey", "public_key", "key"] | None = "publicKey"
    """The field with the public key; None for plain text."""
    public_key_base64: bool = False
    """Whether the public key is the base64 of a PEM, instead of a PEM."""
    event: bool = True
    """Whether a delivery's JSON has an `event` field."""


@frozen(kw_only=True)
class DeliveryPolicy:
    """How often and how fast a delivery is tried.

    *Source*: contract §7, guess
    """

    attempts: int = 4
    """How often a delivery is tried before it fails."""
    backoff: float = 0.2
    """Seconds until the second attempt; each further wait is twice as long. 0 tries again at once."""
    timeout: float = 5.0
    """Seconds that a receiver has to respond."""
    deactivate_after: int | None = None
    """The number of failed attempts in a row after which a webhook is deactivated; None for never."""


@define(kw_only=True)
class Formats:
    """The formats in use; each may be replaced while the emulator runs."""

    stream: StreamFormat = field(factory=StreamFormat)
    agent_computer: AgentComputerFormat = field(factory=AgentComputerFormat)
    artifact: ArtifactFormat = field(factory=ArtifactFormat)
    webhook: WebhookFormat = field(factory=WebhookFormat)
    delivery: DeliveryPolicy = field(factory=DeliveryPolicy)
