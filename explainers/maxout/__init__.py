"""MaxOut: the image that activates a class or a unit most, found by gradient ascent."""
