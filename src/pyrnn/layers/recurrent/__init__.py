"""Recurrent layers and cells: what they share, one file for each kind, streams."""
