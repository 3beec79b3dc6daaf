"""Event streams of tasks: complete, in order, each event once, whatever the network does."""

from rebyte_async.streams._source import EventBody, TurnSource
from rebyte_async.streams.merge import merge
from rebyte_async.streams.stream import TaskEventStream

__all__ = ["EventBody", "TaskEventStream", "TurnSource", "merge"]
