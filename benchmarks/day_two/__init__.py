"""What clients see while something is done to a fleet."""
