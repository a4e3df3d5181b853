"""What sections of the configuration are made of: models of pydantic, and bounds they share.

A section is defined beside the code that uses it. A key is an attribute with its type, bounds
and default, and a docstring that says what it means; the docstring of the class says what the
section is for. :mod:`cortune.config` collects the sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

N_NSD_IMAGES = 73_000

# Bounds of what the simulator takes, of every layout.
SIMULATED: dict[str, tuple[float, float]] = {
    "n_images": (4, N_NSD_IMAGES),
    "n_shared": (0, N_NSD_IMAGES),
    "n_test_images": (0, N_NSD_IMAGES),
    "n_coco": (0, N_NSD_IMAGES),
    "image_size": (32, 1024),
    "n_classes": (2, 40),
    "n_repeats": (1, 100),
    "session_trials": (4, 100_000),
    "run_trials": (2, 1000),
    "session_runs": (1, 99),
    "ncsnr": (0.01, 100.0),
    "ncsnr_sigma": (0.0, 3.0),
    "smoothing_mm": (0.0, 20.0),
    "noise_correlation": (0.0, 1.0),
    "tuning_correlation": (0.0, 1.0),
    "null_fraction": (0.0, 0.5),
}


class Section(BaseModel):
    """A section of the configuration: unknown keys and other types are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def simulated(key: str) -> Any:
    """Return the bounds of a number that the simulator takes."""
    low, high = SIMULATED[key]
    return Field(ge=low, le=high)


@dataclass(frozen=True)
class OneOf:
    """Annotates text that must be a name in a registry, which is imported when it is asked.

    Parameters
    ----------
    names : callable
        Returns the names.
    """

    names: Callable[[], Iterable[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse other text, as a literal type does."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        """List the names."""
        return {**handler(schema), "enum": [*self.names()]}

    def _known(self, value: str) -> str:
        if value not in (known := [*self.names()]):
            raise PydanticKnownError("literal_error", {"expected": ", ".join(map(repr, known))})
        return value


def _distinct(values: list[Any]) -> list[Any]:
    if any(value in values[:position] for position, value in enumerate(values)):
        raise PydanticCustomError("distinct", "expected each item once")
    return values


Distinct = (AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True}))
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Classes = Annotated[int, simulated("n_classes")]
