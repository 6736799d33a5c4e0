"""What a network takes on the clock and in memory, always beside the stock network of the same size."""
