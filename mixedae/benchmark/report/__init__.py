"""How it is shown: the table with charts, pictures and provenance in one page."""
