"""Whole trainings: data in batches, the trainer, its callbacks, checkpoints to go on from."""
