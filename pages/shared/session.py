"""What one visitor is working on: every session key, typed, and its copy in the address bar.

Widget values have keys of their own (`page_widget`); everything else that must outlive a page switch is here. Models
and images are also kept in the URL, so that a reload, a bookmark or a link opens the same work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from figures.colours import model_colour
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache

#: Pictures that a gallery of picks holds at most.
MAX_PICKS = 60


@dataclass
class Work:
    """The models, images and picks of one session; models and images by digest.

    `maxout_target` is what MaxOut shall show: model digest, layer, unit; `unfolded` are the blocks that each model's
    network diagram shows open. On the layers page, `units` are the layer and its unit that were clicked last, and
    `in_step` the layers of models that move in step, both model by model. `clicked` is a picture's corner on the MaxOut
    page, `reason_units` the units that came from there to the Reason page, as layer, unit and place, model by model.
    `take_six`: pick some pictures as soon as the models have answered.
    """

    models: list[str] = field(default_factory=list)
    switched_off: set[str] = field(default_factory=set)
    colours: dict[str, int] = field(default_factory=dict)
    images: str = ""
    picks: list[str] = field(default_factory=list)
    at: int = 0
    drawn: tuple[int, ...] = ()
    n_picks_drawn: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, Any] = field(default_factory=dict)
    expanded: tuple[int, int] | None = None
    n_unzoomed: int = 0
    n_uploads: int = 0
    maxout_target: tuple[str, str, int] | None = None
    clicked: tuple[int, int, str] | None = None
    reason_units: dict[str, list[tuple[str, int, tuple[int, int] | None]]] = field(default_factory=dict)
    units: dict[str, tuple[str, int]] = field(default_factory=dict)
    in_step: dict[str, str] = field(default_factory=dict)
    unfolded: dict[str, set[str]] = field(default_factory=dict)
    take_six: bool = False

    @property
    def active(self) -> list[str]:
        """The models that are switched on, in the order in which they came."""
        return [digest for digest in self.models if digest not in self.switched_off]

    def add_model(self, digest: str) -> None:
        """Put a model to work; one that is there already is switched on."""
        self.switched_off.discard(digest)
        if digest not in self.models:
            self.models.append(digest)

    def use_images(self, digest: str) -> None:
        """Work on another image set; picks belong to the old one."""
        if digest != self.images:
            self.images, self.picks, self.at = digest, [], 0

    def pick(self, image_ids: list[str]) -> int:
        """Add pictures to the picks; returns how many found no room."""
        new = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in self.picks]
        room = MAX_PICKS - len(self.picks)
        self.picks += new[:room]
        return max(0, len(new) - room)

    def colour(self, digest: str) -> str:
        """The model's colour, its own on every page, also when others come and go."""
        return model_colour(self.colours.setdefault(digest, len(self.colours)))


def work() -> Work:
    """This session's work: from the address bar at first, else the demo."""
    if "work" not in st.session_state:
        st.session_state["work"] = _from_url() or _demo()
    return st.session_state["work"]


def remember() -> None:
    """Write models and images into the address bar."""
    mine = work()
    st.query_params.from_dict({"models": ",".join(mine.models), "images": mine.images})


def cards() -> list[ModelCard]:
    """The cards of the models that are switched on."""
    return [cache.card(digest) for digest in work().active]


def classifiers() -> list[ModelCard]:
    """Those of the cards that choose among classes; regression models can be explained, but not compared by answers."""
    return [card for card in cards() if card.classifies]


def images() -> ImageSet:
    """The image set at work."""
    return cache.image_set(work().images)


def _from_url() -> Work | None:
    digests = [d for d in st.query_params.get("models", "").split(",") if d and cache.knows_model(d)]
    image_digest = st.query_params.get("images", "")
    if not digests or not cache.knows_images(image_digest):
        return None
    return Work(models=digests, images=image_digest)


def _demo() -> Work:
    return Work(models=[card.digest for card in cache.demo_cards()], images=cache.demo_images().digest)
