"""Which events of a turn were delivered.

An event's identity is its key where it has one, else its number within the turn (contract §4.2, observed), else its
content and how often that has come. To follow a turn, no key and no number is hashed: a digest is made when a cursor is
asked for, of what has come since the last one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain, islice

from rebyte_async.streams._cursor import CursorPosition, hash_sub_prompt
from rebyte_async.streams._digest import EMPTY, MAX_LATE, Identity, SetDigest
from rebyte_async.types.events import TaskEvent

Released = list[tuple[Identity, TaskEvent]]
_NONE: Released = []  # shared, and never filled


class _Shown:
    """What was shown so far, by one replay or several, while it is open which of the events were delivered."""

    __slots__ = ("digest", "events")

    def __init__(self) -> None:
        self.events: dict[Identity, TaskEvent] = {}
        self.digest = EMPTY


class DeliveredSet:
    """The delivered events of one prompt, the turn's or a sub-prompt's.

    A set that is resumed from a cursor knows only their digest. It withholds the events of a replay until these show
    which of them were delivered, and then releases the others. Where that can't be decided, it releases all of them.
    """

    __slots__ = (
        "_counts",
        "_digest",
        "_digested_numbers",
        "_digested_others",
        "_first",
        "_next",
        "_others",
        "_released",
        "_shown",
    )

    def __init__(self, resumed: SetDigest = EMPTY) -> None:
        # Most turns are numbered without a gap: from `_first` on, and up to but not including `_next`.
        self._first = self._next = 0
        self._others: dict[Identity, None] = {}  # all identities but those numbers
        self._digest = resumed
        self._digested_numbers = self._digested_others = 0  # up to which number it covers, and how many of the others
        self._shown = _Shown() if resumed.size else None
        self._released = _NONE
        # How often each content came without an identity: in this replay of the stream, and in this read apart from it.
        self._counts: tuple[Counter[int], Counter[int]] | None = None

    def __bool__(self) -> bool:
        return bool(self._digest.size or self._others) or self._next > self._first

    @property
    def is_resuming(self) -> bool:
        """Whether it is open which events were delivered."""
        return self._shown is not None

    @property
    def is_withholding(self) -> bool:
        return self._shown is not None and bool(self._shown.events)

    @property
    def has_events_without_identity(self) -> bool:
        """Whether there are events that only their place in a replay from the start identifies."""
        return self._counts is not None

    def restart(self, *, out_of_band: bool = False) -> None:
        """Expect the prompt from its start, on the stream or by another read: each counts the same content anew."""
        if self._counts is not None:
            self._counts[out_of_band].clear()

    def add(self, event: TaskEvent, out_of_band: bool = False) -> bool:
        """Add an event; True when it is new, False also when it is withheld: look for what is released then."""
        if self._shown is not None:
            self._withhold(self._shown, event, out_of_band=out_of_band)
            return False
        identity: Identity | None = event.event_key
        if identity is None:
            if (number := event.seq) is not None:
                return self._add_number(number)
            identity = self._identify_by_content(event, out_of_band=out_of_band)
        if identity in self._others:
            return False
        self._others[identity] = None
        return True

    def add_identity(self, identity: Identity) -> None:
        """Add a released event."""
        if isinstance(identity, int):
            self._add_number(identity)
        else:
            self._others[identity] = None

    def _add_number(self, number: int) -> bool:
        if number == self._next and number not in self._others:
            self._next += 1
            return True
        if self._first <= number < self._next or number in self._others:
            return False
        if self._first == self._next:
            self._first = self._digested_numbers = number
            self._next = number + 1
        else:
            self._others[number] = None
        return True

    def _withhold(self, shown: _Shown, event: TaskEvent, *, out_of_band: bool) -> None:
        identity: Identity | None = event.event_key if event.event_key is not None else event.seq
        if identity is None:
            identity = self._identify_by_content(event, out_of_band=out_of_band)
        if identity in shown.events:
            return
        shown.events[identity] = event
        shown.digest = shown.digest.including([identity])
        late = self._digest.find_late(shown.digest, shown.events)
        if late is not None:
            self._shown = None
            for delivered in shown.events:
                if delivered not in late:
                    self.add_identity(delivered)
            self._digested_numbers, self._digested_others = self._next, len(self._others)
            self._released = [(identity, shown.events[identity]) for identity in late]
        elif shown.digest.size >= self._digest.size + MAX_LATE:
            self.release_all()

    def release_all(self) -> None:
        """Release what is withheld as if nothing had been delivered: events come again, and none is lost."""
        if self._shown is not None and self._shown.events:
            self._released = list(self._shown.events.items())
            self._digest = EMPTY
            self._shown = None

    def take_released(self) -> Released:
        """Take the events that are new after all, in their order. They are to be added when they are delivered."""
        released, self._released = self._released, _NONE
        return released

    def _identify_by_content(self, event: TaskEvent, *, out_of_band: bool) -> Identity:
        """Identify an event that has neither key nor number by its content, and by how often that has come so far."""
        if self._counts is None:
            self._counts = (Counter(), Counter())
        counts = self._counts[out_of_band]
        content = f"{event.event_type}\0{_to_text(event.payload)}".encode("utf-8", "surrogatepass")
        digest = int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
        counts[digest] += 1
        return digest, counts[digest]

    @property
    def digest(self) -> SetDigest:
        """The digest of what was delivered. It hashes only what has come since it was asked for last."""
        if self._shown is None:
            others = islice(reversed(self._others), len(self._others) - self._digested_others)
            self._digest = self._digest.including(chain(range(self._digested_numbers, self._next), others))
            self._digested_numbers, self._digested_others = self._next, len(self._others)
        return self._digest


def _to_text(payload: object) -> str:
    """Write a payload in the same way in every process, whichever library reads its JSON."""
    try:
        return ascii(payload)
    except RecursionError:
        return ""


class Delivered:
    """What was delivered of a turn, and of the sub-prompts that were followed with it."""

    __slots__ = ("_of_sub_prompts", "_unmet", "own")

    def __init__(self, position: CursorPosition | None = None) -> None:
        position = position or CursorPosition(None)
        self.own = DeliveredSet(position.own)
        """The turn's own events."""
        self._of_sub_prompts: dict[str, DeliveredSet] = {}
        self._unmet = position.of_sub_prompts  # from the cursor; of sub-prompts that may not have been met yet

    def of(self, sub_prompt: str) -> DeliveredSet:
        """Return the set of a sub-prompt, or of the turn itself ("")."""
        if not sub_prompt:
            return self.own
        found = self._of_sub_prompts.get(sub_prompt)
        if found is None:
            found = DeliveredSet(self._unmet.get(hash_sub_prompt(sub_prompt), EMPTY))
            self._of_sub_prompts[sub_prompt] = found
        return found

    def __bool__(self) -> bool:
        return any(self.sets()) or bool(self._unmet)

    def sets(self) -> Iterator[DeliveredSet]:
        yield self.own
        yield from self._of_sub_prompts.values()

    def items(self) -> list[tuple[str, DeliveredSet]]:
        """Return the sets with their sub-prompts, that of the turn itself ("") first."""
        return [("", self.own), *self._of_sub_prompts.items()]

    @property
    def needs_replay(self) -> bool:
        """Whether a connection must bring the turn from its start: only its place in a replay identifies some event."""
        return self.own.is_resuming or any(found.has_events_without_identity for found in self.sets())

    @property
    def is_resuming(self) -> bool:
        return any(found.is_resuming for found in self.sets())

    @property
    def is_withholding(self) -> bool:
        return any(found.is_withholding for found in self.sets())

    def restart(self, *, out_of_band: bool = False) -> None:
        """Expect the turn from its start, on the stream or by another read."""
        for found in self.sets():
            found.restart(out_of_band=out_of_band)

    def position(self, prompt_id: str | None) -> CursorPosition:
        met = {hash_sub_prompt(name): found.digest for name, found in self._of_sub_prompts.items() if found}
        return CursorPosition(prompt_id, self.own.digest, {**self._unmet, **met})
