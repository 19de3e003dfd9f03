"""Task cards, suites, cells that cache by content, results and the comparison table. No module here imports torch."""
