"""Numbers and counts as the report and its figures write them."""

from __future__ import annotations


def number(value: float) -> str:
    """Return three decimals without the zero before them, two from 1 on."""
    value = round(value, 3) + 0.0  # no −.000
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.2f}"


def signed(value: float) -> str:
    """Return a number with its sign."""
    return ("+" if value >= 0 else "−") + number(abs(value))


def counted(n: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: one, or more than one (or none)."""
    return f"{n} {one if n == 1 else many or one + 's'}"
