import re
from pathlib import Path

from explainers.registry import METHODS
from models.loaders import zoo
from models.store import ModelStore

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_notebook_lines_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for lines in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(lines, names)
    assert names["attribution"].maps.shape[0] == 1
    assert names["attribution"].maps.max() > 0


def test_the_table_of_what_suits_what_is_the_commands(tmp_path):
    """Two of its columns; making all the nets would take a minute."""
    table = [line.strip("| ").split(" | ") for line in README.splitlines() if line.startswith("| ") and "✓" in line]
    header = next(line for line in README.splitlines() if line.startswith("| method | vgg11")).strip("| ").split(" | ")
    assert [row[0] for row in table] == [method.title for method in METHODS.values()]
    model_store = ModelStore(tmp_path, "cpu")
    for name in ("timm/resnet18", "timm/vit_tiny_patch16_224"):
        card = model_store.add(zoo.load(name, pretrained=False))
        column = header.index(name.rpartition("/")[2])
        suits = [method.applies(card) is None for method in METHODS.values()]
        assert [row[column] == "✓" for row in table] == suits


def test_every_link_of_the_readme_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_the_requirements_are_pinned():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in lines)
