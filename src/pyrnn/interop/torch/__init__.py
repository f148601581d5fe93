"""PyTorch's models: files read and written without torch, layers of them, a drop-in for torch.nn.

`nn` and `accelerate` need torch, which is imported with them alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pyrnn.interop.torch._values import Placeholder as Placeholder
from pyrnn.interop.torch.read import read as read
from pyrnn.interop.torch.state_dict import from_state_dict as from_state_dict
from pyrnn.interop.torch.state_dict import to_state_dict as to_state_dict
from pyrnn.interop.torch.write import save as save

if TYPE_CHECKING:
    from pyrnn.interop.torch import nn as nn
    from pyrnn.interop.torch.nn import accelerate as accelerate

__all__ = [
    "Placeholder",
    "accelerate",
    "from_state_dict",
    "nn",
    "read",
    "save",
    "to_state_dict",
]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import what needs torch when it is first used."""
        if name == "nn":
            return importlib.import_module("pyrnn.interop.torch.nn")
        if name == "accelerate":
            return importlib.import_module("pyrnn.interop.torch.nn").accelerate
        raise AttributeError(f"module 'pyrnn.interop.torch' has no attribute {name!r}")
