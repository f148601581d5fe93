"""What becomes of results: summaries, tables and pictures in the pages of docs/."""
