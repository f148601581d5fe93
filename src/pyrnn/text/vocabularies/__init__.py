"""Vocabularies of other tokens than characters: bytes, words, and those of a tokeniser."""
