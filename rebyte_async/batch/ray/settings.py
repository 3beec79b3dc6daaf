"""What travels to the machines of a Ray cluster: the settings of workers, and never a secret."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from attrs import field, frozen

from rebyte_async._settings import RetryPolicy, Timeouts
from rebyte_async._transport import parse_base_url
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.postgres.parts import has_password
from rebyte_async.batch.worker import BatchWorker
from rebyte_async.client import AsyncRebyte
from rebyte_async.errors import ConfigurationError

GetJournal = PostgresJournal | Callable[[], PostgresJournal]

_KEY = re.compile(rb"rbk_[\w-]{4,}")
_NO_KEY = "the key would be in Ray's object store, for everyone in the cluster to read"
_HOW = "functools.partial(os.getenv, 'BATCH_KEY'), which is called on the worker's machine"


def import_ray() -> Any:
    """Import Ray, or the part of it that is asked for.

    Raises:
        ConfigurationError: The extra `ray` isn't installed.
    """
    try:
        return import_module("ray")
    except ImportError as error:
        raise ConfigurationError(f"{error}; a batch on Ray needs an extra: pip install 'rebyte-async[ray]'") from error


def _check_function(example: str) -> Callable[[Any, Any, Any], None]:
    def check(_: object, attribute: Any, value: Any) -> None:
        if value is not None and not callable(value):
            raise ConfigurationError(f"{attribute.name} must be a function, such as {example}: {_NO_KEY}")

    return check


def _check_base_url(_: object, __: object, value: Any) -> None:
    if value is not None:
        parse_base_url(value)


@frozen(kw_only=True)
class ClientSettings:
    """How each worker on a Ray cluster makes its client.

        read_key = functools.partial(os.getenv, "BATCH_KEY")
        ClientSettings(api_key=read_key, timeouts=Timeouts(read=30))

    The settings are sent through Ray, which keeps and shows what it is sent. So they have no secrets, but functions
    that read them: each is called in the worker's process, on its machine.

    Raises:
        ConfigurationError: A setting can't be right, or is a secret itself.
    """

    api_key: Callable[[], str | None] | None = field(default=None, repr=False, validator=_check_function(_HOW))
    """A function that returns the key; None for `REBYTE_API_KEY` in the environment of the worker's process."""
    base_url: str | None = field(default=None, validator=_check_base_url)
    """The API's address; None for that in the environment of the worker's process, or the usual one."""
    timeouts: Timeouts = field(factory=Timeouts)
    """How long each client waits."""
    retry: RetryPolicy = field(factory=RetryPolicy)
    """How often each client tries again."""
    headers: Callable[[], Mapping[str, str]] | None = field(
        default=None, repr=False, validator=_check_function("one that returns {'X-Team': 'data'}")
    )
    """A function that returns headers to add to every request to the API's origin."""
    ca_file: str | os.PathLike[str] | None = None
    """The path, on the worker's machine, of a PEM file of certificate authorities, which replace the system's."""
    trust_env: bool = False
    """Whether each client reads proxies and certificates from the environment of the worker's process."""

    def make_client(self) -> AsyncRebyte:
        """Make a client, in the process that is to use it.

        Raises:
            ConfigurationError: There is no key, a function failed, or a setting can't be right.
        """
        key = _call("api_key", self.api_key)
        if self.api_key is not None and not key:
            raise ConfigurationError("the function api_key returned no key on the worker's machine")
        return AsyncRebyte(
            key,
            base_url=self.base_url,
            timeouts=self.timeouts,
            retry=self.retry,
            headers=_call("headers", self.headers),
            ssl=None if self.ca_file is None else os.fspath(self.ca_file),
            trust_env=self.trust_env,
        )


def _call(name: str, function: Callable[[], Any] | None) -> Any:
    try:
        return None if function is None else function()
    except Exception as error:  # noqa: BLE001 - not quoted and not chained: it may have the secret
        kind = type(error).__name__
    raise ConfigurationError(f"the function {name} failed on the worker's machine: {kind}")


@frozen(kw_only=True)
class WorkerPlan:
    """What each worker needs to know."""

    journal: GetJournal
    client: ClientSettings
    options: Mapping[str, Any]
    """The arguments of `BatchWorker` besides."""

    def find_journal(self) -> PostgresJournal:
        """Return the journal, as it is named on this machine."""
        journal = self.journal() if callable(self.journal) else self.journal
        if not isinstance(journal, PostgresJournal):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"journal must be a PostgresJournal, not {type(journal).__name__}")
        return journal

    def make_worker(self, client: AsyncRebyte) -> BatchWorker:
        """Make a worker, in the process that is to run it."""
        return BatchWorker(client, self.find_journal(), **self.options)

    def pack(self) -> bytes:
        """Write the plan as the one argument of an actor.

        Raises:
            ConfigurationError: It has a secret in it, or something that can't be sent to another machine.
        """
        if isinstance(self.journal, PostgresJournal) and has_password(self.journal):
            raise ConfigurationError(
                "the dsn of the journal has a password, which would be in Ray's object store: give it by PGPASSWORD or "
                "PGPASSFILE on each machine, or let journal be a function that returns the PostgresJournal"
            )
        try:
            packed: bytes = import_module("ray.cloudpickle").dumps(self)
        except Exception as error:
            raise ConfigurationError(f"the workers' settings can't be sent to another machine: {error}") from error
        check_no_key(packed)
        return packed

    @staticmethod
    def unpack(packed: bytes) -> WorkerPlan:
        """Read a plan on the worker's machine.

        Raises:
            ConfigurationError: What it refers to isn't on this machine.
        """
        try:
            plan: WorkerPlan = pickle.loads(packed)  # noqa: S301 - from the driver, through Ray, which does the same
        except Exception as error:
            raise ConfigurationError(
                f"the worker's machine lacks what its settings refer to: {type(error).__name__}: {error}"
            ) from error
        return plan


def check_no_key(packed: bytes) -> None:
    """Raise ConfigurationError if something that is to be sent through Ray has a key of the API in it."""
    own = os.environ.get("REBYTE_API_KEY", "").encode()
    if _KEY.search(packed) or (own and own in packed):
        raise ConfigurationError(f"{_NO_KEY}: what is sent to the workers has it. Give a function such as {_HOW}")
