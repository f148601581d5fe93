"""Optimisers, under torch's name for their module."""

from pyrnn.training._optimizer import Optimizer
from pyrnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]
