"""The parameters of a stack, and the weights that backends compute with, packed once."""
