"""The hubs of pretrained weights, asked so that a missing network costs seconds, not a minute of retries."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

_GUARD = threading.Lock()


def answers(url: str, timeout_s: float = 4.0) -> bool:
    """Whether anything answers at `url` in time, be it with a refusal; asked by way of a proxy where one is set."""
    heard = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=timeout_s).close()
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            return
        heard.set()

    asking = threading.Thread(target=ask, daemon=True)  # looking up a name heeds no timeout: wait for it from outside
    asking.start()
    asking.join(timeout_s)
    return heard.is_set()


@contextmanager
def hugging_face() -> Iterator[None]:
    """Inside, timm's downloads fail at once when the hub does not answer; what lies in its cache still loads."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or answers(constants.ENDPOINT):
        yield
        return
    with _GUARD:
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        except OSError as error:  # its own words take three lines
            raise _silent(constants.ENDPOINT) from error
        finally:
            constants.HF_HUB_OFFLINE = False


def check_torch_hub(url: str) -> None:
    """Raise `OSError` when the weights at `url` are neither in torch's cache nor to be had."""
    import torch  # which takes seconds; who asks has it by then

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if not file.exists() and not answers(url):
        raise _silent(url)


def _silent(url: str) -> OSError:
    return OSError(f"{urlsplit(url).netloc} does not answer")
