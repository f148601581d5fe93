"""Spoils files: their bytes, what is pickled or zipped in them, what is parsed of them."""
