"""Names that are scripts, pictures and links, in every field that a visitor fills: nothing runs, nothing is fetched.

The content security policy is switched off in this browser, so that it does not cover for a name that became markup.
"""

import io
import json
import re
import zipfile

import pytest
import torch

from benchmarks.browser import POINTS, wait_for_scatter
from models.loaders import zoo
from tests.makers import encoded, picture

#: What each name would do, if it were taken for more than a name. Whatever comes of one has `evil` in it.
SIGNS = (
    "<img src=x-evil onerror=window.evil=1>",
    "<iframe srcdoc='<script>parent.evil=2<&sol;script>'>",
    "<script>window.evil=3</script>",
    "![a](http:&sol;&sol;evil.example&sol;a.png)",
    "![a](evil.png)",
    "[a](javascript:window.evil=4)",
    "<svg onload=window.evil=5>",
    "<a href=http://evil.example>a</a>",
    "'\"><style>@import 'evil.css'</style>",
    "</script><img src=//evil.example/b.png>",
    "<object data=evil.swf>",
    "![a](//evil.example/c.png)",
    ":material/evil: $\\href{javascript:evil}{a}$",
    "<base href=http://evil.example/>",
    "<math><mtext></table><img src=evil2 onerror=window.evil=6>",
)  # fmt: skip

PAGES = ("Upload", "Compare", "Reason", "Prediction difference", "Contrast", "Trust", "MaxOut", "Layers", "Playground")

#: What the app asks of its server.
PATHS = re.compile(
    r"/|/(_stcore|static)/.*|/content/([0-9a-f]+/)?[0-9a-f]{64}\.\w+|/assets/[0-9a-f]{16}/\w+\.js|/media/[0-9a-f]+\.\w+"
    r"|/(favicon\.png|manifest\.json)|/(suggestion|upload)?"
)

#: Elements that came of a name: those that load, lead somewhere or act, and carry what is in a name.
MADE = """() => [...document.querySelectorAll("*")].filter((one) =>
  [...one.attributes].some(({name, value}) =>
    /^(on|src|href|data$|action|xlink)/.test(name) && /^(?!#).*(evil|javascript:)/.test(value))
  || (["STYLE", "SCRIPT"].includes(one.tagName) && /evil/.test(one.textContent))
  || one.matches(".katex") && /evil/.test(one.textContent)
).map((one) => one.outerHTML.slice(0, 200))"""


@pytest.fixture
def window(browser, address):
    """A visitor's page, and all that it asks for."""
    asked: list[str] = []
    page = browser.new_page(bypass_csp=True, viewport={"width": 1440, "height": 1000})
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page, asked
    page.close()


def images() -> bytes:
    """A zip whose folders, files, table, columns and values have such names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        rows = [["file", "label", *(f"{sign} column" for sign in SIGNS)]]
        for number, sign in enumerate(SIGNS):
            name = sign.replace("/", "&sol;").replace('"', "'")
            path = f"{name}/{name} {number}.png"
            archive.writestr(path, encoded(picture(32, 32, seed=number)))
            rows.append([path, SIGNS[number % 3], *SIGNS])
        archive.writestr(f"{SIGNS[0]}.csv", "\n".join(",".join(quoted(cell) for cell in row) for row in rows))
        archive.writestr(f"{SIGNS[0]} left out.doc", "no image")
    return buffer.getvalue()


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def weights(seed: int) -> bytes:
    generator, buffer = torch.Generator().manual_seed(seed), io.BytesIO()
    plain = zoo.build("cifar/resnet20", {"num_classes": 3})[0].state_dict()
    drawn = {
        name: torch.randn(values.shape, generator=generator) / 8 if name.endswith("weight") else values
        for name, values in plain.items()
    }
    torch.save(drawn, buffer)
    return buffer.getvalue()


def file(name: str, content: bytes) -> dict:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}


def upload(page, tab: str, field: str, files: list[dict], button: str) -> None:
    page.get_by_role("tab", name=tab).click()
    page.get_by_test_id("stFileUploader").filter(has_text=field).locator("input[type=file]").set_input_files(files)
    page.get_by_role("button", name=button).click(timeout=60_000)


def look(page, asked: list[str], address: str, where: str) -> None:
    """What there must not be."""
    assert page.evaluate("window.evil") is None, where
    assert page.evaluate(MADE) == [], where
    host = address.split("/")[2]
    for url in asked:
        if url.startswith(("data:", "blob:")):
            continue
        assert url.split("/")[2] == host, (where, url)
        path = "/" + url.split("/", 3)[3].partition("?")[0]
        assert PATHS.fullmatch(path), (where, url)


def test_no_name_runs_or_fetches_anything_on_any_page(window, address):
    page, asked = window
    page.get_by_role("tab", name="Files or zip").wait_for(timeout=120_000)
    upload(page, "Files or zip", "Images, or one zip", [file(f"{SIGNS[0]}.zip", images())], "Use these images")
    page.get_by_text(f"· {len(SIGNS)} images ·").wait_for(timeout=60_000)
    config = json.dumps({"architecture": "resnet20", "label_names": list(SIGNS[:3])}).encode()
    models = [file(f"{SIGNS[seed]}{suffix}", content) for seed in (0, 1) for suffix, content in (
        (".pt", weights(seed)), (".json", config),
    )]  # fmt: skip
    upload(page, "Checkpoint or file", "Checkpoints", models, "Add models")
    page.get_by_test_id("stSidebar").get_by_text("evil").nth(1).wait_for(timeout=60_000)
    page.get_by_role("button", name="Score images").click(timeout=60_000)
    wait_for_scatter(page)
    look(page, asked, address, "Suggestion")
    point = page.evaluate(POINTS, "true")[0]
    page.mouse.move(*point)
    page.get_by_text("mean confidence 0.").wait_for()
    look(page, asked, address, "Suggestion, with a preview")
    page.mouse.click(*point)
    page.get_by_text("1 selected").wait_for()
    look(page, asked, address, "Suggestion, with an image")
    shown = 0
    for name in PAGES:
        page.get_by_role("link", name=name, exact=True).click()
        page.locator("h1").first.wait_for(timeout=60_000)
        page.wait_for_timeout(300)
        look(page, asked, address, name)
        shown += page.locator("body").inner_text().count("evil")
    assert shown > 50, "the names are there, as text"
