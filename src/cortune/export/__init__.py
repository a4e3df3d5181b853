"""Encoders that leave the project: fitted, written, loaded, and put to pictures."""
