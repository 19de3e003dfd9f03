"""What tools/analyze.py does, one module a subcommand: measure, draw, write PNG and data."""
