"""The API's nouns, one class each: check the arguments, build the request, send it, decode the response."""

from rebyte_async.resources.agent_computers import AgentComputers
from rebyte_async.resources.artifacts import Artifacts
from rebyte_async.resources.files import Files
from rebyte_async.resources.listing import Listing
from rebyte_async.resources.runs import TaskRun
from rebyte_async.resources.tasks import Tasks
from rebyte_async.resources.webhooks import Webhooks

__all__ = ["AgentComputers", "Artifacts", "Files", "Listing", "TaskRun", "Tasks", "Webhooks"]
