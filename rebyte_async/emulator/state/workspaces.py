"""Workspaces: what the tasks on one machine share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from rebyte_async.emulator.errors import not_found

if TYPE_CHECKING:
    from rebyte_async.emulator.state.artifacts import StoredArtifact
    from rebyte_async.emulator.state.files import StoredFile


@define(eq=False)
class Workspace:
    """One workspace: the files in its machine, and the artifacts that came out of it."""

    id: str
    files: dict[str, StoredFile] = field(factory=dict[str, "StoredFile"], init=False)
    artifacts: dict[str, StoredArtifact] = field(factory=dict[str, "StoredArtifact"], init=False)

    def artifact(self, name: str) -> StoredArtifact:
        """The artifact of a name.

        Raises:
            ApiError: There is none.
        """
        if name not in self.artifacts:
            raise not_found("Artifact")
        return self.artifacts[name]

    def place(self, artifact: StoredArtifact) -> StoredArtifact | None:
        """Take in an artifact; returns the one that it replaces."""
        old = self.artifacts.get(artifact.name)
        self.artifacts[artifact.name] = artifact if old is None else artifact.after(old)
        return old


@define(eq=False)
class Workspaces:
    """All workspaces by id."""

    _by_id: dict[str, Workspace] = field(factory=dict[str, Workspace], init=False)

    def make(self, workspace_id: str) -> Workspace:
        """The workspace of an id, a new one if there is none."""
        return self._by_id.setdefault(workspace_id, Workspace(workspace_id))

    def get(self, workspace_id: str) -> Workspace:
        """The workspace of an id.

        Raises:
            ApiError: There is none.
        """
        if workspace_id not in self._by_id:
            raise not_found("Workspace")
        return self._by_id[workspace_id]

    def find(self, workspace_id: str) -> Workspace | None:
        """The workspace of an id, if there is one."""
        return self._by_id.get(workspace_id)

    def remove(self, workspace_id: str) -> None:
        """Hide a workspace from every request."""
        self._by_id.pop(workspace_id, None)
