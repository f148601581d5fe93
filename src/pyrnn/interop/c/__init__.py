"""Models as plain C: one header and one source file; nothing else is needed."""

from __future__ import annotations

from pyrnn.interop.c.export import Exported as Exported
from pyrnn.interop.c.export import export as export

__all__ = ["Exported", "export"]
