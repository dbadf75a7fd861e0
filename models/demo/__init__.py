"""The small models that come with Parallax, and their weights."""
