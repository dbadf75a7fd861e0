"""The state of one session, typed: models, images, picks, jobs; models and images also stand in the address bar.

Widget values have keys of their own (`page_widget`); everything else that must outlive a page switch is here. Because
of the address bar, a reload, a bookmark or a link opens the same models and images.
"""

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from figures.colours import model_colour
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache

#: The most images that can be picked.
MAX_PICKS = 60


@dataclass
class SessionState:
    """Models and images by digest; the other dictionaries have a model's digest as key, too, where none is named.

    - `position`: the picked image on show; `clicked`: what the panel's corner carries that was clicked before this run
    - `jobs`: by name; `failures` and `unfinished` results: by the key of their request
    - `n_uploads`: part of the uploaders' keys, so that they are empty after each upload
    - `maxout_target`: what MaxOut is to show next, as model, layer, unit
    - `reason_units`: units that MaxOut sent to the Reason page, as layer, unit, place
    - `units`: layer and unit clicked last on the Layers page; `in_step`: layers of the models that move in step there
    - `unfolded`: the open blocks of the network diagram
    - `take_six`: pick six images as soon as there are predictions
    """

    models: list[str] = field(default_factory=list)
    switched_off: set[str] = field(default_factory=set)
    colours: dict[str, int] = field(default_factory=dict)
    images: str = ""
    picks: list[str] = field(default_factory=list)
    position: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    clicked: tuple[Any, ...] | None = None
    n_uploads: int = 0
    maxout_target: tuple[str, str, int] | None = None
    reason_units: dict[str, list[tuple[str, int, tuple[int, int] | None]]] = field(default_factory=dict)
    units: dict[str, tuple[str, int]] = field(default_factory=dict)
    in_step: dict[str, str] = field(default_factory=dict)
    unfolded: dict[str, set[str]] = field(default_factory=dict)
    take_six: bool = False

    @property
    def active(self) -> list[str]:
        """The models that are switched on, in the order in which they were added."""
        return [digest for digest in self.models if digest not in self.switched_off]

    @property
    def picks_ahead(self) -> list[str]:
        """All picks, the one on show first."""
        return self.picks[self.position :] + self.picks[: self.position]

    def add_model(self, digest: str) -> None:
        """Add a model, or switch it on if it is there already."""
        self.switched_off.discard(digest)
        if digest not in self.models:
            self.models.append(digest)

    def use_images(self, digest: str) -> None:
        """Switch to another image set, without picks."""
        if digest != self.images:
            self.images, self.picks, self.position = digest, [], 0

    def pick(self, image_ids: list[str]) -> int:
        """Add images to the picks; returns how many there was no room for."""
        new = [image_id for image_id in dict.fromkeys(image_ids) if image_id not in self.picks]
        room = MAX_PICKS - len(self.picks)
        self.picks += new[:room]
        return max(0, len(new) - room)

    def colour(self, digest: str) -> str:
        """The model's colour, the same on every page and whatever other models are added or removed."""
        return model_colour(self.colours.setdefault(digest, len(self.colours)))


def state() -> SessionState:
    """This session's state; a new session takes models and images from the address bar, else the demo's."""
    if "session" not in st.session_state:
        st.session_state["session"] = _from_url() or _demo()
    return st.session_state["session"]


def square(digest: str) -> str:
    """A model's mark in its colour, as Streamlit's markdown has it."""
    return f':color[■]{{foreground="{state().colour(digest)}"}}'


def update_address() -> None:
    """Write models and images into the address bar."""
    st.query_params.from_dict({"models": ",".join(state().models), "images": state().images})


def cards() -> list[ModelCard]:
    """The cards of the models that are switched on."""
    return [cache.card(digest) for digest in state().active]


def images() -> ImageSet:
    """The image set in use."""
    return cache.image_set(state().images)


def _from_url() -> SessionState | None:
    digests = [d for d in st.query_params.get("models", "").split(",") if d and cache.knows_model(d)]
    image_digest = st.query_params.get("images", "")
    if not digests or not cache.knows_images(image_digest):
        return None
    return SessionState(models=digests, images=image_digest)


def _demo() -> SessionState:
    return SessionState(models=[card.digest for card in cache.demo_cards()], images=cache.demo_images().digest)
