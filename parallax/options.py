"""The options of the subcommands: the same name for the same thing everywhere."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from common.errors import InputError
from common.files import check_writable

_ANOTHER = "Choose another --out, or free space there."


def several(metavar: str, help: str) -> Any:
    """An option that may be left out and takes any number of values."""
    return typer.Option(metavar=metavar, help=help, default_factory=list, show_default=False)


Models = Annotated[
    list[str],
    typer.Option(
        metavar="MODEL...",
        help="Models: demo, demo/vgg, digits, timm/resnet18 (?random for random weights), torchvision/vgg11, or "
        "WEIGHTS@ARCHITECTURE; see list models.",
    ),
]
Images = Annotated[
    list[str],
    typer.Option(
        metavar="IMAGES...", help="Images: demo, digits, mnist, a folder, a zip or an image file; see list images."
    ),
]
Methods = Annotated[list[str], typer.Option(metavar="METHOD...", help="Explanation methods; see list methods.")]
Settings = Annotated[
    list[str], several("NAME=VALUE...", "Settings, as in window=0.5; see list settings --methods METHOD.")
]

#: The target that is the model's own answer to each image.
TOP = "top"

Target = Annotated[
    str, typer.Option(metavar="TARGET", help="Class name or number, or top: each model's own answer to each image.")
]


def _folder(out: Path) -> Path:
    """Checked before anything is computed."""
    check_writable(out, "a folder to write into", _ANOTHER)
    return out


def _file(out: Path | None) -> Path | None:
    if out is not None:
        if out.is_dir():
            raise InputError("a file to write", f"{out}, which is a folder", f"Write {out / 'NAME'}.")
        check_writable(out.parent, "a file to write", _ANOTHER)
    return out


OutFolder = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Folder to write into.", callback=_folder)]


def out_file(help: str) -> Any:
    """The option `--out` for one file."""
    return typer.Option(metavar="FILE", help=help, callback=_file)


Only = Annotated[list[str], several("FILE...", "Only these images of the set, by their names.")]
First = Annotated[int | None, typer.Option(min=1, metavar="N", help="Only the first N images.")]

Layer = Annotated[str | None, typer.Option(metavar="LAYER", help="Layer of a unit; see list layers --models MODEL.")]
OutputKind = Annotated[
    Literal["logit", "probability", "unit"] | None,
    typer.Option("--output", help="What the target is: a class's logit or probability, or a unit of --layer."),
]
Place = Annotated[
    str | None, typer.Option(metavar="ROW,COLUMN", help="One neuron of the unit, on its layer's grid, from 0.")
]
