"""MaxOut's replaceable parts, each against an answer known by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explainers.maxout.method import MaxOutParams
from explainers.maxout.objective import Objective, likeness, norm, total_variation
from explainers.maxout.parametrisation import FOURIER, PIXEL, Parametrisation
from explainers.maxout.redirected_relu import RedirectedReLU
from explainers.maxout.transforms import Move, Transforms, moved, resized
from explainers.output import Output
from models.layers import as_units, capture
from tests.explainers.nets import NETS, ReusedReLU, add, normalised, seeded, state_of
from tests.makers import one_line

CHECKERS = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(4, 4)[None, None]


def noise(n=2, channels=3, height=12, width=16, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def test_a_checkerboard_costs_all_there_is_and_an_even_picture_nothing():
    assert total_variation(CHECKERS).item() == 1
    assert norm(CHECKERS).item() == 1
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert total_variation(grey).item() == norm(grey).item() == 0
    edge = torch.zeros(1, 1, 4, 4)
    edge[..., 2:] = 1  # one of three steps to the right
    assert total_variation(edge).item() == pytest.approx(1 / 6)


def test_pixels_are_the_picture_before_the_sigmoid():
    numbers = noise() * 4 - 2
    made = Parametrisation(3, 12, 16, PIXEL)(numbers)
    assert torch.equal(made, numbers.sigmoid())


@pytest.mark.parametrize(("height", "width"), [(12, 16), (9, 7)])
def test_one_frequency_is_one_wave_scaled_by_its_length(height, width):
    parametrisation = Parametrisation(1, height, width, FOURIER)
    numbers = torch.zeros(1, *parametrisation.shape)
    numbers[0, 0, 0, 2, 0] = 1.0  # two periods from left to right
    wave = 2 * torch.cos(2 * torch.pi * 2 * torch.arange(width) / width) / (height * width) ** 0.5
    expected = (wave * (width / 2) / 4).expand(height, width)
    torch.testing.assert_close(parametrisation.canvas(numbers)[0, 0], expected, atol=1e-5, rtol=1e-4)


def test_decorrelated_colours_grow_as_in_photographs_and_grey_has_none():
    parametrisation = Parametrisation(3, 8, 8, PIXEL, decorrelated=True)
    numbers = torch.zeros(1, 3, 8, 8)
    numbers[:, 0] = 1.0  # the first axis is brightness
    red, green, blue = torch.logit(parametrisation(numbers))[0, :, 0, 0].tolist()
    assert (red, green, blue) == pytest.approx((0.26 / 0.4619, 0.27 / 0.4619, 0.27 / 0.4619), rel=1e-3)
    assert not Parametrisation(1, 8, 8, PIXEL, decorrelated=True).decorrelated


def test_smoothing_spreads_a_point_and_keeps_its_sum():
    numbers = torch.full((1, 1, 15, 15), -20.0)
    numbers[0, 0, 7, 7] = 20.0
    made = Parametrisation(1, 15, 15, PIXEL, decorrelated=False, smoothed=True)(numbers)
    assert made.sum().item() == pytest.approx(1, abs=1e-4)
    assert made[0, 0, 7, 8] / made[0, 0, 7, 7] == pytest.approx(np.exp(-0.5), rel=1e-3)


@pytest.mark.parametrize("basis", [PIXEL, FOURIER])
def test_the_beginning_depends_on_seed_and_number_alone(basis):
    parametrisation = Parametrisation(3, 8, 8, basis, decorrelated=True)
    first = parametrisation.start(0, 0, 0.01)
    assert torch.equal(first, parametrisation.start(0, 0, 0.01))
    assert torch.allclose(parametrisation.start(0, 0, 0.1), 10 * first)
    assert not torch.equal(first, parametrisation.start(0, 1, 0.01))
    assert not torch.equal(first, parametrisation.start(1, 0, 0.01))
    made = parametrisation(first[None])
    assert 0 <= made.min() <= made.max() <= 1


def test_a_move_of_nothing_is_the_picture_itself():
    pictures = noise()
    torch.testing.assert_close(moved(pictures, Move(), (12, 16)), pictures)
    torch.testing.assert_close(moved(pictures, Move(), (24, 32)), resized(pictures, (24, 32)), atol=1e-5, rtol=0)


def test_jitter_moves_by_whole_pixels_and_mirrors_at_the_rim():
    pictures = noise()
    shifted = moved(pictures, Move(down=2, right=-3), (12, 16))
    torch.testing.assert_close(shifted[:, :, 2:, :-3], pictures[:, :, :-2, 3:])
    torch.testing.assert_close(shifted[:, :, 1, :-3], pictures[:, :, 0, 3:])


def test_a_quarter_turn_and_twice_the_size_are_what_they_say():
    square = noise(height=12, width=12)
    torch.testing.assert_close(moved(square, Move(degrees=90), (12, 12)), square.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    half_turn = moved(noise(), Move(degrees=180), (12, 16))
    torch.testing.assert_close(half_turn, noise().flip(2, 3), atol=1e-5, rtol=0)
    middle = moved(square, Move(scale=2), (12, 12))
    torch.testing.assert_close(middle, resized(square, (24, 24))[:, :, 6:18, 6:18], atol=1e-5, rtol=0)


def test_a_turned_line_keeps_its_angle_in_a_wide_picture():
    line = torch.zeros(1, 1, 40, 80)
    line[:, :, 19:21] = 1
    turned = moved(line, Move(degrees=30), (40, 80))[0, 0]
    rows, columns = torch.nonzero(turned > 0.5).T
    slope = np.polyfit(columns.numpy(), rows.numpy(), 1)[0]
    assert np.degrees(np.arctan(-slope)) == pytest.approx(30, abs=1)


def test_moves_are_drawn_from_seed_and_step_within_their_bounds():
    transforms = Transforms(0.1, 0.2, 5.0)
    drawn = [transforms.draw(0, step, (50, 100)) for step in range(200)]
    assert drawn[7] == transforms.draw(0, 7, (50, 100)) != transforms.draw(1, 7, (50, 100))
    assert {move.down for move in drawn} == set(range(-5, 6))
    assert max(abs(move.right) for move in drawn) == 10
    assert all(0.8 <= move.scale <= 1.2 and abs(move.degrees) <= 5 for move in drawn)
    assert not Transforms()
    assert Transforms().draw(0, 3, (50, 100)) == Move()


def test_likeness_is_one_for_the_same_texture_and_none_for_another():
    stripes, dots = torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)
    stripes[0], dots[1] = 1, 1
    same = likeness(torch.stack([stripes, stripes.flip(1), stripes, dots]), group=2)
    torch.testing.assert_close(same, torch.tensor([1.0, 1.0, 0.0, 0.0]))


@pytest.mark.parametrize("net", sorted(NETS))
def test_a_unit_of_every_layer_is_its_mean_over_space(model_store, net):
    module = seeded(NETS[net])
    card = add(model_store, module)
    before = state_of(module)
    inputs = normalised(2)
    with model_store.borrow(card) as model:
        for layer in card.layers[:: max(1, len(card.layers) // 6)]:
            with torch.no_grad(), capture(model.layer(layer.name)) as outputs:
                model.logits(inputs)
                expected = as_units(outputs[model.layer(layer.name)], layer)
            targets = torch.tensor([0, layer.n_units - 1])
            found = Objective(model, Output("unit", layer.name))(inputs, targets)[0]
            torch.testing.assert_close(found, expected[[0, 1], targets], atol=1e-5, rtol=1e-4)
    assert state_of(module) == before


def test_a_neuron_a_probability_and_a_logit_are_what_explainers_explain(model_store):
    card = add(model_store, seeded(NETS["plain"]))
    inputs, targets = normalised(2), torch.tensor([1, 3])
    with model_store.borrow(card) as model:
        for output in (Output("unit", "4", (2, 5)), Output("probability"), Output("logit")):
            expected = output.of(model).scores(inputs).gather(1, targets[:, None]).squeeze(1)
            torch.testing.assert_close(Objective(model, output)(inputs, targets)[0], expected)


def test_nothing_behind_the_layer_is_computed_and_the_last_call_counts(model_store):
    module = seeded(ReusedReLU)
    card = add(model_store, module)
    calls = []
    with model_store.borrow(card) as model:
        objective = Objective(model, Output("unit", "relu"))
        handle = module.head.register_forward_hook(lambda *_: calls.append(1))
        objective(normalised(1), torch.tensor([0]))
        handle.remove()
        with torch.no_grad(), capture(module.relu) as outputs:
            model.logits(normalised(1))
    assert not calls
    expected = outputs[module.relu].mean((2, 3))[0, 0]
    torch.testing.assert_close(objective(normalised(1), torch.tensor([0]))[0][0], expected)


class Quantised(nn.Module):
    """Answers in whole numbers, as quantised nets do inside."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        return self.head(x.mean((2, 3))).mul(10).round().to(torch.int8).float()


class NoUnits(nn.Module):
    """A layer that passes nothing on."""

    def __init__(self) -> None:
        super().__init__()
        self.nothing = nn.Linear(3, 0)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        self.nothing(x.mean((2, 3)))
        return self.head(x.mean((2, 3)))


def test_models_without_gradients_and_layers_without_units_are_refused_in_one_line(model_store):
    card = add(model_store, seeded(Quantised))
    with model_store.borrow(card) as model, one_line("gradients", "net", "floating-point"):
        Objective(model, Output("logit"))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_layer_without_units_is_refused_in_one_line(model_store):
    card = add(model_store, seeded(NoUnits))
    with model_store.borrow(card) as model, one_line("has units", "nothing"):
        Objective(model, Output("unit", "nothing"))


def test_the_side_is_the_models_own_unless_it_is_set(model_store):
    card = add(model_store, seeded(NETS["plain"]), px=32)
    assert MaxOutParams().parametrised(card).size[0] == 32
    assert MaxOutParams(side=20).parametrised(card).size[0] == 20
    assert MaxOutParams(side=200).parametrised(card).size[0] == 32


def relu_after_a_sum(x):
    x = x + 0
    x.relu_()  # what it returns is not used
    return x


RELUS = {
    "module": nn.ReLU(),
    "in place": lambda x: nn.ReLU(inplace=True)(x + 0),
    "relu6": nn.ReLU6(),
    "function": F.relu,
    "method": Tensor.relu,
    "exported": torch.ops.aten.relu.default,
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=RELUS)
def test_redirected_relus_hand_on_only_what_excites_a_picture_that_gets_no_gradient(relu):
    silent, excited = [-1.0, -2.0, -3.0], [-1.0, 2.0, -3.0]
    inputs = torch.tensor([silent, excited], requires_grad=True)
    weights = torch.tensor([5.0, 1.0, -7.0])
    with RedirectedReLU():
        reached = relu(inputs)
        (redirected,) = torch.autograd.grad((reached * weights).sum(), inputs)
    assert torch.equal(reached, inputs.clamp(min=0))
    assert redirected.tolist() == [[5.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    (own,) = torch.autograd.grad((relu(inputs) * weights).sum(), inputs)
    assert own.tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "behind the block everything is as it was"


def test_a_redirected_in_place_relu_still_overwrites():
    with RedirectedReLU():
        reached = relu_after_a_sum(torch.tensor([[-1.0, 2.0]], requires_grad=True))
    assert reached.tolist() == [[0.0, 2.0]]


@pytest.mark.parametrize("net", sorted(NETS))
def test_redirected_relus_change_no_value_and_leave_nothing_behind(model_store, net):
    module = seeded(NETS[net])
    card = add(model_store, module)
    before = state_of(module)
    with model_store.borrow(card) as model:
        inputs, targets = normalised(2).requires_grad_(), torch.tensor([0, 2])
        expected = Objective(model, Output()).values(inputs, targets)
        with RedirectedReLU():
            found = Objective(model, Output()).values(inputs, targets)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert state_of(module) == before
