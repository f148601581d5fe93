"""A callback that writes what a report needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pyrnn import _checks
from pyrnn._files import AnyPath
from pyrnn._pickling import public
from pyrnn.layers._options import Setting
from pyrnn.report.recording import Recording
from pyrnn.text.character_model import CharacterModel
from pyrnn.training.run.callbacks.base import Callback, path_of


def _string_or_none(name: str, value: Any) -> str | None:
    return None if value is None else _checks.string(name, value)


@public("pyrnn.callbacks")
class RunLogger(Callback):
    """Write the history of a training, from which `pyrnn.report` makes a page.

    Parameters
    ----------
    filename : str, bytes or os.PathLike
        Where to: ``m.history.json`` beside the model file ``m.safetensors``. It is written after
        each epoch.
    model_file : str, optional
        The name of the model file beside it, if it is another one.
    text : str, optional
        Text that the model is not trained on; the report of a `CharacterModel` measures gates,
        gradients and units on its first 20 000 characters.
    prompt : str, optional
        What a `CharacterModel` continues after each epoch, so that the report has samples.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value; from `fit`, if the model does not know a character
        of the prompt.
    OSError
        From `fit`, if the file cannot be written.

    Notes
    -----
    The numbers of the first 256 steps are kept one by one, later ones as means, so that the file
    stays small. The gradient norm is that before clipping; without ``clip_grad_norm`` of the
    trainer there is none. A training that continues from a checkpoint keeps its history.

    Examples
    --------
    >>> import pyrnn
    >>> log = pyrnn.callbacks.RunLogger("m.history.json", prompt="The ")
    """

    filename: Setting[Any] = Setting(path_of)
    model_file: Setting[str | None] = Setting(_string_or_none)
    text: Setting[str] = Setting(_checks.string)
    prompt: Setting[str] = Setting(_checks.string)

    def __init__(
        self,
        filename: AnyPath,
        model_file: str | None = None,
        *,
        text: str = "",
        prompt: str = "",
    ) -> None:
        self.filename = filename
        self.model_file = model_file
        self.text = text
        self.prompt = prompt
        self._recording = Recording({}, self.text, self.prompt)

    def on_train_begin(self) -> None:
        """Begin a new history, unless the training continues from a checkpoint."""
        if self.prompt and isinstance(self.model, CharacterModel):
            vocabulary = self.model.vocabulary
            vocabulary.encode(vocabulary.normalise(self.prompt), name="prompt")
        if not self.trainer.progress.step:
            self._recording = Recording({}, self.text, self.prompt)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float]) -> None:
        """Record the numbers of a step."""
        self._recording.step(
            self.trainer.progress.step,
            math.nan,
            float(logs["loss"]),
            self.trainer.optimizer.lr,
            float(logs.get("grad_norm", math.nan)),
        )

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Record the score of an epoch, and write the file."""
        if isinstance(self.model, CharacterModel):
            bits = float(logs.get("val_loss", math.nan)) / math.log(2)
            self._recording.score(self.trainer.progress.step, math.nan, bits, self.model)
        self._recording.write(self.filename, self.model_file)

    def state_dict(self) -> dict[str, Any]:
        """Return the history so far."""
        return self._recording.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self._recording.load_state_dict(state_dict)
