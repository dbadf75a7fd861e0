import re
from pathlib import Path

import captum.attr
import pytest

from explainers.registry import METHODS
from tests.explainers.nets import add, pictures, seeded
from tests.explainers.test_contract import prepared, settings_for, simple_net

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_the_python_examples_of_the_docs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for lines in re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL):
        exec(lines, names)
    assert names["attribution"].maps.shape[0] == 1
    assert names["attribution"].maps.max() > 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_the_requirements_are_pinned(file):
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    assert all("==" in line for line in lines)


def who_computes_what():
    """The rows of the table: a method's title, who computes it, and why it is ours."""
    table = (ROOT / "docs/methods.md").read_text().split("## Who computes what")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines() if row.startswith("| ")][1:]
    return {title: (by, why) for title, by, why in rows}


def test_the_table_of_who_computes_what_has_every_method_in_the_registrys_order():
    assert list(who_computes_what()) == [method.title for method in METHODS.values()]
    for title, (by, why) in who_computes_what().items():
        assert why or by.startswith("`"), f"{title} is ours without a reason"


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_captum_computes_what_the_table_says_and_nothing_else(model_store, monkeypatch, method):
    card, used = add(model_store, seeded(simple_net(method.name))), set()
    for name in ("Saliency", "InputXGradient", "IntegratedGradients", "LayerActivation", "LimeBase"):
        kind = getattr(captum.attr, name)

        def attribute(*args, name=name, run=kind.attribute, **options):
            used.add(name)
            return run(*args, **options)

        monkeypatch.setattr(kind, "attribute", attribute)
    with model_store.borrow(card) as model:
        method.explain(prepared(method, model), pictures(1), ["x"], [0], settings_for(method))
    assert used == set(re.findall(r"`(\w+)`", who_computes_what()[method.title][0]))
