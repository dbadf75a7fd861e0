"""Long computations outside the page script, and what they leave on disk."""
