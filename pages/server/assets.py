"""The scripts of our components, each served under a digest of it and its helpers, so that browsers keep them."""

from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pages.server.content import FOR_EVER

#: The path of the route.
ROUTE = "/assets/{digest}/{name}"

_FILES: dict[tuple[str, str], Path] = {}


def component_js(script: Path, **helpers: Path) -> str:
    """What `st.components.v2.component` takes as `js`: it loads `script`, which exports `draw`.

    Each of the helpers is served beside it under its own name, `plotly=…` as `./plotly.js`.
    """
    files = {script.name: script, **{f"{name}.js": path for name, path in helpers.items()}}
    digest = sha256(b"".join(path.read_bytes() for path in files.values())).hexdigest()[:16]
    _FILES.update({(digest, name): path for name, path in files.items()})
    address = f"assets/{digest}/{script.name}"  # without a slash in front, as those of `content`
    return f'const {{ draw }} = await import(new URL("{address}", location.href))\nexport default draw\n'


async def serve(request: Request) -> Response:
    """The route: one of the files, under the digest of today."""
    path = _FILES.get((request.path_params["digest"], request.path_params["name"]))
    if path is None:
        return Response(status_code=404)
    return FileResponse(path, media_type="text/javascript", headers=FOR_EVER)
