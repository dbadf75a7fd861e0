"""The component's script and plotly's own, served under a digest of both, so that browsers keep them for ever."""

from hashlib import sha256
from pathlib import Path

import plotly
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from pages.shared.content import FOR_EVER

_FILES = {
    "chart.js": Path(__file__).with_name("chart.js"),
    "plotly.js": Path(plotly.__file__).parent / "package_data" / "plotly.min.js",
}
_DIGEST = sha256(_FILES["chart.js"].read_bytes() + plotly.__version__.encode()).hexdigest()[:16]

#: The path of the route, and the address of the script; without a slash in front, as those of `content`.
ROUTE, SCRIPT = "/assets/{digest}/{name}", f"assets/{_DIGEST}/chart.js"


async def serve(request: Request) -> Response:
    """The route: one of the files, under the digest of today."""
    path = _FILES.get(request.path_params["name"])
    if path is None or request.path_params["digest"] != _DIGEST:
        return Response(status_code=404)
    return FileResponse(path, media_type="text/javascript", headers=FOR_EVER)
