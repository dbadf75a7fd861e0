from fnmatch import fnmatch

import pytest

from models.loaders import LOADERS, SUFFIXES, for_file, read
from pages.upload.controls import MODEL_TABS
from tests.makers import one_line


def test_the_upload_page_can_draw_the_tab_of_every_loader():
    assert {loader.tab for loader in LOADERS.values()} <= MODEL_TABS.keys()


def test_no_two_loaders_claim_one_suffix_or_prefix():
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    prefixes = [prefix for loader in LOADERS.values() for prefix in loader.prefixes]
    assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("demo", ["vgg", "resnet", "vit", "shortcut"]),
        ("demo/vit", ["vit"]),
        ("digits/lenet", ["lenet"]),
        ("timm/resnet18?random&num_classes=4", ["resnet18 (random)"]),
        ("resnet18?random", ["resnet18 (random)"]),
        ("cifar/resnet20?random", ["resnet20 (random)"]),
    ],
)
def test_a_line_of_text_names_models(text, names):
    assert [loaded.name for loaded in read(text)] == names


def test_weights_alone_need_an_architecture(tmp_path):
    with one_line("an architecture", "Write weights.pt@timm/resnet18"):
        read("weights.pt")


def test_a_file_that_nobody_reads_is_named(tmp_path):
    with one_line("'model.h6'", ".safetensors"):
        for_file("model.h6")


def test_every_loader_says_how_its_models_are_named():
    for loader in LOADERS.values():
        assert loader.forms
        assert all(any(fnmatch(form, f"{start}*") for start in (*loader.prefixes, "FILE")) for form in loader.forms)
