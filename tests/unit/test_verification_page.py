"""The page of comparisons names tests that there are."""

from __future__ import annotations

import re


def test_named_tests_exist(repository):
    page = (repository / "docs" / "verification.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    named = 0
    for row in rows:
        files: list[str] = []
        for word in re.findall(r"`(\w+)`", row.rsplit("|", 2)[1]):
            if not word.startswith("test_"):
                files = [word]
                path = repository / "tests" / "unit" / f"test_{word}.py"
                assert path.is_file(), f"no {path.name}: {row}"
            else:
                assert f"def {word}(" in path.read_text(), f"no {word} in {files}"
                named += 1
    assert named > 30
