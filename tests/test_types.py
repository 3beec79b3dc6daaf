"""The models: their statuses, times and names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rebyte_async import types
from rebyte_async.types import (
    AgentComputer,
    AgentComputerStatus,
    Artifact,
    Prompt,
    PromptContent,
    PromptStatus,
    Question,
    QuestionAnswer,
    QuestionEvent,
    QuestionOption,
    Task,
    TaskStatus,
)


@pytest.mark.parametrize(
    ("given", "expected", "is_terminal"),
    [
        ("running", TaskStatus.RUNNING, False),
        ("completed", TaskStatus.COMPLETED, True),
        ("succeeded", TaskStatus.COMPLETED, True),
        ("failed", TaskStatus.FAILED, True),
        ("cancelled", TaskStatus.CANCELED, True),
        ("Completed", TaskStatus.COMPLETED, True),
        ("CANCELED", TaskStatus.CANCELED, True),
        ("Queued", "queued", False),
        ("Archived", "Archived", False),
        (None, None, False),
    ],
)
def test_a_task_has_a_tasks_status(given: str | None, expected: str | None, *, is_terminal: bool) -> None:
    """A task's status is a member of `TaskStatus` in any spelling; an unknown one stays as it is and ends nothing."""
    task = Task(id="t", status=given)
    assert (task.status, type(task.status), task.is_terminal) == (expected, type(expected), is_terminal)


@pytest.mark.parametrize(
    ("given", "expected", "is_terminal"),
    [
        ("pending", PromptStatus.PENDING, False),
        ("completed", PromptStatus.SUCCEEDED, True),
        ("canceled", PromptStatus.CANCELED, True),
        ("SUCCEEDED", PromptStatus.SUCCEEDED, True),
        ("Processing", "processing", False),
        ("paused", "paused", False),
        (None, None, False),
    ],
)
def test_a_prompt_has_a_prompts_status(given: str | None, expected: str | None, *, is_terminal: bool) -> None:
    """A prompt's status is a member of `PromptStatus` in any spelling, with its content and without."""
    for prompt in (Prompt(id="p", status=given), PromptContent(id="p", status=given)):
        assert (prompt.status, type(prompt.status), prompt.is_terminal) == (expected, type(expected), is_terminal)


@pytest.mark.parametrize("status", [5, True, ["running"]])
def test_a_status_is_a_string(status: Any) -> None:
    """A status of another type is refused."""
    for make in (Task, Prompt, AgentComputer):
        with pytest.raises(TypeError, match="expected a string"):
            make(id="x", status=status)


def test_an_option_is_found_by_each_of_its_names() -> None:
    """An option is found by its place, its label, or itself; what is none of them has no index."""
    question = Question("Which?", (QuestionOption("left"), QuestionOption("right", "the other"), QuestionOption("2")))
    for choice in (1, "right", QuestionOption("right", "the other"), question.options[1]):
        assert question.index_of(choice) == 1
    assert (question.index_of(2), question.index_of("2")) == (2, 2)
    wrong: list[Any] = [3, -1, True, 1.0, "middle", "", None, QuestionOption("right"), [1]]
    assert [question.index_of(choice) for choice in wrong] == [None] * len(wrong)


def test_an_answer_takes_one_option_or_several() -> None:
    """A single option needs no list around it."""
    for one in ("left", 0, QuestionOption("left")):
        assert QuestionAnswer(one) == QuestionAnswer([one]) == QuestionAnswer(iter((one,)))
    assert QuestionAnswer() == QuestionAnswer((), None)


def test_an_application_can_make_a_question() -> None:
    """An event that is made without `questions` has its own question as the only one."""
    options = (QuestionOption("a"), QuestionOption("b"))
    event = QuestionEvent(message_id="m", question="q", options=options, multi_select=True)
    assert event.questions == (Question("q", options, multi_select=True),)


def test_a_computer_is_ready_only_when_it_says_so() -> None:
    """Tasks can run on an agent computer whose status is `ready`."""
    for status in ("ready", "Ready", "READY"):
        assert AgentComputer(id="c", status=status).is_ready
        assert AgentComputer(id="c", status=status).status is AgentComputerStatus.READY
    assert not any(AgentComputer(id="c", status=status).is_ready for status in ("provisioning", "error", "new", None))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 1, 22, tzinfo=UTC)),
        ("soon", None),
        (5, None),
        (None, None),
    ],
)
def test_a_time_is_aware_or_none(given: Any, expected: datetime | None) -> None:
    """A time is an aware datetime, in UTC where no zone is named, or None when it can't be read."""
    time = Task(id="t", created_at=given).created_at
    assert time == expected
    assert time is None or time.tzinfo is not None


@pytest.mark.parametrize(
    ("name", "local_name"),
    [
        ("report.md", "report.md"),
        ("a b.txt", "a b.txt"),
        ("../x", "..%2Fx"),
        ("..", "%2E%2E"),
        ("con.txt", "%63%6F%6E%2E%74%78%74"),
        ("x.", "%78%2E"),
        ("a%2Fb", "a%252Fb"),
    ],
)
def test_an_artifact_has_a_safe_local_name(name: str, local_name: str) -> None:
    """A name that could lead out of a folder, or is no file everywhere, is percent-encoded."""
    assert Artifact(filename=name).local_name == local_name


def test_the_former_name_of_completion_hints_stays() -> None:
    """Code that was written for `TaskNotices` still works."""
    assert types.TaskNotices is types.TaskCompletionHints
