"""Cells over time: the loop, what it keeps, truncated back-propagation, streams, zoneout."""
