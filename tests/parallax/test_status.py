"""What a server tells to whoever runs it, and to nobody else."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from starlette.requests import Request

from common import facts
from common.settings import settings
from pages.server import status

KEY = "0123456789abcdef"


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", KEY)
    settings.cache_clear()
    return KEY


@pytest.fixture
def serving():
    """A server that answers as it is told to, and what it was asked."""
    told, asked = {"status": 200, "body": b"{}"}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            self.send_response(told["status"])
            for name, value in told.get("headers", {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told["body"])

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told, asked
    server.shutdown()
    thread.join()
    server.server_close()


def ask(query: str = "", headers: dict | None = None):
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "GET", "path": "/status", "query_string": query.encode(), "headers": raw}
    return status.serve(Request(scope))


def test_a_server_without_a_key_has_no_such_page():
    assert [ask(query).status_code for query in ("", "key=", "key=0123456789abcdef")] == [404] * 3


WRONG = ("", "key=", "key=0123456789abcde", "key=0123456789abcdef0", "key=0123456789ABCDEF", "key=%F0%9F%98%80", "k=1")


@pytest.mark.parametrize("query", WRONG)
def test_a_wrong_key_finds_nothing(query, key):
    answer = ask(query)
    assert (answer.status_code, answer.body) == (404, b"Not Found")
    assert ask(headers={status.HEADER: query.partition("=")[2].encode().decode("latin-1")}).status_code == 404


def test_the_key_opens_the_facts(key, data_folder):
    (data_folder / "workspaces" / "one").mkdir(parents=True)
    (data_folder / "workspaces" / "one" / "a.bin").write_bytes(bytes(1000))
    for answer in (ask(f"key={KEY}"), ask(headers={status.HEADER: KEY})):
        found = json.loads(answer.body)
        assert answer.headers["cache-control"] == "no-store"
        assert found["jobs"] == {"running": 0, "waiting": 0}
        assert found["models"].keys() == {"loaded", "weights_bytes", "most_bytes"}
        assert found["disk"]["workspaces"] == {"one": 1000}
        assert found["process"]["resident_bytes"] > 1e6
        assert found["process"]["threads"] >= 1
        assert found["versions"]["parallax"]
        assert KEY not in answer.body.decode()


def test_a_data_folder_that_is_gone_is_told(key, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PARALLAX_DATA", str(tmp_path / "file" / "data"))
    settings.cache_clear()
    assert "a data folder that can be written" in facts.disk_or_why()["error"]


def test_the_command_asks_the_server_and_shows_what_it_tells(run, key, serving):
    url, told, asked = serving
    told["body"] = json.dumps({"models": {"loaded": 3, "weights_bytes": 2_500_000_000}, "sessions": 7}).encode()
    shown = run("status", "--url", f"{url}/")
    assert (shown.status, shown.err) == (0, "")
    assert "loaded   3" in shown.out
    assert "2.50 GB" in shown.out
    assert "sessions  7" in shown.out
    assert json.loads(run("status", "--url", url, "--json").out)["sessions"] == 7
    path, headers = asked[0]
    assert path == "/status", "a key in the address would stand in logs"
    assert headers["X-Parallax-Key"] == KEY


def test_without_a_server_the_command_tells_what_lies_there(run, key, data_folder):
    (data_folder / "results").mkdir(parents=True)
    (data_folder / "results" / "a").write_bytes(bytes(5000))
    (data_folder / "results" / "link").symlink_to("/proc")
    ran = run("status", "--url", "http://127.0.0.1:9", "--json")
    found = json.loads(ran.out)
    assert ran.status == 0
    assert "No server answers at http://127.0.0.1:9" in ran.err
    assert found["disk"]["folders"]["results"] < 6000
    assert found["settings"]["max_running_jobs"] == 2
    assert KEY not in ran.out + ran.err


def test_without_a_key_no_server_is_asked(run, serving):
    url, _, asked = serving
    ran = run("status", "--url", url)
    assert (ran.status, asked) == (0, [])
    assert "the teacher's key" in ran.err
    assert "max running jobs" in ran.out


@pytest.mark.parametrize(
    ("code", "body", "part"),
    [
        (404, b"Not Found", "that takes this key, got status 404"),
        (200, b"<html>", "the facts of a Parallax server"),
        (200, b"[]", "that takes this key"),
        (200, b"\xff", "the facts of a Parallax server"),
        (303, b"", "got status 303"),
    ],
)
def test_another_answer_is_one_line_and_the_key_goes_no_further(code, body, part, run, key, serving):
    url, told, asked = serving
    told.update(status=code, body=body, headers={"Location": f"{url}/elsewhere"})
    ran = run("status", "--url", url)
    assert ran.status == 2
    assert part in ran.err
    assert len(ran.err.splitlines()) == len(asked) == 1


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8501", "file:///etc/passwd", "http://", "ftp://x", "http://[", "http://a b"]
)
def test_what_is_no_address_is_told(url, run, key):
    ran = run("status", "--url", url)
    assert len(ran.err.splitlines()) == 1
    assert ran.status == 2 or "No server answers" in ran.err
