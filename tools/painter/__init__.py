"""Procedural paintings of six types, with the truth about what is where."""
