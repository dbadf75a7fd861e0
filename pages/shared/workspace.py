"""Workspaces: what a visitor adds and runs belongs to one, and only who has its key works there.

The key is in the address, so that a bookmark or a link opens the same workspace. What is kept of one lies in a folder
under the key's digest. Where the settings say `sharing = "shared"`, all can also use, but not change, what lies in the
workspace of the teacher's key: the bank of a class.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from common import facts
from common.errors import InputError
from common.settings import settings

#: The name of the key in the address.
PARAMETER = "workspace"

#: Keys that we make: 192 random bits.
_KEY_BYTES, _KEY = 24, re.compile(r"[A-Za-z0-9_-]{32}")


@dataclass(frozen=True)
class Workspace:
    """One visitor's, or one class's."""

    key: str

    @cached_property
    def id(self) -> str:
        """32 hex digits that stand for the key, and do not tell it."""
        return sha256(f"parallax workspace {self.key}".encode()).hexdigest()[:32]

    @property
    def folder(self) -> Path:
        """Where its models, images and choices are kept: a data folder of its own; it need not be there yet."""
        return settings().data_folder / facts.WORKSPACES / self.id

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return facts.bytes_in(self.folder)

    def touch(self) -> None:
        """Take down that it is in use, so that it is kept."""
        with suppress(OSError):  # it is not there yet, or its disk cannot be written
            os.utime(self.folder)

    def check_room(self, n_bytes: int) -> None:
        """Raise `InputError` where `n_bytes` more would be too much."""
        limit, used = settings().max_workspace_gigabytes, self.n_bytes
        if used + n_bytes > limit * 1e9:
            received = f"{n_bytes / 1e9:,.2f} GB more than the {used / 1e9:,.2f} GB in it"
            cure = "Begin a new workspace, or raise max_workspace_gigabytes in parallax.toml."
            raise InputError(f"at most {limit:g} GB in a workspace", received, cure)


def new() -> Workspace:
    """A workspace that nobody knows."""
    return Workspace(secrets.token_urlsafe(_KEY_BYTES))


def named(key: str) -> Workspace | None:
    """The workspace with this key; `None` for what is no key of ours, nor the teacher's."""
    teacher = settings().teacher_key
    if _KEY.fullmatch(key) or (teacher and compare_digest(key.encode(), teacher.encode())):
        return Workspace(key)
    return None


def current() -> Workspace:
    """This session's workspace: that of the address, or a new one where the address names none.

    Raises `RuntimeError` outside of a session: jobs are handed what they need.
    """
    if get_script_run_ctx(suppress_warning=True) is None:
        raise RuntimeError("A workspace was asked for outside of a session.")
    if "workspace" not in st.session_state:
        st.session_state["workspace"] = named(st.query_params.get(PARAMETER, "")) or new()
    return st.session_state["workspace"]


def folders() -> tuple[Path, ...]:
    """Where this session may take models and images from: its own workspace, and the bank of the class."""
    own, now = current(), settings()
    bank = (Workspace(now.teacher_key),) if now.sharing == "shared" and now.teacher_key != own.key else ()
    return tuple(one.folder for one in (own, *bank))
