"""The options of a new task, listed once for `create`, `run`, batch items and the command line.

A new option takes an entry in `CreateOptions` (type and documentation, which editors and the reference show) and one
in `TaskOptions` (name on the wire, check, and the line that `help` and the command line show).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack, cast

from attrs import Attribute, Converter, field, fields, frozen

from rebyte_async.resources.arguments import optional_text, skill_names, with_extra
from rebyte_async.resources.sources import Attachment, attachments

__all__ = ["OPTIONS", "PROMPT_OPTIONS", "CreateOptions", "Option", "TaskOptions", "spell_out_options"]

_F = TypeVar("_F", bound=Callable[..., Any])


class CreateOptions(TypedDict, total=False):
    """The keyword arguments of `client.tasks.create` after the prompt."""

    executor: str | None
    """The coding agent: `claude` (the server's default), `gemini`, `codex`, `opencode`, or a newer one."""
    model: str | None
    """The model, an open set. Some deployments ignore it."""
    workspace_id: str | None
    """An existing agent computer to run on, which keeps its files. None provisions a new one."""
    files: Iterable[Attachment]
    """What to attach: uploaded files, paths, or pairs of a name and a source. Sources are uploaded first. Each file
    is at `/code/<filename>` before the agent starts."""
    skills: Iterable[str]
    """Skills such as `pdf`, `deep-research`, or `github:owner/repo#slug` (observed)."""
    github_url: str | None
    """A repository to check out, as `owner/repo`."""
    branch_name: str | None
    """The branch of the repository. The server's default is `main`."""
    extra: Mapping[str, Any] | None
    """Fields for the body that are newer than this package, in the API's spelling."""


@frozen(kw_only=True)
class Option:
    """How an option of a task is sent and presented."""

    wire_name: str | None
    """The option's name in the request body. None for `extra`, whose fields are parts of the body themselves."""
    summary: str
    """One line for `help` and for the command line."""
    is_text: bool = False
    """Whether the option is a plain string, which the command line can take as it is."""


def _option(wire_name: str | None, summary: str, *, is_text: bool = False) -> dict[str, Option]:
    return {"option": Option(wire_name=wire_name, summary=summary, is_text=is_text)}


def _check_text(value: str | None, attribute: Attribute[Any]) -> str | None:
    return optional_text(attribute.name, value)


def _text(wire_name: str, summary: str) -> Any:
    """Declare an optional string. It must not be empty."""
    return field(
        default=None,
        converter=Converter(_check_text, takes_field=True),
        metadata=_option(wire_name, summary, is_text=True),
    )


def _skills(skills: Iterable[str]) -> tuple[str, ...]:
    return tuple(skill_names(skills))


def _extra(extra: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    with_extra(dict.fromkeys(["prompt", *_WIRE_NAMES.values()]), extra)
    return extra


@frozen(kw_only=True)
class TaskOptions:
    """The options of one create, checked. `CreateOptions` documents each of them.

    Raises:
        InvalidRequestError: An option can't be right.
    """

    executor: str | None = _text("executor", "The coding agent: claude, gemini, codex, opencode, ...")
    model: str | None = _text("model", "The model that the agent uses.")
    workspace_id: str | None = _text("workspaceId", "An agent computer to run on; a new one if not given.")
    files: tuple[Attachment, ...] = field(
        default=(),
        converter=attachments,
        metadata=_option("files", "Files to attach: uploaded files, paths, pairs of a name and a source."),
    )
    skills: tuple[str, ...] = field(default=(), converter=_skills, metadata=_option("skills", "Skills such as pdf."))
    github_url: str | None = _text("githubUrl", "A repository to check out, as owner/repo.")
    branch_name: str | None = _text("branchName", "The branch of the repository.")
    extra: Mapping[str, Any] | None = field(
        default=None,
        converter=_extra,
        metadata=_option(None, "Fields for the body that are newer than this package."),
    )

    def to_arguments(self, **changes: Unpack[CreateOptions]) -> CreateOptions:
        """Return the options as the keyword arguments of `create`, with some of them replaced."""
        own = {name: getattr(self, name) for name in OPTIONS}
        return cast("CreateOptions", own | changes)

    def to_body(self, prompt: str) -> dict[str, Any]:
        """Return the body of a create, without options that aren't set, and without files, which are uploaded first."""
        sent = {wire_name: getattr(self, name) for name, wire_name in _WIRE_NAMES.items()}
        return with_extra({"prompt": prompt, **sent, "files": [], "skills": list(self.skills)}, self.extra)


OPTIONS: dict[str, Option] = {item.name: item.metadata["option"] for item in fields(TaskOptions)}
"""All options by their names, in the order of `create`'s signature."""
PROMPT_OPTIONS = frozenset({"files", "skills", "extra"})
"""The options that a next turn takes as well: the others belong to the task."""
_WIRE_NAMES = {name: option.wire_name for name, option in OPTIONS.items() if option.wire_name is not None}


def spell_out_options(call: _F) -> _F:
    """Show `inspect.signature` and `help` each option in place of `**options`.

    Type checkers and editors expand `**options: Unpack[CreateOptions]` themselves. Code that runs doesn't.
    """
    signature = inspect.signature(call)
    *named, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=() if item.default == () else None,
            annotation=CreateOptions.__annotations__[item.name].__forward_arg__,
        )
        for item in fields(TaskOptions)
    ]
    cast("Any", call).__signature__ = signature.replace(parameters=[*named, *options])
    if call.__doc__ is not None:
        lines = [f"{name}: {option.summary}" for name, option in OPTIONS.items()]
        call.__doc__ = re.sub(r"\*\*options: .*", "\n            ".join(lines), call.__doc__)
    return call
