"""Apps without a browser, over the demo as a visitor finds it, or as it is once it was scored and measured."""

from __future__ import annotations

import shutil

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.pages.apps import APP


@pytest.fixture(scope="session", autouse=True)
def one_scan_of_the_installed_packages():
    """Every `AppTest` looks for components in all installed packages: half a second for the same answer each time."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture
def new_app():
    """The app on a server that was just started, for the first visitor."""
    st.cache_resource.clear()
    st.cache_data.clear()
    return AppTest.from_file(APP, default_timeout=120)


@pytest.fixture
def app(new_app, demo_scored, data_folder):
    """The same where the demo was scored before; it has been run."""
    shutil.copytree(demo_scored, data_folder, dirs_exist_ok=True)
    return new_app.run()
