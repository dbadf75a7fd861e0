"""Models and images: what came in, how it is read, and how it is lent out."""
