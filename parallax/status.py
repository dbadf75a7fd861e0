"""`parallax status`: what whoever runs a server wants to know of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import typer

from common import facts
from common.errors import InputError, first_line
from common.settings import settings

#: Where `make run` serves.
URL = "http://127.0.0.1:8501"

_SECONDS = 20.0


def status(
    *,
    url: Annotated[str, typer.Option(metavar="URL", help="The server that is asked.")] = URL,
    key: Annotated[
        str, typer.Option(metavar="KEY", help="The teacher's key; by default teacher_key of the settings.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell a server's memory, models, jobs, sessions, disk use, versions and settings.

    A running server tells them to whoever has the teacher's key (PARALLAX_TEACHER_KEY, or teacher_key in
    parallax.toml). Without a server, or without a key, what the data folder and the settings of this machine say.

    \b
    Example:
      python -m parallax status
      python -m parallax status --url https://parallax.example.org --json
    """
    found, why_not = _of_server(url, key or settings().teacher_key)
    if found is None:
        found = {"versions": facts.versions(), "disk": facts.disk_or_why(), "settings": facts.choices()}
    if why_not:
        print(why_not, file=sys.stderr)
    print(json.dumps(found, indent=2) if as_json else "\n".join(_lines(found)))


def _of_server(url: str, key: str) -> tuple[dict[str, Any] | None, str]:
    """What the server tells, or why it does not; raises `InputError` where it cannot be a server of ours."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError("the address of a server", repr(url), f"Write {URL}, for example.")
    if not key:
        cure = "Set teacher_key in parallax.toml, for the server too, or give --key."
        return None, str(InputError("the teacher's key, to ask a running server", "none", cure))
    try:  # nobody else gets the key: redirects are not followed, and proxies not used
        answer = httpx.get(
            f"{url.rstrip('/')}/status", headers={"X-Parallax-Key": key}, timeout=_SECONDS, trust_env=False
        )
        found = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return None, f"No server answers at {url} ({first_line(error)}): this is what its data folder says."
    except ValueError as error:
        cure = "Check the address."
        raise InputError("the facts of a Parallax server", f"something else from {url}", cure) from error
    if not isinstance(found, dict):
        cure = "Check the address, and that it runs with the same teacher_key."
        raise InputError(f"a Parallax server at {url} that takes this key", f"status {answer.status_code}", cure)
    return found, ""


def _lines(found: dict[str, Any]) -> Iterator[str]:
    """The facts for people, a group to a paragraph."""
    for title, group in found.items():
        if isinstance(group, dict):
            yield f"\n{title}"
            yield from (f"  {line}" for line in _group(group))
        else:
            yield f"\n{title}  {group}"


def _group(group: dict[str, Any]) -> Iterator[str]:
    width = max((len(_title(name)) for name in group), default=0)
    for name, value in group.items():
        if isinstance(value, dict):
            yield _title(name) + ("" if value else "  none")
            yield from (f"  {line}" for line in _group({f"{inner}_bytes": size for inner, size in value.items()}))
        else:
            yield f"{_title(name):{width}}  {_shown(name, value)}"


def _title(name: str) -> str:
    return name.removesuffix("_bytes").replace("_", " ")


def _shown(name: str, value: Any) -> str:
    if name.endswith("bytes") and isinstance(value, int):
        return f"{value / 1e9:,.2f} GB" if value >= 1e8 else f"{value / 1e6:,.1f} MB"
    if name == "seconds":
        hours, rest = divmod(int(value), 3600)
        return f"{hours} h {rest // 60} min"
    return str(value)
