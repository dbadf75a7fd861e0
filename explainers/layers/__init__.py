"""A look inside: what every unit of a layer answers to an image, first kernels, and who feeds whom."""
