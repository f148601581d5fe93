"""What a training has measured, epoch by epoch."""

from __future__ import annotations


class History:
    """The numbers of each epoch, as Keras has them.

    Attributes
    ----------
    epoch : list of int
        The epochs, from 0 on.
    history : dict
        A list for each name: "loss", "val_loss" where there is a validation, "lr".
    """

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def add(self, epoch: int, logs: dict[str, float]) -> None:
        """Take down the numbers of an epoch."""
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items()}
        return f"History({len(self.epoch)} epochs, {last})"
