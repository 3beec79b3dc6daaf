"""Type-checked, never run: what the errors carry."""

from pathlib import Path
from typing import assert_type

from rebyte_async import AsyncRebyte
from rebyte_async.errors import (
    AmbiguousRequestError,
    APIError,
    ConfigurationError,
    DecodeError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    RebyteError,
    RequestTimeoutError,
    StreamInterruptedError,
    TaskCanceledError,
    TaskFailedError,
    TransportError,
    WaitTimeoutError,
)
from rebyte_async.types import FileRef, TaskResult


def every_error(error: RebyteError) -> None:
    assert_type(error.message, str)
    assert_type(error.task_id, str | None)
    assert_type(error.downloaded, tuple[Path, ...])


async def uploads_that_are_not_lost(client: AsyncRebyte) -> None:
    try:
        await client.tasks.create("Summarise", files=["a.csv", "b.csv"])
    except RebyteError as error:
        await client.tasks.create("Summarise", files=error.uploaded)
    assert_type(await client.files.upload_all(["a.csv", ("b.csv", b"")]), tuple[FileRef, ...])


def an_answer(error: APIError) -> None:
    assert_type(error.status, int)
    assert_type(error.code, str | None)
    assert_type(error.method, str)
    assert_type(error.url, str)
    assert_type(error.request_id, str | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.body, str | None)
    assert_type(error.attempts, int)


def a_lost_request(error: TransportError) -> None:
    assert_type(error.method, str)
    assert_type(error.url, str)
    assert_type(error.attempts, int)


def an_interrupted_stream(error: StreamInterruptedError) -> None:
    assert_type(error.cursor, str | None)
    assert_type(error.result, TaskResult | None)


def the_others(
    decode: DecodeError, wait: WaitTimeoutError, failed: TaskFailedError, canceled: TaskCanceledError
) -> None:
    assert_type(decode.path, str)
    assert_type(decode.body, str | None)
    assert_type(wait.resource_id, str)
    assert_type(wait.last_status, str | None)
    assert_type(failed.result, TaskResult)
    assert_type(canceled.result, TaskResult)


def work() -> None: ...


def as_answer(error: APIError) -> None: ...


def as_transport(error: TransportError) -> None: ...


def as_builtin_timeout(error: TimeoutError) -> None: ...


def as_value_and_configuration(error: ValueError, same: ConfigurationError) -> None: ...


def they_are_caught_as() -> None:
    try:
        work()
    except (RateLimitedError, NotFoundError) as answer:
        as_answer(answer)
    except (AmbiguousRequestError, StreamInterruptedError) as lost:
        as_transport(lost)
    except (RequestTimeoutError, WaitTimeoutError) as late:
        as_builtin_timeout(late)
    except InvalidRequestError as wrong:
        as_value_and_configuration(wrong, wrong)


def a_group() -> None:
    try:
        work()
    except* RebyteError as group:
        assert_type(group, ExceptionGroup[RebyteError])
        for error in group.exceptions:
            assert_type(error, RebyteError | ExceptionGroup[RebyteError])
