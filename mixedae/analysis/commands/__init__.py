"""The subcommands of tools/analyze.py, one module each: measure, draw, write PNG and data."""
