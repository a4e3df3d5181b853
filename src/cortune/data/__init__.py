"""Data sets: readers of the layouts on disk, splits, and what is prepared from them."""

from importlib import import_module
from pkgutil import iter_modules

from cortune.data.prepare import (
    prepare_images,
    prepare_responses,
    read_responses,
    split_images,
)
from cortune.data.readers import LAYOUTS, Reader, layout, open_dataset
from cortune.data.records import Images, Responses
from cortune.data.splits import SETS, assert_disjoint, read_split, split_of, split_table

# Whichever module has a reader registers it.
for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "LAYOUTS",
    "SETS",
    "Images",
    "Reader",
    "Responses",
    "assert_disjoint",
    "layout",
    "open_dataset",
    "prepare_images",
    "prepare_responses",
    "read_responses",
    "read_split",
    "split_images",
    "split_of",
    "split_table",
]
