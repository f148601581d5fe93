"""Optimisers and schedules of their learning rates, under torch's names."""

from pyrnn.optim import lr_scheduler
from pyrnn.training._optimizer import Optimizer
from pyrnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]
