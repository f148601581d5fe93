"""Callbacks: what a `Trainer` calls during training, under Keras' names."""

from pyrnn.report.logger import RunLogger
from pyrnn.training.run.callbacks.base import Callback
from pyrnn.training.run.callbacks.early_stopping import EarlyStopping
from pyrnn.training.run.callbacks.logging import CSVLogger, JSONLogger, TensorBoard
from pyrnn.training.run.callbacks.saving import BackupAndRestore, ModelCheckpoint
from pyrnn.training.run.history import History

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "ModelCheckpoint",
    "RunLogger",
    "TensorBoard",
]
