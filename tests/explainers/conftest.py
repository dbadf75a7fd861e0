import pytest
import torch

from models.store import ModelStore


@pytest.fixture
def model_store(tmp_path):
    return ModelStore(folder=tmp_path, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny nets spend more time waiting for a second thread than it saves."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
