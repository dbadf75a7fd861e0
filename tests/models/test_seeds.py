import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.training import Training
from models.loaders import zoo
from models.seeds import SeededDraws
from models.store import ModelStore, digest_of

#: Small members of families that draw in different ways.
ARCHITECTURES = ("cifar/resnet20", "timm/test_resnet", "timm/test_efficientnet", "timm/test_vit")


@pytest.fixture
def noise():
    """Threads that draw from torch's own generator, and seed it, as long as the test runs."""
    stop = threading.Event()

    def disturb(number):
        while not stop.wait(0.01):
            torch.manual_seed(number)
            nn.Linear(8, 8)
            F.dropout(torch.ones(64), 0.5)
            with torch.random.fork_rng(devices=[]):
                torch.randn(32)

    threads = [threading.Thread(target=disturb, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def draws():
    """Every way in which modules come to random numbers."""
    made = [torch.empty(20).uniform_(-1, 2), torch.empty(3, 7).normal_(1, 2), torch.empty(9).bernoulli_(0.3)]
    made += [torch.rand(5), torch.randn(3, 2), torch.randint(9, (4,)), torch.randperm(11), torch.rand_like(made[0])]
    made += [torch.normal(torch.zeros(4), 1.0), torch.normal(0.0, 1.0, (3,)), torch.empty(5).exponential_()]
    made += [torch.bernoulli(torch.full((9,), 0.4)), torch.multinomial(torch.ones(6), 3), torch.randn_like(made[1])]
    made += [nn.init.trunc_normal_(torch.empty(40), std=0.5), nn.init.orthogonal_(torch.empty(4, 4))]
    made += [nn.init.kaiming_normal_(torch.empty(5, 4)), F.dropout(torch.ones(30), 0.5), torch.empty(6).cauchy_()]
    return made


def test_what_is_drawn_is_what_torchs_own_generator_would_give():
    before = torch.random.get_rng_state()
    with SeededDraws(7):
        ours = draws()
    assert torch.equal(before, torch.random.get_rng_state())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        theirs = draws()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_generator_of_ones_own_stays_in_use():
    with SeededDraws(1):
        drawn = torch.rand(4, generator=torch.Generator().manual_seed(3))
    assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(3)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_random_model_has_the_weights_that_it_always_had(architecture):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        alone, _ = zoo._made(architecture, {})
    loaded = zoo.load(architecture, seed=4)
    state = loaded.module.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in alone.state_dict().items())


def test_forty_random_models_loaded_four_at_a_time_beside_others_are_those_loaded_alone(noise):
    jobs = [(name, seed) for seed in range(10) for name in ARCHITECTURES]

    def digest(job):
        return digest_of(zoo.load(job[0], seed=job[1] % 2))

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(digest, jobs))
    assert len(set(together)) == 2 * len(ARCHITECTURES)
    alone = {job: digest(job) for job in jobs if job[1] < 2}
    assert together == [alone[name, seed % 2] for name, seed in jobs]


def test_a_random_model_that_came_beside_others_is_lent_after_a_restart(noise, tmp_path):
    card = ModelStore(tmp_path, "cpu").add(zoo.load("timm/test_resnet", seed=3))
    with ModelStore(tmp_path, "cpu").borrow(card) as model:
        assert model.card.digest == card.digest


def test_a_generator_begins_with_the_same_weights_beside_others(noise):
    params, images = GeneratorParams(), np.zeros((4, 3, 32, 32), dtype=np.uint8)
    nets = [Training(params, images).nets["critic"].state_dict() for _ in range(2)]
    assert all(torch.equal(value, nets[1][key]) for key, value in nets[0].items())
