"""`PostgresJournal`: names a batch in a PostgreSQL database, which workers on several machines may share."""

from __future__ import annotations

import re

from attrs import field, frozen

from rebyte_async._validate import count, text
from rebyte_async.errors import ConfigurationError

DEFAULT_SHARDS = 64
_MOST_SHARDS = 4_096
_DSN = re.compile(r"postgres(ql)?://|\s*\w+\s*=")
_LONGEST_NAME = 200


def _check_dsn(dsn: object) -> str:
    if not isinstance(dsn, str) or not _DSN.match(dsn):  # not shown: it may have a password
        raise ConfigurationError("dsn must be like postgresql://user@host:5432/database, or like 'host=… dbname=…'")
    return dsn


def _check_batch(batch: object) -> str:
    name = text("batch", batch, longest=_LONGEST_NAME, error=ConfigurationError)
    if "\0" in name:
        raise ConfigurationError("batch must be a name without NUL characters")
    return name


def _check_shards(shards: object) -> int | None:
    if shards is not None and count("shards", shards, error=ConfigurationError) > _MOST_SHARDS:
        raise ConfigurationError(f"shards must be at most {_MOST_SHARDS:,}, not {shards}")
    return shards  # type: ignore[return-value]


@frozen(repr=False)
class PostgresJournal:
    """The journal of a batch in PostgreSQL, for everything that takes the path of a journal.

        journal = PostgresJournal("postgresql://batches@db.example.com/batches", batch="nightly")

    A database may have the journals of several batches. They are in a schema of their own, `rebyte_async`, which is
    created on first use. docs/batch-many.md describes its tables, and the privileges that a role needs.

    This object is a name: it opens nothing, and it can be pickled. It needs the extra `postgres`.

    Raises:
        ConfigurationError: An argument can't be right.
    """

    dsn: str = field(converter=_check_dsn)
    """The database, as libpq takes it: a URI or `host=… dbname=…`. What it doesn't say is taken from the environment
    (`PGHOST`, `PGPASSWORD`, `PGPASSFILE`, …). It may have a password, and is never shown."""
    batch: str = field(kw_only=True, converter=_check_batch)
    """The name of the batch within the database, at most 200 characters."""
    shards: int | None = field(default=None, kw_only=True, converter=_check_shards)
    """How many shards the batch has, at most 4,096; 64 if a new batch isn't given a number. A batch that exists is
    refused if it has another number."""

    def __repr__(self) -> str:
        return f"PostgresJournal(batch={self.batch!r})"

    def __str__(self) -> str:
        return f"batch {self.batch!r}"


def shard_of(prompt_hash: bytes, shards: int) -> int:
    """Return the shard of an item: items with one prompt share one. This must not change while batches exist."""
    return int.from_bytes(prompt_hash[:8].ljust(8, b"\0"), "big") % shards
