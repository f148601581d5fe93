"""The optimisers, under the module name that torch uses."""

from pyrnn.training._optimizer import Optimizer
from pyrnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]
