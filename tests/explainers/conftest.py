import pytest
import torch

from models.store import ModelStore


@pytest.fixture
def model_store(tmp_path):
    return ModelStore(folder=tmp_path, device="cpu")


@pytest.fixture(autouse=True)
def no_dry_run(request, monkeypatch):
    """Hundreds of tests add a model: methods are tried on it where that is the point."""
    if not request.module.__name__.endswith("test_dry_run"):
        monkeypatch.setattr(ModelStore, "dry_run", None)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny nets spend more time waiting for a second thread than it saves."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
