"""The options of a new task, listed once for `create`, `run`, batch items and the command line.

A new option needs an entry in `CreateOptions` (its type and documentation, for type checkers, editors and the
reference) and one in `TaskOptions` (its name on the wire, its check, and its line for `help` and the command line).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack, cast

from attrs import Attribute, Converter, field, fields, frozen

from rebyte_async._validate import optional_text, text
from rebyte_async.errors import InvalidRequestError
from rebyte_async.resources.sources import check_attachments
from rebyte_async.types.files import Attachment
from rebyte_async.types.tasks import Executor

F = TypeVar("F", bound=Callable[..., Any])
_MAX_PROMPT = 100_000  # the longest prompt, in characters (contract §3, documented)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REPOSITORY_URL = re.compile(
    r"(?:(?:https?://|ssh://git@|git@)[^/:]+|(?:www\.)?github\.com)[/:]([\w.-]+/[\w.-]+?)(?:\.git)?(?:/.*)?", re.ASCII
)
_PROMPT_OPTIONS = ("files", "skills", "extra")
"""The options of a next turn. All others belong to the task."""


class CreateOptions(TypedDict, total=False):
    """The keyword arguments of `client.tasks.create` after the prompt."""

    executor: Executor | None
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


class Option(NamedTuple):
    """How an option of a task is sent and presented."""

    wire_name: str | None
    """The option's name in the request body. None for `extra`, whose fields are parts of the body themselves."""
    summary: str  # one line for `help` and for the command line
    is_text: bool = False  # whether the option is a plain string, which the command line can take as it is


def _text(wire_name: str, summary: str) -> Any:
    """Declare an optional string, which must not be empty."""
    converter: Any = Converter(_check_text, takes_field=True)
    return field(default=None, converter=converter, metadata={"option": Option(wire_name, summary, is_text=True)})


def _check_text(value: str | None, attribute: Attribute[Any]) -> str | None:
    given = optional_text(attribute.name, value)
    if given is not None and attribute.name == "github_url" and not _REPOSITORY.fullmatch(given):
        found = _REPOSITORY_URL.fullmatch(given)
        other = f": pass {found[1]!r}" if found else ""
        raise InvalidRequestError(f"github_url must be owner/repo, such as 'octo/app', not {given!r:.80}{other}")
    return given


def _check_skills(skills: Iterable[str]) -> tuple[str, ...]:
    if isinstance(skills, str) or not isinstance(skills, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidRequestError(f"skills must be a list of names, such as ['pdf'], not {skills!r:.80}")
    names = tuple(cast("Iterable[object]", skills))
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InvalidRequestError(f"skills must be names, such as 'pdf', not {name!r:.80}")
    return tuple(str(name) for name in names)


def _check_extra(extra: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    to_body(dict.fromkeys(["prompt", *_WIRE_NAMES.values()]), extra)
    return extra


@frozen(kw_only=True)
class TaskOptions:
    """The options of one create, checked. `CreateOptions` documents each of them."""

    executor: Executor | None = _text(  # noqa: RUF009 - a field, as the others
        "executor", "The coding agent: claude, gemini, codex, opencode, or a newer one."
    )
    model: str | None = _text("model", "The model that the agent uses.")
    workspace_id: str | None = _text("workspaceId", "An agent computer to run on; a new one if not given.")
    files: tuple[Attachment, ...] = field(
        default=(),
        converter=check_attachments,
        metadata={"option": Option("files", "Files to attach: uploaded files, paths, pairs of a name and a source.")},
    )
    skills: tuple[str, ...] = field(
        default=(), converter=_check_skills, metadata={"option": Option("skills", "Skills such as pdf.")}
    )
    github_url: str | None = _text("githubUrl", "A repository to check out, as owner/repo.")
    branch_name: str | None = _text("branchName", "The branch of the repository.")
    extra: Mapping[str, Any] | None = field(
        default=None,
        hash=False,
        converter=_check_extra,
        metadata={"option": Option(None, "Fields for the body that are newer than this package.")},
    )

    def to_arguments(self, **changes: Unpack[CreateOptions]) -> CreateOptions:
        """Return the options as the keyword arguments of `create`, with some of them replaced."""
        own = {name: getattr(self, name) for name in OPTIONS}
        return cast("CreateOptions", own | changes)

    def to_body(self, prompt: str) -> dict[str, Any]:
        """Return the body of a create, without options that aren't set, and without files, which are uploaded first."""
        sent = {wire_name: getattr(self, name) for name, wire_name in _WIRE_NAMES.items()}
        own = {"prompt": check_prompt(prompt), **sent, "files": [], "skills": list(self.skills)}
        return to_body(own, self.extra)


OPTIONS: dict[str, Option] = {item.name: item.metadata["option"] for item in fields(TaskOptions)}
"""All options by their names, in the order of `create`'s signature."""
_WIRE_NAMES = {name: option.wire_name for name, option in OPTIONS.items() if option.wire_name is not None}


def check_prompt(prompt: object) -> str:
    return text("prompt", prompt, longest=_MAX_PROMPT)


def to_body(fields: Mapping[str, Any], extra: object = None) -> dict[str, Any]:
    """Return the fields that are neither None nor an empty list, with those of `extra`, which must be others."""
    body = {name: value for name, value in fields.items() if value is not None and value != []}
    if extra is None:
        return body
    if not isinstance(extra, Mapping):
        raise InvalidRequestError(f"extra must be a mapping of JSON fields, not {type(extra).__name__}")
    added = {str(name): value for name, value in cast("Mapping[object, Any]", extra).items()}
    if own := sorted(added.keys() & fields.keys()):
        raise InvalidRequestError(f"extra must not hold fields that have an argument: {', '.join(own)}")
    return body | added


def next_turn_body(prompt: str, skills: Iterable[str], extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the body of a task's next turn, without files, which are uploaded first."""
    return to_body({"prompt": check_prompt(prompt), "skills": list(_check_skills(skills)), "files": []}, extra)


def check_run(prompt: str, options: Iterable[str], *, is_next_turn: bool) -> None:
    """Check at once what a run is given; the values of its options are checked when it starts."""
    check_prompt(prompt)
    allowed = sorted(_PROMPT_OPTIONS if is_next_turn else OPTIONS)
    if unknown := sorted(set(options).difference(allowed)):
        call = "run with task_id" if is_next_turn else "run"
        raise InvalidRequestError(f"{call} doesn't take {', '.join(unknown)}; it takes {', '.join(allowed)}")


def spell_out_options(call: F) -> F:
    """Show each option to `inspect.signature` and `help`, in place of `**options`.

    Type checkers and editors expand `**options: Unpack[CreateOptions]` themselves; code that runs doesn't.
    """
    signature = inspect.signature(call)
    *named, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=CreateOptions.__annotations__[item.name].__forward_arg__,
        )
        for item in fields(TaskOptions)
    ]
    cast("Any", call).__signature__ = signature.replace(parameters=[*named, *options])
    if call.__doc__ is not None:  # pragma: no branch - None under python -OO
        lines = [f"{name}: {option.summary}" for name, option in OPTIONS.items()]
        call.__doc__ = re.sub(r"\*\*options: .*", "\n            ".join(lines), call.__doc__)
    return call
