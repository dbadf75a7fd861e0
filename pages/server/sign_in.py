"""Sign-in by OpenID Connect, where `[auth]` in `.streamlit/secrets.toml` switches it on; else a word about its lack."""

import sys
from collections.abc import Mapping
from pathlib import Path

import streamlit as st
from streamlit.auth_util import validate_auth_credentials
from streamlit.errors import StreamlitAuthError
from streamlit.runtime.secrets import secrets_singleton

from common.errors import InputError
from common.escape import markdown
from pages.server.listening import listens_here, signs_in

#: Streamlit's name for the provider whose keys stand in `[auth]` itself.
_DEFAULT = "default"


def check_at_start() -> None:
    """End the server with one line where sign-in is configured, but not whole: it would be open, or shut to all.

    Raises `SystemExit`.
    """
    try:
        files = [path for path in map(Path, st.get_option("secrets.files")) if path.exists()]
        if files and not secrets_singleton.load_if_toml_exists():
            raise InputError("TOML in secrets.toml", "something else", f"Mend {files[0]}, or delete it.")
        if signs_in():
            for provider in providers() or [_DEFAULT]:
                validate_auth_credentials(provider)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    except StreamlitAuthError as error:
        cure = "See Exposing it in SECURITY.md."
        print(InputError("[auth] in secrets.toml with all its keys", str(error), cure), file=sys.stderr)
        raise SystemExit(2) from error


def providers() -> list[str]:
    """The providers that a visitor may sign in with."""
    section = secrets_singleton.get("auth")
    if not isinstance(section, Mapping):
        return []
    named = [name for name, value in section.items() if isinstance(value, Mapping) and "client_id" in value]
    return [*([_DEFAULT] if "client_id" in section else []), *named]


def is_wanted() -> bool:
    """Whether this visitor has to sign in before anything is shown."""
    return signs_in() and not st.user.get("is_logged_in", False)


def page() -> None:
    """What a visitor sees who has to sign in; ends the run."""
    st.title("Parallax")
    st.markdown("Sign in to see models, images and results of this server.")
    for provider in providers():
        words = "Sign in" if provider == _DEFAULT else f"Sign in with {markdown(provider)}"
        st.button(words, key=f"sign_in_{provider}", on_click=st.login, args=() if provider == _DEFAULT else (provider,))
    st.stop()


def sidebar() -> None:
    """Who is signed in, and the way out; or a warning where nobody has to be while others can connect."""
    if signs_in():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/person: {markdown(str(st.user.get('email') or st.user.get('name') or 'signed in'))}")
            st.button("Sign out", key="sign_out", type="tertiary", on_click=st.logout)
    elif not listens_here():
        st.warning("Everybody on the network can use this server, without signing in.", icon=":material/lock_open:")
        st.caption("Whoever runs it: see *Exposing it* in SECURITY.md.")
