"""``python -m cortune.config`` prints config/README.md."""

from cortune.config.document import document

if __name__ == "__main__":
    print(document(), end="")
