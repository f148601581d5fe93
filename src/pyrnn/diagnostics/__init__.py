"""Tools that look into gradients."""
