"""``python -m cortune.reference FOLDER`` writes the generated pages of docs."""

import sys
from pathlib import Path

from cortune.reference.document import pages

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
