"""What is there: the folder of a suite, its results, and where each cell stands."""
