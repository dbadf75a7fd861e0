"""Models: how they are loaded, described, kept and borrowed."""
