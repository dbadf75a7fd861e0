"""What every room needs: settings, one-line errors, whole files, class names, and whether a hub answers."""
