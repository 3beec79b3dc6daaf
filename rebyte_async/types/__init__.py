"""The values that the API returns, as frozen attrs classes. All of them can be imported from here."""

from rebyte_async.types.agent_computers import AgentComputer, AgentComputerStatus
from rebyte_async.types.artifacts import Artifact, UploadUrl
from rebyte_async.types.events import (
    Done,
    ErrorEvent,
    InitEvent,
    QuestionEvent,
    ResultEvent,
    TaskEvent,
    TextEvent,
    ThinkingEvent,
    ToolResultEvent,
    ToolUseEvent,
    UnknownEvent,
)
from rebyte_async.types.files import Attachment, FileRef, NamedSource, Progress, Source
from rebyte_async.types.pages import Page
from rebyte_async.types.questions import OptionChoice, Question, QuestionAnswer, QuestionOption
from rebyte_async.types.service import ClientStats, Health, ResponseInfo
from rebyte_async.types.statuses import PromptStatus, TaskStatus
from rebyte_async.types.tasks import (
    Executor,
    Prompt,
    PromptContent,
    Task,
    TaskContent,
    TaskResult,
    Visibility,
    VisibilityName,
    VisibilitySetting,
)
from rebyte_async.types.values import Value
from rebyte_async.types.webhooks import TaskCompletionHints, Webhook, WebhookEventName

__all__ = [
    "AgentComputer",
    "AgentComputerStatus",
    "Artifact",
    "Attachment",
    "ClientStats",
    "Done",
    "ErrorEvent",
    "Executor",
    "FileRef",
    "Health",
    "InitEvent",
    "NamedSource",
    "OptionChoice",
    "Page",
    "Progress",
    "Prompt",
    "PromptContent",
    "PromptStatus",
    "Question",
    "QuestionAnswer",
    "QuestionEvent",
    "QuestionOption",
    "ResponseInfo",
    "ResultEvent",
    "Source",
    "Task",
    "TaskCompletionHints",
    "TaskContent",
    "TaskEvent",
    "TaskNotices",
    "TaskResult",
    "TaskStatus",
    "TextEvent",
    "ThinkingEvent",
    "ToolResultEvent",
    "ToolUseEvent",
    "UnknownEvent",
    "UploadUrl",
    "Value",
    "Visibility",
    "VisibilityName",
    "VisibilitySetting",
    "Webhook",
    "WebhookEventName",
]

TaskNotices = TaskCompletionHints  # the older name
"""The former name of `TaskCompletionHints`."""
