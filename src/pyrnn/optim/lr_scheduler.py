"""Schedules of learning rates, under torch's names."""

from pyrnn.training.schedules._base import LRScheduler
from pyrnn.training.schedules.one_cycle import OneCycleLR
from pyrnn.training.schedules.plateau import ReduceLROnPlateau
from pyrnn.training.schedules.simple import CosineAnnealingLR, LinearLR, StepLR

__all__ = [
    "CosineAnnealingLR",
    "LRScheduler",
    "LinearLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]
