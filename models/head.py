"""What a model's outputs mean: one class of several, one of two, labels that do not exclude each other, or a number."""

from collections import OrderedDict
from dataclasses import replace

import torch
from torch import nn

from common.errors import InputError, check_known
from models.card import HEADS, MULTI_LABEL, REGRESSION, SIGMOID, SOFTMAX
from models.loaders.base import Loaded


def with_head(loaded: Loaded, n_outputs: int) -> Loaded:
    """The model whose `head` is certain, given or guessed; the notes say what was guessed, and why.

    A single logit z of a classifier becomes the logits (-z/2, z/2) of two classes, the second of which is the positive
    one: their softmax is the sigmoid of z. Raises `InputError` for a head that the outputs cannot be.
    """
    names, notes = loaded.class_names or (), loaded.notes
    if loaded.head is not None:
        head = loaded.head
        check_known(head, HEADS, f"a head of {loaded.name}")
        single = n_outputs == 1
        if single != (head in (SIGMOID, REGRESSION)):
            outputs = "one output" if single else f"{n_outputs} outputs"
            cure = f"Choose {SIGMOID} or {REGRESSION}." if single else f"Choose {SOFTMAX} or {MULTI_LABEL}."
            raise InputError(f"a head that suits {outputs} of {loaded.name}", head, cure)
    elif n_outputs > 1:
        return replace(loaded, head=SOFTMAX)
    else:
        head = SIGMOID
        why = "has two class names" if len(names) == 2 else "is a classifier's more often than a number's"
        notes = (*notes, f"One output, taken for the sigmoid of the second of two classes: it {why}.")
    if head == SIGMOID:
        names = {0: ("class 0", "class 1"), 1: (f"not {names[0] if names else ''}", *names)}.get(len(names), names)
        return replace(loaded, head=head, notes=notes, class_names=names, module=_two_classes(loaded.module))
    if head == REGRESSION and len(names) != 1:
        return replace(loaded, head=head, class_names=None)  # a number is no class
    return replace(loaded, head=head)


def _two_classes(module: nn.Module) -> nn.Module:
    both = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        both.weight.copy_(torch.tensor([[-0.5], [0.5]]))
    return nn.Sequential(OrderedDict(model=module, both=both))
