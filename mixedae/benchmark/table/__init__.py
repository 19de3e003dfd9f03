"""How it is judged: results become one table with differences, tests and footnotes."""
