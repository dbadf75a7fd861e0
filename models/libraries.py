"""The libraries that architectures come from, imported once and by one thread."""

import threading

_guard = threading.Lock()


def import_libraries() -> None:
    """Import torchvision and timm, unless that is done.

    They take over a second, so no module imports them at its top: `app.py` imports them while the first visitor's
    browser loads the page. But two threads that meet inside them, each with a submodule that the other wants, fail with
    a deadlock error or find a module half made. Whoever may be first among threads calls this.
    """
    with _guard:
        import timm  # noqa: F401
        import torchvision  # noqa: F401
