"""What pages show beside words: images and figures, each at an address that is the digest of its content.

A browser keeps what it has seen for as long as it likes, so that nothing travels twice; and nobody finds an address
without the content. Addresses have no slash in front: they hold wherever a proxy puts the app.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response

_FOLDER = "content"

#: The path of the route that serves it all.
ROUTE = f"/{_FOLDER}/{{name}}"

_TYPES = {
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "png": "image/png",
    "json": "application/json",
    "bin": "application/octet-stream",
}
_NAME = re.compile(rf"[0-9a-f]{{64}}\.({'|'.join(_TYPES)})")

#: A browser need never ask again.
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


class ContentStore:
    """Content in memory by its address, `limit` bytes at most; what was not asked for the longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size, self._lock = limit, 0, Lock()
        self._contents: OrderedDict[str, bytes] = OrderedDict()
        self._addresses: OrderedDict[str, str] = OrderedDict()

    def put(self, content: bytes, kind: str) -> str:
        """The address of `content`, which is of a `kind` in `_TYPES`."""
        address = f"{_FOLDER}/{sha256(content).hexdigest()}.{kind}"
        with self._lock:
            if address not in self._contents:
                self._contents[address] = content
                self._size += len(content)
            self._contents.move_to_end(address)
            while self._size > self._limit and len(self._contents) > 1:
                self._size -= len(self._contents.popitem(last=False)[1])
        return address

    def find(self, key: str, make: Callable[[], bytes], kind: str) -> str:
        """The address of what `make` gives; `key` stands for all that this depends on, so that it is made once."""
        with self._lock:
            address = self._addresses.get(key)
            if address is not None and address in self._contents:
                self._contents.move_to_end(address)
                self._addresses.move_to_end(key)
                return address
        address = self.put(make(), kind)
        with self._lock:
            self._addresses[key] = address
            while len(self._addresses) > 10 * len(self._contents):
                self._addresses.popitem(last=False)
        return address

    def get(self, address: str) -> bytes | None:
        """The content of an address; `None` for what was never put there, or is gone."""
        with self._lock:
            if address in self._contents:
                self._contents.move_to_end(address)
            return self._contents.get(address)


#: What this server shows, in 256 MB.
STORE = ContentStore(256_000_000)


async def serve(request: Request) -> Response:
    """The route: the content of an address."""
    name = request.path_params["name"]
    found, content = _NAME.fullmatch(name), STORE.get(f"{_FOLDER}/{name}")
    if found is None or content is None:
        return Response(status_code=404)
    return Response(content, media_type=_TYPES[found[1]], headers=FOR_EVER)
