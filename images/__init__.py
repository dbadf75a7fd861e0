"""Image sets: how images are taken in, decoded and labelled."""
