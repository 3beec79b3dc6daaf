"""The API's nouns, one class each: build the request, send it, read the answer."""

from rebyte_async.resources.agent_computers import AgentComputers
from rebyte_async.resources.artifacts import Artifacts
from rebyte_async.resources.files import Files
from rebyte_async.resources.pages import Listing
from rebyte_async.resources.runs import TaskRun
from rebyte_async.resources.tasks import Tasks
from rebyte_async.resources.webhooks import Webhooks

__all__ = ["AgentComputers", "Artifacts", "Files", "Listing", "TaskRun", "Tasks", "Webhooks"]
