"""Which images deserve a look: score models on images, tabulate their answers, rank and filter them."""
