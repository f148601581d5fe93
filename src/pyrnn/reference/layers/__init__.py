"""Layers without a loop over time: dense, convolution, pooling, pointwise functions."""
