"""The rules that keep the house a house: which way imports point, who may know what, and how long a file may be.

Each rule is a function from a file's path and source to what is wrong with it, so that the rules are tested too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

#: From the ground up; a floor may use all below it. Rooms of one floor do not know each other.
FLOORS = [
    {"common"},
    {"models", "images", "jobs"},
    {"suggestion", "explainers"},
    {"playground"},
    {"figures"},
    {"pages", "parallax"},
    {"app"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

#: Guests, who may look into every room; no room may depend on them.
GUESTS = {"benchmarks", "tests", "tools"}

#: What a room must not know: the web framework, or the nets.
STREAMLIT = {"streamlit"}
NETS = {"torch", "captum", "timm", "zennit", "torchvision"}

MAX_LINES, MAX_PAGE_LINES, MAX_APP_LINES = 400, 200, 60


def files() -> list[Path]:
    """Our own Python files, relative to the root."""
    rooms = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
    found = [*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    return sorted(path.relative_to(ROOT) for path in found)


def room_of(path: Path) -> str:
    """The top-level package that a file belongs to; its own name for a file at the top."""
    return path.parts[0].removesuffix(".py")


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import in a file, also of those inside functions and type checks."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.partition(".")[0]


def arrows_up(path: Path, source: str) -> list[str]:
    """Imports of a higher floor, of a neighbour, or of a guest."""
    room = room_of(path)
    if room not in LEVEL:
        return []
    unwanted = {other for other in LEVEL if other != room and LEVEL[other] >= LEVEL[room]}
    return [f"{path}:{line} imports {other}" for line, other in imports(source) if other in unwanted | GUESTS]


def forbidden(path: Path, source: str) -> list[str]:
    """Streamlit below the pages, and nets in pages and figures."""
    room = room_of(path)
    unwanted = STREAMLIT if room not in {"app", "pages"} | GUESTS else set()
    unwanted = unwanted | (NETS if room in {"app", "pages", "figures"} else set())
    return [f"{path}:{line} imports {other}" for line, other in imports(source) if other in unwanted]


def too_long(path: Path, source: str) -> list[str]:
    """Files that should be two: pages are thin, and no file needs more than a few screens."""
    limit = MAX_LINES
    if room_of(path) == "app":
        limit = MAX_APP_LINES
    elif path.parts[0] == "pages" and path.name == "page.py":
        limit = MAX_PAGE_LINES
    n_lines = len(source.splitlines())
    return [f"{path} has {n_lines} lines; {limit} are enough"] if n_lines > limit else []


def astray(path: Path, _source: str) -> list[str]:
    """Files where they do harm: Streamlit runs what lies directly in `pages/` without `app.py`."""
    lone = path.parent == Path(".") and path != Path("app.py")
    return [f"{path} does not belong there"] if path.parent == Path("pages") or lone else []


def raw_html(path: Path, source: str) -> list[str]:
    """Markdown that lets HTML through, and HTML that is more than words of ours: names of models and files stand in it.

    `top_images` escapes them for their place; the legend of `layers` has none.
    """
    if path.parts[0] != "pages":
        return []
    allowed = path in (Path("pages/shared/top_images.py"), Path("pages/layers/page.py"))
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = [call for call in calls if getattr(call.func, "attr", "") in ("html", "iframe") and _owner(call) != "html"]
    made = [call for call in made if not _is_literal(call)]
    through = "unsafe_allow_html" in source or "allow_javascript" in source or (made and not allowed)
    return [f"{path} lets HTML through"] if through else []


def _owner(call: ast.Call) -> str:
    """Whose method is called: `st` in `st.html(…)`."""
    return getattr(getattr(call.func, "value", None), "id", "")


def _is_literal(call: ast.Call) -> bool:
    return all(isinstance(argument, ast.Constant) for argument in call.args) and not call.keywords


#: What makes elements or runs scripts out of text.
MARKUP = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|srcdoc|DOMParser|createContextualFragment|setHTMLUnsafe|eval|Function)\b"
    r"|document\.write|javascript:|set(Timeout|Interval)\([\"'`]"
)


def html_in_scripts(path: Path, source: str) -> list[str]:
    """Scripts that read text as markup; only what is a file of ours may be."""
    lines = source.splitlines()
    return [
        f"{path}:{n} reads text as markup"
        for n, line in enumerate(lines, 1)
        if MARKUP.search(line) and OURS not in line
    ]


#: What says so, at the end of a line.
OURS = "// a file of ours"


def test_no_script_reads_text_as_markup():
    scripts = list(ROOT.joinpath("pages").rglob("*.js"))
    broken = [line for path in scripts for line in html_in_scripts(path, path.read_text(encoding="utf-8"))]
    assert len(scripts) > 5
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", [arrows_up, forbidden, too_long, astray, raw_html])
def test_every_file_keeps_the_rules_of_the_house(rule):
    broken = [line for path in files() for line in rule(path, (ROOT / path).read_text(encoding="utf-8"))]
    assert not broken, "\n".join(broken)


def test_every_room_of_the_house_is_on_a_floor():
    rooms = {room_of(path) for path in files()}
    assert rooms <= LEVEL.keys() | GUESTS


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (arrows_up, "models/a.py", "from suggestion.table import Predictions"),
        (arrows_up, "models/a.py", "def f():\n    import jobs.queue"),
        (arrows_up, "jobs/a.py", "from models import store"),
        (arrows_up, "explainers/a.py", "import suggestion"),
        (arrows_up, "images/a.py", "from models.card import ModelCard"),
        (arrows_up, "common/a.py", "import images.decoding"),
        (arrows_up, "figures/a.py", "from pages.shared import session"),
        (arrows_up, "pages/a/b.py", "import app"),
        (arrows_up, "models/a.py", "from tests.makers import picture"),
        (arrows_up, "figures/a.py", "import benchmarks.scoring"),
        (arrows_up, "explainers/a.py", "from figures.maps import over"),
        (arrows_up, "explainers/__main__.py", "from figures.maps import over"),
        (arrows_up, "parallax/explain.py", "from pages.shared import session"),
        (arrows_up, "pages/a/b.py", "from parallax.sources import open_models"),
        (arrows_up, "parallax/explain.py", "from tests.makers import picture"),
        (forbidden, "parallax/explain.py", "import streamlit"),
        (forbidden, "figures/a.py", "import streamlit as st"),
        (forbidden, "models/a.py", "from streamlit import cache_data"),
        (forbidden, "pages/find/page.py", "import torch"),
        (forbidden, "figures/a.py", "from captum.attr import Saliency"),
        (forbidden, "app.py", "import timm.data"),
        (too_long, "models/a.py", "x = 1\n" * 401),
        (too_long, "pages/find/page.py", "x = 1\n" * 201),
        (too_long, "app.py", "x = 1\n" * 61),
        (astray, "pages/a.py", ""),
        (astray, "pages/__init__.py", ""),
        (astray, "helpers.py", ""),
        (raw_html, "pages/a/view.py", "st.markdown(name, unsafe_allow_html=True)"),
        (raw_html, "pages/a/view.py", "st.html(name)"),
        (raw_html, "pages/a/view.py", "st.html(f'<b>{name}</b>')"),
        (raw_html, "pages/a/view.py", "components.html('<b>' + name)"),
        (raw_html, "pages/a/view.py", "column.iframe(srcdoc=name)"),
        (html_in_scripts, "pages/a/a.js", "box.innerHTML = name"),
        (html_in_scripts, "pages/a/a.js", "box.insertAdjacentHTML('beforeend', name)"),
        (html_in_scripts, "pages/a/a.js", "new Function(name)()"),
        (html_in_scripts, "pages/a/a.js", "setTimeout('go()', 10)"),
        (html_in_scripts, "pages/a/a.js", "link.href = `javascript:${name}`"),
    ],
)
def test_the_rules_see_what_breaks_them(rule, path, source):
    assert len(rule(Path(path), source)) == 1


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        (arrows_up, "models/a.py", "import torch\nfrom models.card import ModelCard\nfrom . import b"),
        (arrows_up, "explainers/a.py", "from models.store import ModelHandle\nfrom jobs.results import key_of"),
        (arrows_up, "pages/find/page.py", "from figures import maps\nfrom explainers import registry"),
        (arrows_up, "tests/models/a.py", "import pages.shared.session"),
        (arrows_up, "parallax/explain.py", "from figures.maps import over\nfrom suggestion import table"),
        (forbidden, "benchmarks/a.py", "import streamlit, torch"),
        (forbidden, "pages/find/page.py", "import streamlit as st"),
        (too_long, "pages/find/view.py", "x = 1\n" * 400),
        (astray, "pages/find/page.py", ""),
        (astray, "app.py", ""),
        (raw_html, "pages/a/view.py", "st.html('<style>a { color: red }</style>')\nhtml.escape(name)"),
        (html_in_scripts, "pages/a/a.js", "box.textContent = name\nsetTimeout(() => go(), 10)"),
    ],
)
def test_the_rules_leave_good_files_alone(rule, path, source):
    assert rule(Path(path), source) == []
