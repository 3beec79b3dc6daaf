"""The options of a task, which creates, runs, batch items and the command line share."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from attrs import fields_dict

from rebyte_async import AsyncRebyte, errors
from rebyte_async.batch import BatchItem
from rebyte_async.resources import Tasks
from rebyte_async.resources.options import OPTIONS, CreateOptions, TaskOptions


def test_the_keywords_of_a_create_are_the_options() -> None:
    """Type checkers see `CreateOptions`, running code sees `TaskOptions`: both have the same names."""
    assert list(CreateOptions.__annotations__) == list(OPTIONS) == list(fields_dict(TaskOptions))


@pytest.mark.parametrize("call", [Tasks.create, Tasks.run, BatchItem])
def test_signatures_list_each_option(call: Any) -> None:
    """`inspect.signature` shows each option as a keyword with its default."""
    parameters = inspect.signature(call).parameters
    defaults = {name: parameters[name].default for name in OPTIONS}
    assert defaults == dict.fromkeys(OPTIONS) | {"files": (), "skills": ()}
    assert {parameters[name].kind for name in OPTIONS} == {inspect.Parameter.KEYWORD_ONLY}


def test_help_says_what_each_option_is() -> None:
    """The docstring has a line for each option."""
    for call in (Tasks.create, Tasks.run):
        text = inspect.getdoc(call) or ""
        assert all(f"    {name}: {option.summary}" in text for name, option in OPTIONS.items())
        assert "**options" not in text


def test_an_item_has_its_own_fields_first() -> None:
    """Key and prompt are positional; the options follow them as keywords, and then what isn't sent."""
    assert list(fields_dict(BatchItem)) == ["key", "prompt", *OPTIONS, "metadata", "origin"]
    assert repr(BatchItem("k", "p")).startswith("BatchItem(key='k', prompt='p', executor=None")


async def test_an_unknown_keyword_is_a_type_error() -> None:
    """`create` refuses a misspelt option as any function does."""
    create: Any = AsyncRebyte("rbk_x").tasks.create
    with pytest.raises(TypeError, match=r"create\(\) got an unexpected keyword argument 'promt'"):
        await create("Do it", promt="y")


def test_a_body_has_only_options_that_are_set() -> None:
    """Names on the wire are the API's; `extra` adds to them and overrides none."""
    assert TaskOptions().to_body("Do it") == {"prompt": "Do it"}
    options = TaskOptions(workspace_id="w", skills=["pdf"], github_url="a/b", branch_name="dev", extra={"effort": 1})
    assert options.to_body("Do it") == {
        "prompt": "Do it",
        "workspaceId": "w",
        "skills": ["pdf"],
        "githubUrl": "a/b",
        "branchName": "dev",
        "effort": 1,
    }
    with pytest.raises(errors.InvalidRequestError, match="workspaceId"):
        TaskOptions(extra={"workspaceId": "w"})


def test_options_become_the_arguments_of_a_create_again() -> None:
    """Another set of options can be made of them, with changes."""
    options = TaskOptions(model="m", files=["a.csv"], extra={"effort": 1})
    assert TaskOptions(**options.to_arguments()) == options
    assert TaskOptions(**options.to_arguments(model=None, files=())) == TaskOptions(extra={"effort": 1})


@pytest.mark.parametrize(
    ("given", "better"),
    [
        ("https://github.com/octo/app", "octo/app"),
        ("https://github.com/octo/app.js.git", "octo/app.js"),
        ("https://github.com/octo/app/tree/main", "octo/app"),
        ("git@github.com:octo/app.git", "octo/app"),
        ("github.com/octo/app", "octo/app"),
        ("octo", None),
        ("octo/app/tree", None),
    ],
)
def test_a_repository_is_owner_and_name(given: str, better: str | None) -> None:
    """An address in place of owner/repo is refused at once, with what to pass."""
    with pytest.raises(errors.InvalidRequestError, match="github_url must be owner/repo") as caught:
        BatchItem("k", "p", github_url=given)
    assert str(caught.value).endswith(f"pass '{better}'") == (better is not None)
    assert BatchItem("k", "p", github_url="octo/app.js").github_url == "octo/app.js"
