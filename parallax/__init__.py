"""The command line, `python -m parallax`: one file for each subcommand."""
