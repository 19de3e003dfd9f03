"""Whether data on disk is complete and readable."""
