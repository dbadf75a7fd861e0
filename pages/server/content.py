"""What pages show beside words: images and figures, each at an address that is the digest of its content.

A browser keeps what it has seen for as long as it likes, so that nothing travels twice. An address holds for the
workspace that was shown the content, and for browsers that have its key. Addresses have no slash in front: they hold
wherever a proxy puts the app.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from threading import Lock

from starlette.requests import Request
from starlette.responses import Response

from pages.server.workspace_address import may_see
from pages.shared import workspace

_FOLDER = "content"

#: The path of the route that serves it all.
ROUTE = f"/{_FOLDER}/{{workspace_id}}/{{name}}"

_TYPES = {
    "webp": "image/webp",
    "jpg": "image/jpeg",
    "png": "image/png",
    "json": "application/json",
    "bin": "application/octet-stream",
}
_NAME = re.compile(rf"[0-9a-f]{{64}}\.({'|'.join(_TYPES)})")

#: A browser need never ask again.
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}


class ContentStore:
    """Content in memory by its name, and who may see it; `limit` bytes at most, those last asked for.

    The name is the digest of the content, with its kind. Equal content is kept once, whoever is shown it.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._size, self._lock = limit, 0, Lock()
        self._contents: OrderedDict[str, tuple[bytes, set[str]]] = OrderedDict()
        self._names: OrderedDict[str, str] = OrderedDict()

    def put(self, content: bytes, kind: str, viewer: str) -> str:
        """The name of `content`, which is of a `kind` in `_TYPES`; `viewer` may see it from now on."""
        name = f"{sha256(content).hexdigest()}.{kind}"
        with self._lock:
            if name not in self._contents:
                self._contents[name] = content, set()
                self._size += len(content)
            self._show(name, viewer)
            while self._size > self._limit and len(self._contents) > 1:
                self._size -= len(self._contents.popitem(last=False)[1][0])
        return name

    def find(self, key: str, make: Callable[[], bytes], kind: str, viewer: str) -> str:
        """The name of what `make` gives; `key` stands for all that this depends on, so that it is made once."""
        with self._lock:
            name = self._names.get(key)
            if name is not None and name in self._contents:
                self._names.move_to_end(key)
                self._show(name, viewer)
                return name
        name = self.put(make(), kind, viewer)
        with self._lock:
            self._names[key] = name
            while len(self._names) > 10 * len(self._contents):
                self._names.popitem(last=False)
        return name

    def get(self, name: str, viewer: str) -> bytes | None:
        """The content with this name; `None` for what this viewer was never shown, or is gone."""
        with self._lock:
            content, viewers = self._contents.get(name, (None, set()))
            if viewer not in viewers:
                return None
            self._contents.move_to_end(name)
            return content

    def _show(self, name: str, viewer: str) -> None:
        self._contents[name][1].add(viewer)
        self._contents.move_to_end(name)


#: What this server shows, in 256 MB.
STORE = ContentStore(256_000_000)


def put(content: bytes, kind: str) -> str:
    """The address at which this session's workspace, and no other, finds `content`; see `ContentStore.put`."""
    own = workspace.current().id
    return _address(own, STORE.put(content, kind, own))


def find(key: str, make: Callable[[], bytes], kind: str) -> str:
    """The same of what `make` gives, see `ContentStore.find`."""
    own = workspace.current().id
    return _address(own, STORE.find(key, make, kind, own))


def at(address: str) -> bytes | None:
    """The content at an address of this server; `None` where there is none."""
    workspace_id, _, name = address.removeprefix(f"{_FOLDER}/").partition("/")
    return STORE.get(name, workspace_id)


def _address(workspace_id: str, name: str) -> str:
    return f"{_FOLDER}/{workspace_id}/{name}"


async def serve(request: Request) -> Response:
    """The route: the content of an address, for a browser that has the key of its workspace."""
    workspace_id, name = request.path_params["workspace_id"], request.path_params["name"]
    found, content = _NAME.fullmatch(name), STORE.get(name, workspace_id)
    if found is None or content is None or not may_see(request, workspace_id):
        return Response(status_code=404)
    return Response(content, media_type=_TYPES[found[1]], headers=FOR_EVER)
