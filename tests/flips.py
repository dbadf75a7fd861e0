"""Single bits of stored files flipped, one at a time: whatever is read then is right, or refused in one line.

    python -m tests.flips --flips 20000 --seed 0

Every kind of file that Parallax stores is made small, in a folder of its own. A flip is *same* where the answer is as
before (also where it was computed again), *refused* where there is none or a line that says why, *wrong* where another
answer came without a word, *uncaught* where something else was raised. The last line is one JSON object.
`unsealed_wrong` counts what such flips do to a table without a seal: it must not be 0, or the check sees nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageCms
from safetensors.torch import save

from common import sealed
from common.errors import InputError
from common.settings import settings
from images.arrays import write_image_set, written_once
from images.image_set import ImageSet
from images.intake import from_files, from_folder
from jobs.results import ResultStore, key_of
from models import loaders, stack
from models.loaders import checkpoint, playground, zoo
from models.memory import ModelMemory
from models.preprocessing import Preprocessing
from models.store import ModelStore
from pages.shared import saved_views
from playground.history import History
from playground.kept_histories import KeptHistories
from suggestion import scoring
from tests.makers import encoded, picture
from tests.suggestion.makers import colour_images, colour_loaded

OUTCOMES = ("same", "refused", "wrong", "uncaught")


@dataclass
class Kind:
    """A stored file, and what reads it: plain data that are equal where the answers are, `None` for a refusal."""

    name: str
    path: Path
    read: Callable[[], Any]

    def __post_init__(self) -> None:
        self.content = self.path.read_bytes()
        self.right = self.read()
        assert self.right is not None, self.name
        self.restore()

    def restore(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(self.content)

    def flip(self, bit: int) -> str:
        """Flip one bit, read, and put the file back; one of `OUTCOMES`."""
        content = bytearray(self.content)
        content[bit // 8] ^= 1 << bit % 8
        self.path.write_bytes(content)
        try:
            found = self.read()
            return "refused" if found is None else "same" if found == self.right else "wrong"
        except InputError as error:
            return "refused" if "\n" not in str(error) else "uncaught"
        except Exception:  # what this is about
            return "uncaught"
        finally:
            self.restore()


def plain(value: Any) -> Any:
    """Something whose equality is exact: text with all digits."""
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, pd.DataFrame):
        return (value.to_json(double_precision=15), str(value.dtypes.to_dict()), str(value.attrs))
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value


def _view(path: Path) -> Any:
    with mock.patch.object(saved_views, "_path", return_value=path):
        return saved_views.read("a" * 16) or None


def _set(images: ImageSet) -> Any:
    return [images.name, images.digest, plain(images.table.drop(columns="stamp")), images.skipped, images.remarks]


def kinds(data: Path) -> list[Kind]:
    """One file of each kind that is stored, all made now."""
    with mock.patch.object(ModelStore, "dry_run", None):  # methods are not what this is about
        return [*_of_images(data), *_of_models(data), *_of_predictions(data), *_of_results(data)]


def _of_images(data: Path) -> list[Kind]:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    files = {
        "a.png": encoded(picture(12, 12, 1)), "b.jpg": encoded(picture(16, 16, 2), "JPEG", icc_profile=srgb),
        "c.bmp": encoded(picture(6, 6, 3), "BMP"), "d.tif": encoded(picture(6, 6, 4), "TIFF"),
        "masks/a.png": encoded(Image.fromarray(picture(12, 12)[..., 0] > 99)),
        "labels.csv": b"file,label,who\na.png,cat,me\nb.jpg,dog,you\n",
    }  # fmt: skip
    images = from_files([(name, io.BytesIO(content)) for name, content in files.items()], data)
    index = data / "image-sets" / f"{images.digest}.parquet"
    found = [Kind("image set", index, lambda: _set(ImageSet.read(index)))]
    for row, path in enumerate(images.paths):
        found.append(Kind(f"image {path.suffix}", path, lambda row=row: plain(images.image(row))))
    kind = images.mask_kinds[0]
    mask = Path(images.table[f"mask:{kind}"].iloc[0])
    found.append(Kind("mask", mask, lambda: plain(images.mask(0, kind))))

    folder = data.parent / "folder"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "a.png").write_bytes(files["a.png"])
    (folder / "cat" / "b.png").write_bytes(files["c.bmp"])
    from_folder(folder, data)
    memory = next((data / "image-sets").glob("folder-*"))
    found.append(Kind("folder memory", memory, lambda: _set(from_folder(folder, data))))

    place = data / "digits" / "few"

    def write() -> ImageSet:
        return write_image_set("few", [picture(4, 4, n) for n in range(2)], ["a", "b"], ["x", "y"], place)

    def few() -> Any:
        images = written_once(place, data, write)
        return [_set(images), plain(images.image(0)), plain(images.image(1))]

    few()
    return [*found, Kind("pointer", place / "digest", few), Kind("written image", place / "a.bmp", few)]


def _of_models(data: Path) -> list[Kind]:
    net = "cifar/resnet20"
    inputs = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    buffer = io.BytesIO()
    torch.save(_weights(net, 0), buffer)
    by_suffix = {".pt": buffer.getvalue(), ".safetensors": save(_weights(net, 1))}

    def answers(store: ModelStore, digest: str) -> Any:
        card = store.card(digest)
        if card is None:
            return None
        with store.borrow(card) as model, torch.inference_mode():
            return [
                card.to_json(),
                plain(model.logits(inputs[:, :, : card.input_size[0], : card.input_size[1]]).numpy()),
            ]

    def fresh() -> ModelStore:
        return ModelStore(data, "cpu", ModelMemory(10**9))

    found = []
    for name, content in by_suffix.items():
        path = loaders.keep(io.BytesIO(content), f"net{name}", data / loaders.KEPT)
        card = fresh().add(checkpoint.load(str(path), net, create={"num_classes": 3}, name=f"net{name}"))
        found.append(Kind(f"weights {name}", path, lambda card=card: answers(fresh(), card.digest)))

    layers = stack.stack_of([{"kind": "convolution", "filters": 2}, {"kind": "relu"}])
    module = playground.build(layers, (3, 8, 8), 2)
    preprocessing = Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3, (8, 8), "squash")
    path = data / "playground" / "run-1.safetensors"
    playground.save(path, module, layers, ["a", "b"], preprocessing, "a note")
    card = fresh().add(playground.load(str(path), "mine"))
    file = data / "models" / f"{card.digest}.json"

    def loaded() -> Any:
        net = playground.load(str(path), "mine")
        return [
            net.notes,
            net.class_names,
            net.preprocessing,
            net.flags,
            plain(net.module(inputs[:, :, :8, :8]).detach().numpy()),
        ]

    def described() -> Any:
        card = ModelStore(data, "cpu", ModelMemory(1)).card(file.stem)
        return None if card is None else card.to_json()

    histories = KeptHistories(data / "histories")
    histories.put(card.digest, History("log", np.arange(5), {"loss": np.linspace(1, 0.1, 5)}, ("Read.",)))

    def history() -> Any:
        known = histories.get(card.digest)
        return (
            None if known is None else [known.name, known.unit, known.remarks, plain(known.epochs), plain(known.values)]
        )

    view = data / "views" / f"{'a' * 16}.txt"
    sealed.write(view, repr({"models": ["abc"], "picks": [1, 2], "settings": {"opacity": 35}}).encode())
    return [
        *found,
        Kind("playground network", path, loaded),
        Kind("card", file, described),
        Kind("history", histories.path(card.digest), history),
        Kind("view", view, lambda: _view(view)),
    ]


def _weights(net: str, seed: int) -> dict[str, torch.Tensor]:
    weights = zoo.build(net, {"num_classes": 3})[0].state_dict()
    return {name: value + seed if name.endswith("bias") else value for name, value in weights.items()}


def _of_predictions(data: Path) -> list[Kind]:
    images = colour_images(data.parent / "colours", 8)
    model_store = ModelStore(data, "cpu", ModelMemory(10**9))
    card = model_store.add(colour_loaded())
    folder = data / "predictions"

    def load() -> Any:
        table = scoring.load([card], images, folder)
        return None if table is None else plain(table.to_frame())

    scoring.score(model_store, [card], images, folder, chunk=4)
    whole = Kind("predictions", scoring._whole(card, images, folder), load)

    def score() -> Any:
        whole.path.unlink(missing_ok=True)
        scoring.score(model_store, [card], images, folder, chunk=4)
        found = load()
        for start, content in parts.items():  # as they were before they were put together
            part = scoring._part(card, images, folder, start)
            part.parent.mkdir(exist_ok=True)
            part.write_bytes(content)
        whole.restore()
        return found

    class Stop(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int) -> None:
        if done > 4:
            raise Stop

    whole.path.unlink()
    try:
        scoring.score(model_store, [card], images, folder, stop, chunk=4)
    except Stop:
        part = scoring._part(card, images, folder, 0)
    parts = {0: part.read_bytes()}
    return [whole, Kind("part of predictions", part, score)]


def _of_results(data: Path) -> list[Kind]:
    folder, rng = data / "results", np.random.default_rng(0)
    arrays = {
        "map": {"maps": rng.normal(size=(1, 8, 8)).astype(np.float32), "facts": np.array("settings, target 3")},
        "training": {"weight": rng.normal(size=(4, 3, 3)), "history": rng.random(9), "status": np.array(2)},
        "numbers": {"values": np.arange(3)},
    }
    found = []
    for name, some in arrays.items():
        key = key_of(name=name)
        ResultStore(folder, 10**9).put(key, **some)

        def get(key: str = key) -> Any:
            known = ResultStore(folder, 10**9).get(key)
            return None if known is None else plain(known)

        found.append(Kind(f"result: {name}", folder / key[:2] / f"{key}.npz", get))
    return found


def unsealed(data: Path, n_flips: int, seed: int) -> Counter[str]:
    """The same for a table without a seal, as earlier versions wrote it."""
    path, table = data / "unsealed" / "table.parquet", pd.DataFrame({"p": np.random.default_rng(0).random(200)})
    path.parent.mkdir()
    table.to_parquet(path, compression=None)

    def read() -> Any:
        content = sealed.read(path)
        assert content is not None
        return plain(pd.read_parquet(io.BytesIO(content)))

    kind, draw = Kind("unsealed", path, read), random.Random(seed)
    return Counter(kind.flip(draw.randrange(8 * len(kind.content))) for _ in range(n_flips))


def run(data: Path, n_flips: int, seed: int, only: Callable[[Kind], bool] = lambda kind: True) -> dict[str, Any]:
    """Flip that many bits, the same number in each kind of file; what came of it."""
    draw, every = random.Random(seed), [kind for kind in kinds(data) if only(kind)]
    outcomes: dict[str, Counter[str]] = {kind.name: Counter() for kind in every}
    with mock.patch.object(sealed.log, "warning"):  # a line for each flip
        for number in range(n_flips):
            kind = every[number % len(every)]
            outcomes[kind.name][kind.flip(draw.randrange(8 * len(kind.content)))] += 1
    total = sum(outcomes.values(), Counter())
    return {
        "flips": n_flips, "kinds": len(every), **{name: total[name] for name in OUTCOMES},
        "unsealed_wrong": unsealed(data, 200, seed)["wrong"],
        "by_kind": {name: dict(counted) for name, counted in outcomes.items()},
    }  # fmt: skip


def main() -> None:
    """Flip, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PARALLAX_DATA"] = f"{folder}/data"
        settings.cache_clear()
        print(json.dumps(run(Path(folder) / "data", given.flips, given.seed)))


if __name__ == "__main__":
    main()
