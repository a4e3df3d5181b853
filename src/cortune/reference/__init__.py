"""The pages of docs/reference, made from what the code declares.

``python -m cortune.reference docs/reference`` writes the pages; tests compare what they say with
the tables and files of a finished run, and with the outputs of the rules.
"""

from cortune.reference.document import pages, placed

__all__ = ["pages", "placed"]
