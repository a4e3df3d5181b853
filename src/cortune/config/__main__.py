"""``python -m cortune.config`` writes what is generated from the models, in a checkout."""

from pathlib import Path

from cortune.config.document import document, schema_text

if __name__ == "__main__":
    for name, text in (
        ("config/README.md", document()),
        ("workflow/schemas/config.schema.yaml", schema_text()),
    ):
        Path(name).write_text(text, encoding="utf-8")
        print(f"wrote {name}")
