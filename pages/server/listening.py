"""Who reaches this server, this machine alone or others, and what follows from that."""

import ipaddress
from pathlib import Path

import streamlit as st
from streamlit.runtime.secrets import secrets_singleton

from common.settings import settings

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def signs_in() -> bool:
    """Whether visitors must sign in: `[auth]` in `.streamlit/secrets.toml` switches it on."""
    return secrets_singleton.load_if_toml_exists() and "auth" in secrets_singleton


def listens_here() -> bool:
    """Whether this machine alone can connect, be it as a reverse proxy for others."""
    address = str(st.get_option("server.address") or "")
    if address.startswith("unix:"):
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def host_names() -> tuple[str, ...]:
    """Hosts that a request may name; all (`*`) where others can connect and none was chosen.

    Without it a page elsewhere could have its own name lead here, and drive the server through a visitor's browser.
    """
    chosen = tuple(name for part in settings().host_names.split(",") if (name := part.strip()))
    return (*_LOCAL, *chosen) if listens_here() or chosen else ("*",)


def server_folders() -> tuple[Path, ...]:
    """The folders of the server that a visitor may name: those of the settings, and its owner's home, if they may."""
    allowed = settings().allowed_folders
    alone = listens_here() and not settings().host_names and not signs_in()
    return (*allowed, Path.home()) if settings().allow_home_folder and alone else allowed
