import numpy as np

from explainers.contrastive.ready_made import WEIGHTS, ready_made, sheet
from images.digits import digits_image_set
from tools.train_generators import READY_MADE


def test_ready_made_generators_are_small_and_belong_to_their_sets(tmp_path):
    assert ready_made("another set") is None
    for name, marked in READY_MADE.items():
        path = WEIGHTS / f"{name}.safetensors"
        assert path.stat().st_size < 4_000_000
        found = ready_made(digits_image_set(tmp_path, marked).digest)
        assert found is not None, "the digits have changed: train their generators anew"
        assert found.shape.channels == 1
        assert not any(parameter.requires_grad for parameter in found.generator.parameters())


def test_samples_lie_on_a_sheet_row_by_row():
    samples = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    assert sheet(samples, 2)[..., 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
