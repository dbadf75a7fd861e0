"""The scripts of components: where they are served, and that nothing else is."""

import asyncio
import re

from starlette.requests import Request

from pages.server import assets


def response(digest: str, name: str):
    return asyncio.run(assets.serve(Request({"type": "http", "path_params": {"digest": digest, "name": name}})))


def test_a_script_and_its_helper_lie_side_by_side_and_a_change_moves_both(tmp_path):
    script, helper = tmp_path / "knob.js", tmp_path / "library.min.js"
    script.write_text('import "./library.js"')
    helper.write_text("1")
    first, again = (assets.component_js(script, library=helper) for _ in range(2))
    (digest,) = re.findall(r'"assets/(\w+)/knob\.js"', first)
    assert first == again
    assert [response(digest, name).path for name in ("knob.js", "library.js")] == [script, helper]
    assert response(digest, "library.min.js").status_code == response("0" * 16, "knob.js").status_code == 404
    helper.write_text("2")
    assert digest not in assets.component_js(script, library=helper)
