"""Image sets: how pictures are taken in, decoded and labelled."""
