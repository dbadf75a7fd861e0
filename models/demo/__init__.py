"""The small networks that come with Parallax, and their weights."""
