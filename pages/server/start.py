"""What a server does when it has started, while the first visitor's browser still loads the page."""

import gc
import sys
from threading import Thread

from common.errors import InputError
from models.libraries import import_libraries, wait_until_wanted

#: Seconds that a first visitor has to open the first page, before importing libraries takes half of the interpreter.
_FIRST_PAGE_S = 4.0


def load() -> None:
    """Load what takes seconds, in a thread of its own: first what the first page shows, then what its buttons need."""
    Thread(target=_load, name="load", daemon=True).start()


def _load() -> None:
    import pages.upload.view  # noqa: F401 - late, as are the caches: they need the server that has started by now
    from pages.shared import cache

    try:
        cache.demo_images()
        wait_until_wanted(_FIRST_PAGE_S)
        import_libraries()
        from models.device import choose_device

        choose_device()
    except InputError as error:  # a data folder that cannot be written, a device that is not there: pages say so, too
        print(error, file=sys.stderr)
    import explainers.registry  # noqa: F401 - the pages that explain want it, and captum with it

    gc.freeze()  # collections pass over the libraries: no page stands still, and what visitors leave goes soon
