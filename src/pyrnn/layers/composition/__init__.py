"""Layers made of layers, and the small ones that stand between others."""
