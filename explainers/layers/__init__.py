"""A look inside: what every unit of a layer answers to a picture, first kernels, and who feeds whom."""
