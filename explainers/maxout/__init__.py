"""MaxOut: the picture that a class or a unit answers to most, found by gradient ascent."""
