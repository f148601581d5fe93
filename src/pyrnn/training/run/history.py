"""The numbers of a training run, epoch by epoch."""

from __future__ import annotations

from pyrnn.layers._options import Closed, Part


class History(Closed):
    """The numbers of each epoch, as in Keras.

    Attributes
    ----------
    epoch : list of int
        The epochs, starting from 0.
    history : dict
        A list for each name: "loss", "val_loss" if there is a validation, "lr".

    Examples
    --------
    >>> from pyrnn.callbacks import History
    >>> history = History()
    >>> history.add(0, {"loss": 2.5, "lr": 0.1})
    >>> history["loss"]
    [2.5]
    """

    epoch: Part[list[int]] = Part()
    history: Part[dict[str, list[float]]] = Part()

    def __init__(self) -> None:
        Part.keep(self, epoch=[], history={})

    def add(self, epoch: int, logs: dict[str, float]) -> None:
        """Append the numbers of an epoch.

        Parameters
        ----------
        epoch : int
            The number of the epoch.
        logs : dict
            The numbers by name.

        Examples
        --------
        >>> from pyrnn.callbacks import History
        >>> history = History()
        >>> history.add(0, {"loss": 2.5})
        >>> history.epoch, history.history
        ([0], {'loss': [2.5]})
        """
        self.epoch.append(epoch)
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items()}
        return f"History({len(self.epoch)} epochs, {last})"
