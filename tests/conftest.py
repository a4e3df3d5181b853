"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real inputs that is not part of the project."""
    path = Path(os.environ.get("CORTUNE_SHARED", REPOSITORY.parent / "shared"))
    if not (path / "real").is_dir():
        pytest.skip(f"no real inputs at {path} (set CORTUNE_SHARED)")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout."""
    return REPOSITORY
