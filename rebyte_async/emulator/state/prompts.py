"""Prompts, the transcripts of their turns, and the questions that an agent asks in a turn."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import define, field, frozen

from rebyte_async.emulator.frames import Event, Frame
from rebyte_async.emulator.generators import timestamp
from rebyte_async.emulator.responses import validation_error
from rebyte_async.emulator.state.files import StoredFile
from rebyte_async.emulator.state.primitives import Broadcast


@define(eq=False)
class Transcript:
    """The frames of one turn so far, which every connection replays from the first."""

    prompt_id: str
    next_seq: int
    event_keys: bool
    frames: list[Frame] = field(factory=list[Frame], init=False)
    changed: Broadcast = field(factory=Broadcast, init=False)
    """Fires when a frame is added and when the turn ends."""

    @property
    def last_seq(self) -> int:
        """The number of the latest event; -1 if there is none."""
        return next((frame.seq for frame in reversed(self.frames) if isinstance(frame, Event)), -1)

    def add_event(self, event_type: str, payload: Mapping[str, Any], now: datetime) -> None:
        data: dict[str, Any] = {"seq": self.next_seq, "timestamp": timestamp(now), "promptId": self.prompt_id}
        if self.event_keys:
            data["eventKey"] = f"{self.prompt_id}:{self.next_seq}"
        self.add(Event({**data, "eventType": event_type, "payload": dict(payload)}))
        self.next_seq += 1

    def events(self) -> list[dict[str, Any]]:
        return [frame.data for frame in self.frames if isinstance(frame, Event)]

    def add(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.changed.fire()


@define(eq=False, kw_only=True)
class Prompt:
    """A prompt and its turn."""

    id: str
    text: str
    submitted_at: datetime
    transcript: Transcript
    skills: tuple[str, ...] = ()
    files: tuple[StoredFile, ...] = ()
    status: str = "pending"
    completed_at: datetime | None = None
    final_result: str = ""

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "running")

    def end(self, status: str, final_result: str, now: datetime) -> None:
        """End the turn, unless it has ended already."""
        if not self.is_open:
            return
        self.status, self.final_result, self.completed_at = status, final_result, now
        self.transcript.changed.fire()

    def summary(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "submittedAt": timestamp(self.submitted_at),
            "completedAt": self.completed_at and timestamp(self.completed_at),
        }

    def content(self, *, with_events: bool) -> dict[str, Any]:
        response = None if self.is_open else self.final_result
        content = {**self.summary(), "userPrompt": self.text, "response": response}
        return {**content, "events": self.transcript.events()} if with_events else content


@frozen
class Answer:
    """The user's answer to a question."""

    selected_options: tuple[int, ...] = ()
    """The indexes of the selected options."""
    custom_response: str | None = None
    """A text in the user's own words; empty or None if there is none."""


@frozen
class Choice:
    """What a question lets the user choose from."""

    option_count: int
    multi_select: bool

    def check(self, answer: Answer, name: str) -> None:
        """Raise an `ApiError` if the answer selects a missing option, too many options, or none."""
        selected = answer.selected_options
        if not all(0 <= index < self.option_count for index in selected):
            raise validation_error(f"{name}.selectedOptions has an index that is no option.")
        if len(selected) > 1 and not self.multi_select:
            raise validation_error(f"{name}.selectedOptions must have one index.")
        if not selected and not answer.custom_response:
            raise validation_error(f"{name} must select an option or have a customResponse.")


@define(eq=False, kw_only=True)
class OpenQuestion:
    """A question that waits for its answer, or several that are asked at once."""

    action_id: int
    message_id: str
    choices: tuple[Choice, ...]
    """What each question lets the user choose from."""
    answers: asyncio.Future[tuple[Answer, ...]] = field(factory=lambda: asyncio.get_running_loop().create_future())

    def awaits(self, message_id: str, action_id: int) -> bool:
        """Return whether these ids are the question's, and it isn't answered."""
        return (self.message_id, self.action_id) == (message_id, action_id) and not self.answers.done()

    def accept(self, given: Answer | tuple[Answer, ...]) -> None:
        """Take the answer: several questions need a tuple of answers, and one doesn't. Else raise an `ApiError`."""
        if len(self.choices) == 1:
            if isinstance(given, tuple):
                raise validation_error("answer must not have answers: one question was asked.")
            self.choices[0].check(given, "answer")
            self.answers.set_result((given,))
            return
        if not isinstance(given, tuple) or len(given) != len(self.choices):
            raise validation_error(f"answer.answers must have {len(self.choices)} answers, one for each question.")
        for index, (choice, answer) in enumerate(zip(self.choices, given, strict=True)):
            choice.check(answer, f"answer.answers[{index}]")
        self.answers.set_result(given)
