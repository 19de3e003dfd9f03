"""How it is made: cells become processes or cluster jobs, and these become results."""
