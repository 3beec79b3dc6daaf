"""Fixtures of these tests."""

from __future__ import annotations

import pytest

from rebyte_async._wire.json import Backend


@pytest.fixture(params=["orjson", None], ids=["orjson", "json"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Read and write JSON in both ways: with the extra `speed`, and without it."""
    if request.param:
        pytest.importorskip(request.param)
    return Backend(request.param)
