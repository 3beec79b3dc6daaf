"""Type-checked, never run: the attributes of errors."""

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


def every_error_has(error: RebyteError) -> None:
    assert_type(error.message, str)
    assert_type(error.task_id, str | None)
    assert_type(error.downloaded, tuple[Path, ...])


async def a_failed_create_keeps_its_uploads(client: AsyncRebyte) -> None:
    try:
        await client.tasks.create("Summarise", files=["a.csv", "b.csv"])
    except RebyteError as error:
        await client.tasks.create("Summarise", files=error.uploaded)
    assert_type(await client.files.upload_all(["a.csv", ("b.csv", b"")]), tuple[FileRef, ...])


def an_api_error_has(error: APIError) -> None:
    assert_type(error.status, int)
    assert_type(error.code, str | None)
    assert_type(error.method, str)
    assert_type(error.url, str)
    assert_type(error.request_id, str | None)
    assert_type(error.retry_after, float | None)
    assert_type(error.body, str | None)
    assert_type(error.attempts, int)


def a_transport_error_has(error: TransportError) -> None:
    assert_type(error.method, str)
    assert_type(error.url, str)
    assert_type(error.attempts, int)


def an_interrupted_stream_has(error: StreamInterruptedError) -> None:
    assert_type(error.cursor, str | None)
    assert_type(error.result, TaskResult | None)


def the_others_have(
    decode: DecodeError, wait: WaitTimeoutError, failed: TaskFailedError, canceled: TaskCanceledError
) -> None:
    assert_type(decode.path, str)
    assert_type(decode.body, str | None)
    assert_type(wait.resource_id, str)
    assert_type(wait.last_status, str | None)
    assert_type(failed.result, TaskResult)
    assert_type(canceled.result, TaskResult)


def call() -> None: ...


def handle_api_error(error: APIError) -> None: ...


def handle_transport_error(error: TransportError) -> None: ...


def handle_timeout(error: TimeoutError) -> None: ...


def handle_value_error(error: ValueError, same: ConfigurationError) -> None: ...


def they_are_caught_as() -> None:
    try:
        call()
    except (RateLimitedError, NotFoundError) as refused:
        handle_api_error(refused)
    except (AmbiguousRequestError, StreamInterruptedError) as lost:
        handle_transport_error(lost)
    except (RequestTimeoutError, WaitTimeoutError) as late:
        handle_timeout(late)
    except InvalidRequestError as wrong:
        handle_value_error(wrong, wrong)


def a_group_is_caught_as() -> None:
    try:
        call()
    except* RebyteError as group:
        assert_type(group, ExceptionGroup[RebyteError])
        for error in group.exceptions:
            assert_type(error, RebyteError | ExceptionGroup[RebyteError])
