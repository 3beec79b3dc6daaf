"""The API's nouns, one class each: build the request, send it, read the answer."""

from rebyte_async.resources.pages import Listing
from rebyte_async.resources.runs import TaskRun
from rebyte_async.resources.tasks import Tasks

__all__ = ["Listing", "TaskRun", "Tasks"]
