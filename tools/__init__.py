"""What makes committed files: painting, and training of the networks that come along. The app never imports it."""
