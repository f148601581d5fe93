"""Spoiled files of all readers; `tests.fuzz.readers` reads very many of them in little time."""

from tests.fuzz.case import entry
from tests.fuzz.readers.listed import READERS

for reader in READERS.values():
    entry(reader.entry, *reader.covers, weight=reader.weight)(reader.make)
