"""The command line, `python -m parallax`."""
