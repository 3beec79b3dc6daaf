"""Files that are replaced atomically."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from rebyte_async._atomic import PartFile, replace_file, sync_file, write_file
from support.systems import FILE_MODES, LINKS, make_pipe


def names(folder: Path) -> list[str]:
    """The names of all files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_replaces_the_old_one(tmp_path: Path) -> None:
    """A file that is written whole replaces the old one, and nothing else is left in the folder."""
    target = tmp_path / "report.html"
    target.write_bytes(b"the old one, which was longer")
    write_file(target, [b"new"])
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["report.html"]


@LINKS
def test_a_link_is_followed(tmp_path: Path) -> None:
    """The file that the link leads to is replaced, and the link stays."""
    real = tmp_path / "real"
    link = tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_file(link, [b"new"])
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    """A pipe is written to directly, because no file can take its place."""
    pipe = tmp_path / "pipe"
    make_pipe(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, [b"content"])
    reader.join(5)
    assert read == [b"content"]
    assert names(tmp_path) == ["pipe"]


def test_a_folder_that_is_missing_is_named_by_its_target(tmp_path: Path) -> None:
    """The name of the part file would puzzle the caller."""
    target = tmp_path / "missing" / "file"
    with pytest.raises(FileNotFoundError) as caught:
        write_file(target, [b"new"])
    assert caught.value.filename == str(target)


def test_the_target_is_as_it_was_until_the_commit(tmp_path: Path) -> None:
    """A part file has its own name until then."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    part = PartFile(target)
    part.open()
    part.write([b"dropped"])
    part.rewind()
    part.write([b"ne", b"", b"w"])
    assert target.read_bytes() == b"old"
    part.commit()
    assert target.read_bytes() == b"new"
    part.discard()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_discarding_leaves_nothing(tmp_path: Path) -> None:
    """Also where the part file is to be created only afterwards, by a step that came late."""
    target = tmp_path / "file"
    part = PartFile(target)
    part.open()
    part.write([b"some"])
    part.discard()
    part.open()
    late = PartFile(target)
    late.discard()
    late.open()
    with pytest.raises(ValueError, match="isn't open"):
        late.write([b"some"])
    assert names(tmp_path) == []


def test_a_long_name_leaves_room_for_the_part_files(tmp_path: Path) -> None:
    """Most systems allow 255 bytes."""
    target = tmp_path / ("x" * 250)
    write_file(target, [b"new"])
    assert target.read_bytes() == b"new"


def test_a_file_of_another_writer_is_synced_and_renamed(tmp_path: Path) -> None:
    """For those who write their part file themselves."""
    part = tmp_path / "part"
    target = tmp_path / "file"
    with part.open("w", encoding="utf-8") as file:
        file.write("new")
        sync_file(file)
    replace_file(part, target)
    assert target.read_text(encoding="utf-8") == "new"
    assert names(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """And no part file."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_file(target, "no bytes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@FILE_MODES
def test_a_new_file_is_private(tmp_path: Path) -> None:
    """What is written as a whole can be read by its owner alone; a download has the usual mode."""
    write_file(tmp_path / "report", [b"new"])
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o600
    usual = tmp_path / "usual"
    usual.touch()
    part = PartFile(tmp_path / "download")
    part.open()
    part.commit()
    assert (tmp_path / "download").stat().st_mode == usual.stat().st_mode


@FILE_MODES
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    """A private file stays private, also while the new one is written."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(mode)
    part = PartFile(target)
    part.open()
    part.write([b"new"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}
    part.commit()
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == mode


@LINKS
def test_a_part_file_follows_a_link(tmp_path: Path) -> None:
    """The link stays, and the file that it names is replaced."""
    real, link = tmp_path / "folder" / "real", tmp_path / "link"
    real.parent.mkdir()
    real.write_bytes(b"old")
    link.symlink_to(real)
    part = PartFile(link)
    part.open()
    part.write([b"new"])
    part.commit()
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_a_part_file_replaces_no_pipe_and_no_folder(tmp_path: Path) -> None:
    """A pipe, a folder and a link to either are refused."""
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    make_pipe(pipe)
    folder.mkdir()
    link.symlink_to(pipe)
    for target in (pipe, folder, link, Path(os.devnull)):
        with pytest.raises(OSError, match=r"device or a pipe|directory"):
            PartFile(target).open()
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert names(tmp_path) == ["folder", "link", "pipe"]


@pytest.mark.parametrize("name", ["漢" * 78, "é" * 120, "x" * 250, "a" + "漢" * 70])
def test_a_part_file_has_room_for_its_name_in_bytes(tmp_path: Path, name: str) -> None:
    """File systems count bytes, and a character may have four."""
    target = tmp_path / name
    write_file(target, [b"new"])
    assert names(tmp_path) == [name]
