"""Data sets: readers of the layouts on disk, splits, and what is prepared from them."""

from cortune.data.prepare import (
    prepare_images,
    prepare_responses,
    read_responses,
    split_images,
)
from cortune.data.readers import READERS, Reader, open_dataset
from cortune.data.records import Images, Responses
from cortune.data.splits import SETS, assert_disjoint, read_split, rows_in, split_of, split_table

__all__ = [
    "READERS",
    "SETS",
    "Images",
    "Reader",
    "Responses",
    "assert_disjoint",
    "open_dataset",
    "prepare_images",
    "prepare_responses",
    "read_responses",
    "read_split",
    "rows_in",
    "split_images",
    "split_of",
    "split_table",
]
