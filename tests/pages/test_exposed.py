"""Closed by default: who connects, from where pages load, which folders they name, and who has to sign in."""

import asyncio
import json
from pathlib import Path

import pytest
import streamlit as st
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import Response
from streamlit.runtime.secrets import AttrDict, Secrets
from streamlit.testing.v1 import AppTest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from common import settings as settings_module
from common.settings import settings
from pages.server import guard, listening, sign_in
from pages.server.guard import Guard
from pages.server.headers import SafeHeaders, content_security_policy
from tests.makers import encoded, picture
from tests.pages.apps import words

ROOT = Path(__file__).parents[2]


@pytest.fixture
def listen(monkeypatch):
    """Have the server listen at an address."""
    options, get = {"server.address": "127.0.0.1"}, st.get_option
    monkeypatch.setattr(st, "get_option", lambda name: options.get(name, get(name)))
    return lambda address: options.update({"server.address": address})


@pytest.fixture
def secret(monkeypatch):
    """What stands in secrets.toml."""
    found: dict = {}
    monkeypatch.setattr(Secrets, "load_if_toml_exists", lambda _self: bool(found))
    monkeypatch.setattr(Secrets, "__contains__", lambda _self, name: name in found)
    monkeypatch.setattr(Secrets, "get", lambda _self, name, default=None: found.get(name, default))
    return found


def choose(text: str) -> None:
    settings_module.FILE.write_text(text)
    settings.cache_clear()


def get(app, host: str = "127.0.0.1:8501", kind: str = "http", path: str = "/", cookies: str = "") -> list[dict]:
    """What an ASGI app sends to one request."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": f"{kind}.connect" if kind == "websocket" else "http.request"}

    path, _, query = path.partition("?")
    headers = [(b"host", host.encode()), (b"cookie", cookies.encode())]
    scope = {"type": kind, "method": "PUT", "path": path, "query_string": query.encode(), "headers": headers}
    asyncio.run(app(scope, receive, send))
    return sent


def test_only_this_machine_connects_to_the_server_as_it_comes():
    config = (ROOT / ".streamlit" / "config.toml").read_text()
    assert 'address = "127.0.0.1"' in config
    assert "enableCORS" not in config
    assert "enableXsrfProtection" not in config


HERE = ("127.0.0.1", "127.8.9.1", "localhost", "::1", "[::1]", "unix:///tmp/a.sock")
BEYOND = ("", None, "0.0.0.0", "::", "192.168.1.5", "parallax.example.org", "127.0.0.1.example.org", "localhost.org")


@pytest.mark.parametrize("address", [*HERE, *BEYOND])
def test_an_address_of_this_machine_is_told_from_others(address, listen):
    listen(address)
    assert listening.listens_here() == (address in HERE)
    assert ("*" in listening.host_names()) == (address in BEYOND)


def test_no_name_leads_here_that_was_not_chosen(listen):
    """A page elsewhere could have its own name lead to this machine, and drive the server by a visitor's browser."""
    choose('host_names = "parallax.example.org, other.example.org"')
    app = TrustedHostMiddleware(Response("page"), listening.host_names(), www_redirect=False)
    good = ("127.0.0.1:8501", "localhost", "[::1]:80", "parallax.example.org", "other.example.org:443")
    bad = (
        "evil.org",
        "evil.org:8501",
        "127.0.0.1.evil.org",
        "",
        "example.org",
        "xparallax.example.org",
        "a b",
        "[::2]",
    )
    assert [get(app, host)[0]["status"] for host in good] == [200] * len(good)
    assert [get(app, host)[0]["status"] for host in bad] == [400] * len(bad)
    assert all(get(app, host, "websocket")[0]["type"] != "websocket.accept" for host in bad)


def test_pages_load_from_this_server_alone():
    (start, _) = get(SafeHeaders(Response("page")), "parallax.example.org:8443")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split("; ")}
    assert policy["default-src"] == ["'self'"]
    assert policy["object-src"] == ["'none'"]
    assert "'unsafe-inline'" not in policy["script-src"]
    own = {"'self'", "'none'", "data:", "blob:", "'unsafe-inline'", "'unsafe-eval'"}
    sockets = {"ws://parallax.example.org:8443", "wss://parallax.example.org:8443"}
    for name, sources in policy.items():
        foreign = {source for source in sources if source not in own and not source.startswith("'sha256-")}
        assert foreign == (sockets if name == "connect-src" else set()), name


@pytest.mark.parametrize("host", ["", "evil.org; script-src *", "a, b", "x y", "*", "a\r\nX: y", "ü.org", "a'b"])
def test_no_name_of_a_host_gets_more_into_the_policy(host):
    assert content_security_policy(host) == content_security_policy("")


def test_measurements_are_for_whoever_runs_the_server(monkeypatch):
    app = Guard(Response("page"))
    assert [get(app, path=path)[0]["status"] for path in ("/", "/compare", "/_stcore/health")] == [200] * 3
    assert [get(app, path=f"{base}/_stcore/metrics?key=")[0]["status"] for base in ("", "/app")] == [404] * 2
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", "0123456789abcdef")
    settings.cache_clear()
    assert get(app, path="/_stcore/metrics?key=0123456789abcdee")[0]["status"] == 404
    assert get(app, path="/_stcore/metrics?key=0123456789abcdef")[0]["status"] == 200


def test_nobody_fills_the_memory_without_signing_in(secret, monkeypatch):
    """A visitor at the door has a session, and a session may upload."""
    app, path = Guard(Response("page")), "/_stcore/upload_file/session/file"
    assert get(app, path=path)[0]["status"] == 200
    secret["auth"] = AttrDict(WHOLE)
    monkeypatch.setattr(guard, "get_cookie_secret", lambda: "c" * 32)
    user, out = (json.dumps({"is_logged_in": is_in, "email": "a@x.org"}) for is_in in (True, False))
    name = "_streamlit_user"
    good = create_signed_value("c" * 32, name, user).decode()
    bad = ("", "x", user, good[:-1], create_signed_value("d" * 32, name, user).decode(), "ü")
    bad = (
        *bad,
        create_signed_value("c" * 32, "other", user).decode(),
        create_signed_value("c" * 32, name, out).decode(),
    )
    assert [get(app, path=path, cookies=f"{name}={value}")[0]["status"] for value in bad] == [401] * len(bad)
    assert get(app, path=path, cookies=f"{name}={good}")[0]["status"] == 200


HOME = Path.home()


@pytest.mark.parametrize(
    ("address", "text", "expected"),
    [
        ("127.0.0.1", "", ()),
        ("127.0.0.1", 'image_folders = "/tmp"', (Path("/tmp"),)),
        ("127.0.0.1", "allow_home_folder = true", (HOME,)),
        ("127.0.0.1", 'allow_home_folder = true\nimage_folders = "/tmp"', (Path("/tmp"), HOME)),
        ("127.0.0.1", 'allow_home_folder = true\nhost_names = "parallax.example.org"', ()),
        ("0.0.0.0", "allow_home_folder = true", ()),
        ("", "allow_home_folder = true", ()),
    ],
)
def test_the_home_folder_may_be_named_while_only_its_owner_can(address, text, expected, listen):
    listen(address)
    choose(text)
    assert listening.server_folders() == expected


def test_the_home_folder_stays_closed_where_visitors_sign_in(listen, secret):
    secret["auth"] = {}
    choose("allow_home_folder = true")
    assert listening.server_folders() == ()


def folder_tab():
    """The tab for a folder on the server, as an app."""
    import streamlit as st

    from common.errors import InputError
    from pages.upload import controls

    try:
        if (job := controls.server_folder()) is not None:
            job.wait(20)
            st.markdown(f"{job.title}: {job.error or job.result.names}")
    except InputError as error:
        st.error(str(error))


def named(text: str) -> AppTest:
    """The tab once a visitor has sent the form."""
    app = AppTest.from_function(folder_tab).run()
    app.text_input(key="upload_folder").set_value(text)
    app.button(key="upload_folder_add").click().run()
    assert not app.exception
    return app


def test_the_page_says_which_folders_it_opens_and_nothing_of_the_rest(listen, tmp_path, monkeypatch):
    st.cache_resource.clear()
    home = tmp_path / "home"
    for folder, seed in (("home/pets", 0), ("elsewhere", 1)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(encoded(picture(8, 8, seed=seed)))
    monkeypatch.setenv("HOME", str(home))
    there, nowhere = str(tmp_path / "elsewhere"), str(tmp_path / "nowhere")
    closed = AppTest.from_function(folder_tab).run()
    assert "This server opens no folders" in closed.caption[0].value
    assert not closed.text_input
    choose("allow_home_folder = true")
    app = named("~/pets")
    assert "Your home folder may be read from here" in app.caption[0].value
    assert app.markdown[0].value == "Reading pets: ('a.png',)"
    refused = named(there).error[0].value
    assert refused.replace("elsewhere", "nowhere") == named(nowhere).error[0].value
    assert "Expected a folder that this server opens" in refused
    assert "which is not there" in named("~/none").error[0].value
    listen("0.0.0.0")
    assert not AppTest.from_function(folder_tab).run().text_input


def test_a_server_that_others_reach_without_signing_in_warns(app, listen):
    assert not app.sidebar.warning
    listen("0.0.0.0")
    assert "without signing in" in app.run().sidebar.warning[0].value
    app.switch_page("../suggestion/page.py").run()
    assert "without signing in" in app.sidebar.warning[0].value


KEYS = {"client_id": "a", "client_secret": "b", "server_metadata_url": "https://id.example.org/x"}
WHOLE = {"redirect_uri": "https://parallax.example.org/oauth2callback", "cookie_secret": "c" * 32, **KEYS}


@pytest.mark.parametrize("user", [{"is_logged_in": False}, {}, {"email": "a@x.org"}, {"is_logged_in": 0}])
def test_who_is_not_signed_in_sees_nothing_but_the_way_in(user, app, listen, secret):
    secret["auth"] = AttrDict(WHOLE)
    listen("0.0.0.0")
    app.user = user
    for name in ("upload", "suggestion"):
        app.switch_page(f"../{name}/page.py").run()
        assert [button.key for button in app.button] == ["sign_in_default"]
        assert not [*app.sidebar.markdown, *app.sidebar.caption, *app.sidebar.checkbox, *app.get("bidi_component")]
        assert words(app) == "Sign in to see models, images and results of this server. Parallax"


def test_who_is_signed_in_sees_the_pages_and_the_way_out(app, listen, secret):
    secret["auth"] = AttrDict(WHOLE)
    listen("0.0.0.0")
    app.user = {"is_logged_in": True, "email": "**a**@x.org"}
    app.run()
    assert not app.exception
    assert app.sidebar.caption[0].value.startswith(r":material/person: \*\*a\*\*")
    assert not app.sidebar.warning
    assert app.sidebar.button(key="sign_out").label == "Sign out"


def test_several_providers_have_a_button_each(app, secret):
    named = {"google": KEYS, "microsoft": KEYS}
    secret["auth"] = AttrDict({"redirect_uri": "https://x.org", "cookie_secret": "c", **named})
    app.user = {"is_logged_in": False}
    app.run()
    assert [button.label for button in app.button] == ["Sign in with google", "Sign in with microsoft"]
    sign_in.check_at_start()


@pytest.mark.parametrize(
    "auth",
    [
        {}, "no table", {"redirect_uri": "https://x.org"}, {**KEYS, "redirect_uri": "https://x.org"},
        *({key: value for key, value in WHOLE.items() if key != left_out} for left_out in WHOLE),
        {"redirect_uri": "https://x.org", "cookie_secret": "c", "google": {"client_id": "a"}},
        {"redirect_uri": "https://x.org", "cookie_secret": "c", "google": {"client_idd": "a"}},
    ],
)  # fmt: skip
def test_a_server_whose_sign_in_is_not_whole_does_not_start(auth, secret, capsys):
    secret["auth"] = AttrDict(auth) if isinstance(auth, dict) else auth
    with pytest.raises(SystemExit):
        sign_in.check_at_start()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Expected [auth] in secrets.toml with all its keys, got ")
    assert "Traceback" not in line


def test_nor_is_it_open(app, secret):
    app.user = {"is_logged_in": False}
    for auth in ({}, "no table", AttrDict({"client_id": "a"})):
        secret["auth"] = auth
        assert not app.run().sidebar.markdown


def test_secrets_that_are_no_toml_do_not_leave_the_server_open(tmp_path, monkeypatch, capsys):
    (tmp_path / "secrets.toml").write_text("[auth\n")
    get_option = st.get_option
    files = {"secrets.files": [str(tmp_path / "none.toml"), str(tmp_path / "secrets.toml")]}
    monkeypatch.setattr(st, "get_option", lambda name: files.get(name) or get_option(name))
    with pytest.raises(SystemExit):
        sign_in.check_at_start()
    assert "TOML in secrets.toml" in capsys.readouterr().err
