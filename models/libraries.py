"""The libraries that architectures come from, imported once and by one thread."""

import sys
import threading
import time

#: Seconds for a browser to get and draw what a page shows before it waits for the libraries.
_DRAWN_S = 0.7

_guard, _wanted = threading.Lock(), threading.Event()


def import_libraries() -> None:
    """Import torch, torchvision and timm, unless that is done.

    They take seconds, so no module imports the last two at its top, and none that the first page shows imports torch:
    `pages.server.start` imports them beside it. But two threads that meet inside them, each with a submodule that the
    other wants, fail with a deadlock error or find a module half made. Whoever may be first among threads calls this.
    """
    _wanted.set()
    with _guard:
        import timm  # noqa: F401
        import torchvision  # noqa: F401


def import_below() -> None:
    """The same in the midst of a page: what stands above is drawn first, as imports hold the interpreter at length."""
    if "timm" not in sys.modules:
        time.sleep(_DRAWN_S)
    import_libraries()


def wait_until_wanted(seconds: float) -> None:
    """Leave the interpreter to others until somebody calls `import_libraries`, or for so many seconds."""
    _wanted.wait(seconds)
