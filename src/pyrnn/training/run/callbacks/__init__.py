"""Callbacks of the trainer: early stopping, saving, logging."""
