"""What is in every table and artifact: the meanings, and the pages of docs made from them.

``python -m cortune.reference docs/reference`` writes the pages; tests compare the meanings with
the tables and files of a finished run, and with the outputs of the rules.
"""

from cortune.reference.artifacts import ARTIFACTS, Artifact
from cortune.reference.document import pages
from cortune.reference.tables import TABLES, Table

__all__ = ["ARTIFACTS", "TABLES", "Artifact", "Table", "pages"]
