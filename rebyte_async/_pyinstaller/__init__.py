"""Hooks for PyInstaller, which finds them by the entry point `pyinstaller40`.

PyInstaller follows the import statements of a program. A hook, named after a module, adds what that module reads or
imports by another way.
"""

from pathlib import Path

__all__ = ["find_hooks"]


def find_hooks() -> list[str]:
    """Return the folders that hold hooks."""
    return [str(Path(__file__).parent)]
