"""What is asked for: suites, task cards, cells and the recipes that they train."""
