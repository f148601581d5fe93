"""Layers, cells and streams, and the sequences that they take."""
