"""Collected spans."""

from __future__ import annotations

import pytest

from support.traces import Spans


@pytest.fixture
def spans() -> Spans:
    """Return what collects the spans of a test."""
    return Spans()
