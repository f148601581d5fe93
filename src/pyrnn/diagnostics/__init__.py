"""Tools that look into gradients: `gradient_flow`; `pyrnn.gradcheck` and `pyrnn.gradcheck_loss`."""

from pyrnn.diagnostics._report import GradcheckEntry
from pyrnn.diagnostics.flow import GradientFlow, gradient_flow

__all__ = ["GradcheckEntry", "GradientFlow", "gradient_flow"]
