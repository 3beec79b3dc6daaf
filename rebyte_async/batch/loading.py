"""`load_items`: put the items of a batch into its journal in PostgreSQL, for workers to run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from anyio import CancelScope, to_thread

from rebyte_async._validate import count
from rebyte_async.batch.inputs import Items, check_items, open_reader
from rebyte_async.batch.intake import check_item, locate
from rebyte_async.batch.items import BatchItem
from rebyte_async.batch.journal import NewItem
from rebyte_async.batch.journal.postgres import PostgresJournal
from rebyte_async.batch.journal.postgres.parts import make_loader
from rebyte_async.errors import BatchError, ConfigurationError, InvalidRequestError

_PER_COPY = 2_000
"""Items that are sent together."""


async def load_items(
    items: Items, journal: PostgresJournal, *, max_new_tasks: int | None = None, max_open: int | None = None
) -> int:
    """Load the items of a batch into its journal, from where any number of `BatchWorker`s run them.

    All items are loaded or none. Items that the batch has already are left as they are, but for their metadata, so that
    the same items can be loaded again, with others. Workers may run meanwhile.

    Args:
        items: The items, from any iterable, sync or async. Files to attach must be paths that each worker can read, or
            uploaded already.
        journal: The batch, which is made if there is none.
        max_new_tasks: How many tasks all workers together may make, from the beginning of the batch on; None for any.
        max_open: How many tasks all workers together may have open at once; None for any.

    Returns:
        How many of the items are new to the batch.

    Raises:
        BatchError: Two items have one key, an item differs from that which the batch has under its key, or a file to
            attach can't be loaded.
        JournalError: The database can't be used.
        ConfigurationError: A limit can't be right.
        InvalidRequestError: `items` can't be iterated over.
        Exception: What the iterable raised.
    """
    check_items(items)
    for name, limit in (("max_new_tasks", max_new_tasks), ("max_open", max_open)):
        if limit is not None:
            count(name, limit, minimum=0 if name == "max_new_tasks" else 1, error=ConfigurationError)
    # What uses a connection is waited for, also when this is cancelled: no other thread may close it meanwhile.
    loader = await to_thread.run_sync(make_loader, journal)
    try:
        async with aclosing(_read(items)) as parts:
            async for part in parts:
                conflict: tuple[int, BatchError] | None
                conflict = await to_thread.run_sync(loader.add, [new for _, new in part])
                if conflict is not None:
                    number, error = conflict
                    raise locate(part[number][0], error)
        added: int = await to_thread.run_sync(loader.finish, max_new_tasks, max_open)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(loader.close)
    return added


async def _read(items: Items) -> AsyncGenerator[list[tuple[BatchItem, NewItem]]]:
    reader = open_reader(items)
    part: list[tuple[BatchItem, NewItem]] = []
    try:
        while given := await reader.read(_PER_COPY):
            part += [_check(item) for item in given]
            if len(part) >= _PER_COPY:
                yield part
                part = []
        if part:
            yield part
    finally:
        await reader.close()


def _check(item: object) -> tuple[BatchItem, NewItem]:
    checked, new = check_item(item)
    if checked.files:
        try:
            BatchItem.from_json(checked.as_json())
        except InvalidRequestError as error:
            why = "has a file that isn't a path: workers read files themselves, so give paths, or upload it first"
            raise locate(checked, BatchError(f"the item {checked.key!r:.80} {why}")) from error
    return checked, new
