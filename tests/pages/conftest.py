"""Apps without a browser, over the demo as a visitor finds it, or as it is once it was scored and measured."""

from __future__ import annotations

import shutil

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest, app_test, local_script_runner

from common.settings import settings
from images.paintings import demo_image_set
from pages.shared import cache, workspace
from tests.pages.apps import APP
from tests.scored import score_demo


@pytest.fixture(scope="session", autouse=True)
def one_scan_of_the_installed_packages():
    """Every `AppTest` looks for components in all installed packages: half a second for the same answer each time."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture(scope="session", autouse=True)
def scripts_compiled_once():
    """Every run of an `AppTest` compiles its scripts anew; a server does it once."""
    compiled = ScriptCache()
    with pytest.MonkeyPatch.context() as patch:
        for module in (app_test, local_script_runner):
            patch.setattr(module, "ScriptCache", lambda: compiled)
        yield


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """Every sixth of the demo's images: enough of each class, in a sixth of the time."""
    images = demo_image_set(tmp_path_factory.mktemp("demo-images"))
    return images.take(range(0, len(images), 6), images.name)


@pytest.fixture(scope="session")
def demo_scored(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo.save(folder / "image-sets")
    return score_demo(folder, demo)


@pytest.fixture(autouse=True)
def demo_read_once(demo, monkeypatch):
    """Every new server reads the demo's folder anew: half a second for the same images each time."""

    def images(data):
        demo.save(data / "image-sets")
        return demo

    monkeypatch.setattr(cache, "demo_image_set", images)


@pytest.fixture(autouse=True)
def one_workspace(request, monkeypatch):
    """Every session of a test, and the test itself, work in the same one, which lies in the data folder itself."""
    if "own_workspaces" in request.keywords:
        return None
    own = workspace.new()
    monkeypatch.setattr(workspace.Workspace, "folder", property(lambda self: settings().data_folder))
    monkeypatch.setattr(workspace, "current", lambda: own)
    return own


@pytest.fixture
def new_app(demo_scored, data_folder):
    """The app on a server that was just started, for the first visitor; the demo's models were looked at before."""
    shutil.copytree(demo_scored / "models", data_folder / "models")
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=120)


@pytest.fixture
def app(new_app, demo_scored, data_folder):
    """The same where the demo was scored before; it has been run."""
    shutil.copytree(demo_scored, data_folder, dirs_exist_ok=True)
    return new_app.run()
