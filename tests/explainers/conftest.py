import pytest
import torch

from bank.bank import Bank


@pytest.fixture
def bank(tmp_path):
    return Bank(folder=tmp_path, device="cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny nets spend more time waiting for a second thread than it saves."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)
