"""What the running server tells whoever has the teacher's key: `python -m parallax status` asks for it."""

import hmac
from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from streamlit.runtime import Runtime

from common import facts
from common.settings import settings
from jobs.queue import State
from pages.shared import cache

#: The path of the route, and the header with the key; the address may have it as `key`, too.
ROUTE, HEADER = "/status", "X-Parallax-Key"


def serve(request: Request) -> Response:
    """The route: facts as JSON; it is not there (404) for others, or without a key in the settings."""
    if not has_key(request):
        return Response("Not Found", status_code=404)
    return JSONResponse(of_server(), headers={"Cache-Control": "no-store"})


def has_key(request: Request) -> bool:
    """Whether a request has the teacher's key; never where there is none."""
    given, expected = request.headers.get(HEADER) or request.query_params.get("key", ""), settings().teacher_key
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


def of_server() -> dict[str, Any]:
    """Versions, memory, models, jobs, sessions, disk and settings of this server, in plain values."""
    memory, jobs = cache.model_memory(), cache.queue().jobs
    states = Counter(job.state for job in jobs)
    return {
        "versions": facts.versions(),
        "process": facts.process(),
        "sessions": _n_sessions(),
        "models": {"loaded": len(memory), "weights_bytes": memory.n_bytes, "most_bytes": memory.max_bytes},
        "jobs": {str(state): states[state] for state in (State.RUNNING, State.WAITING)},
        "disk": facts.disk_or_why(),
        "settings": facts.choices(),
    }


def _n_sessions() -> int:
    """Pages that are open."""
    stats = Runtime.instance().stats_mgr.get_stats(["active_sessions"]) if Runtime.exists() else {}
    return sum(int(getattr(stat, "value", 0)) for found in stats.values() for stat in found)
