"""Tuning of networks: losses, methods, one training loop."""
