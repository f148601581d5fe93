"""Fuzzes all readers of model files with many spoiled files: ``python -m tests.fuzz.readers``."""
