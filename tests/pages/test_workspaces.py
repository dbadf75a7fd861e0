"""Two visitors of one server, each in a workspace of their own, or both in a class."""

import io
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from common import settings as settings_module
from common.errors import InputError
from images import intake
from jobs.queue import Job
from models.store import ModelStore
from pages.server import content
from pages.server.workspace_address import WorkspaceAddress
from pages.shared import cache, workspace
from pages.shared.workspace import PARAMETER, Workspace
from tests.makers import tiny_loaded
from tests.pages.apps import APP, words

pytestmark = pytest.mark.own_workspaces

TEACHER = "the-teacher's-own-key"


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(buffer, "PNG")
    return buffer.getvalue()


def visit(key: str, **address: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=120)
    app.query_params[PARAMETER] = key
    for name, value in address.items():
        app.query_params[name] = value
    return app.run()


@pytest.fixture
def mine(new_app) -> Workspace:
    """A workspace with a model and an image set, whose names no one else may see."""
    return furnished(workspace.new(), "my secret model", "my secret photo.png")


def furnished(there: Workspace, model: str, image: str, seed: int = 0) -> Workspace:
    ModelStore(there.folder).add(tiny_loaded(name=model, seed=seed))
    intake.from_files([(image, io.BytesIO(png("red"))), (f"2 {image}", io.BytesIO(png("blue")))], there.folder)
    return there


def digests(there: Workspace) -> dict[str, str]:
    """Those of its model and its image set."""
    return {kind: next((there.folder / kind).glob("*")).stem for kind in ("models", "image-sets")}


def listed(there: Workspace) -> set[str]:
    """The names on the lists of what was added before, as a session of this workspace sees them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workspace, "current", lambda: there)
        return {one.name for one in [*cache.known_cards(), *cache.known_image_sets()]}


def test_what_one_adds_is_listed_for_no_other(mine):
    assert {"my secret model", "2 files"} <= listed(mine)
    assert listed(workspace.new()) == {card.name for card in cache.demo_cards()}


def test_what_one_adds_is_opened_for_no_other_not_even_by_its_digest_or_its_name(mine):
    found = digests(mine)
    app = visit(mine.key, models=found["models"], images=found["image-sets"])
    assert "my secret model" in words(app)
    for model in (found["models"], "my secret model"):
        other = visit(workspace.new().key, models=model, images=found["image-sets"])
        state = other.session_state["session"]
        assert (len(state.models), state.images) == (4, cache.demo_images().digest)
        assert all("does not know" in warning.value for warning in other.warning)


def test_equal_models_and_images_keep_the_names_that_each_visitor_gave_them(mine):
    yours = furnished(workspace.new(), "yours", "your photo.png")
    assert digests(mine) == digests(yours)
    for there, own, foreign in ((mine, "my secret", "your"), (yours, "your", "secret")):
        found = digests(there)
        app = visit(there.key, models=found["models"], images=found["image-sets"])
        assert own in words(app)
        assert foreign not in words(app)


def test_views_are_kept_within_the_workspace(mine):
    app = visit(mine.key)
    view = app.query_params["view"]
    assert visit(workspace.new().key, view=view).warning[0].value.startswith("The address names a view")
    assert not visit(mine.key, view=view).warning


def test_jobs_are_seen_by_their_owner_alone(new_app):
    mine, yours = workspace.new(), workspace.new()
    gate = []

    def work(job: Job) -> None:
        while not gate:
            job.report(1, 2)

    job = cache.queue().of(mine.id).submit(Job("my secret job", work, key="k"))
    try:
        assert "my secret job" in " ".join(bar.proto.text for bar in visit(mine.key).get("progress"))
        other = visit(yours.key)
        assert not other.get("progress")
        assert not [button for button in other.button if "cancel" in (button.key or "")]
        assert cache.queue().of(yours.id).find("k") is None
    finally:
        gate.append(True)
        assert job.wait(20)


@pytest.mark.parametrize("key", ["", "short", "x" * 33, "../" * 11, "é" * 32, "a" * 31 + "\n", TEACHER])
def test_what_is_no_key_of_ours_names_no_workspace(key):
    assert workspace.named(key) is None


def test_who_names_no_workspace_gets_a_new_one(new_app):
    first, second = (visit("no key").query_params[PARAMETER] for _ in range(2))
    assert first != second
    assert all(map(workspace.named, (first, second)))


@pytest.fixture
def a_class(monkeypatch):
    monkeypatch.setenv("PARALLAX_SHARING", "shared")
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", TEACHER)
    settings_module.settings.cache_clear()


def test_a_class_begins_with_what_the_teacher_chose_and_adds_to_its_own_alone(a_class, new_app):
    bank = furnished(Workspace(TEACHER), "model of the class", "photo of the class.png")
    found = digests(bank)
    teacher = visit(TEACHER, models=found["models"], images=found["image-sets"])
    assert teacher.query_params[PARAMETER] == TEACHER
    student = visit(workspace.new().key)
    assert student.session_state["session"].models == [found["models"]]
    assert student.session_state["session"].images == found["image-sets"]
    assert TEACHER not in str(student.query_params)
    own = furnished(Workspace(student.query_params[PARAMETER]), "student's own", "another.png", seed=1)
    assert own.folder != bank.folder
    assert "student's own" not in listed(Workspace(TEACHER))
    assert {"model of the class", "student's own"} <= listed(own)
    assert "student's own" not in listed(workspace.new())


def test_a_full_workspace_takes_no_more(mine, monkeypatch):
    monkeypatch.setenv("PARALLAX_MAX_WORKSPACE_GIGABYTES", "0.001")
    settings_module.settings.cache_clear()
    mine.check_room(100_000)
    with pytest.raises(InputError, match=r"at most 0\.001 GB in a workspace"):
        mine.check_room(1_000_000)


def test_a_workspace_is_asked_for_in_sessions_only():
    with pytest.raises(RuntimeError, match="outside of a session"):
        workspace.current()


@pytest.fixture
def server():
    routes = [Route(content.ROUTE, content.serve), Route("/{page}", lambda request: PlainTextResponse("page"))]
    return Starlette(routes=routes, middleware=[Middleware(WorkspaceAddress)])


def browser(server) -> TestClient:
    return TestClient(server, headers={"Accept": "text/html,*/*"})


def test_a_browser_comes_back_to_its_own_workspace(server):
    first, second = browser(server), browser(server)
    address = first.get("/compare?models=a,b").url
    assert address.path == "/compare"
    assert address.params["models"] == "a,b"
    assert first.get("/").url.params[PARAMETER] == address.params[PARAMETER]
    assert second.get("/compare").url.params[PARAMETER] != address.params[PARAMETER]
    other = workspace.new().key
    assert first.get(f"/compare?{PARAMETER}={other}").url.params[PARAMETER] == other
    assert first.get("/compare").url.params[PARAMETER] == other


def test_cookies_are_not_for_scripts_or_other_sites(server):
    kept = browser(server).get("/compare").headers.get_list("set-cookie")
    assert len(kept) == 2
    assert all("HttpOnly" in one and "SameSite=lax" in one.replace("Lax", "lax") for one in kept)


def test_content_is_served_to_browsers_of_the_workspace_that_shows_it(server):
    mine, yours = browser(server), browser(server)
    own, other = (Workspace(one.get("/compare").url.params[PARAMETER]) for one in (mine, yours))
    name = content.STORE.put(b"a map", "webp", own.id)
    assert mine.get(f"/content/{own.id}/{name}").content == b"a map"
    for folder in (f"{own.id}/", f"{other.id}/", "", "/"):
        assert yours.get(f"/content/{folder}{name}").status_code == 404
    assert mine.get(f"/content/{other.id}/{name}").status_code == 404
    stranger = TestClient(server)
    assert stranger.get(f"/content/{own.id}/{name}").status_code == 404
    content.STORE.put(b"a map", "webp", other.id)
    assert yours.get(f"/content/{other.id}/{name}").content == b"a map"
    assert yours.get(f"/content/{own.id}/{name}").status_code == 404


def test_a_teachers_key_of_any_signs_finds_its_content(server, monkeypatch):
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", key := 'a;b=c"d,e\\%20&f+#g')
    settings_module.settings.cache_clear()
    teacher, there = browser(server), Workspace(key)
    teacher.get("/compare", params={PARAMETER: key})
    name = content.STORE.put(b"a map", "webp", there.id)
    assert teacher.get(f"/content/{there.id}/{name}").content == b"a map"
    assert teacher.get("/compare").url.params[PARAMETER] == key


def test_the_folder_of_a_workspace_does_not_tell_its_key(data_folder):
    there = workspace.new()
    assert there.key not in str(there.folder)
    assert there.folder.parent == Path(data_folder) / "workspaces"
