"""Training: data in batches, the trainer, its callbacks, checkpoints."""
