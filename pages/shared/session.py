"""The state of one session, typed: models, images, picks, settings, jobs; what a visitor chose is kept on disk.

Widget values have keys of their own (`page_widget`), see `kept`; all else that must outlive a page switch is here. The
address bar holds the key of the workspace, models and images, and the name of a file with the rest (`saved_views`), so
that a reload, a bookmark or a link opens the same, also after a restart. Every session writes a file of its own.
"""

import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from figures.colours import model_colour
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.server.address import TOO_LONG, UNKNOWN_WORKSPACE, is_digest, parts, short
from pages.shared import cache, saved_views, workspace

#: What is kept of a session: all that somebody chose, and what was stopped or has failed as a whole.
_CHOSEN = (
    *("models", "switched_off", "colours", "images", "picks", "position", "settings", "halted"),
    *("reason_units", "units", "in_step", "unfolded"),
    *("stack", "runs", "run"),
)

#: The most images that can be picked.
MAX_PICKS = 60


@dataclass
class SessionState:
    """Models and images by digest; the other dictionaries have a model's digest as key, too, where none is named.

    - `position`: the picked image on show; `clicked`: what the panel's corner carries that was clicked before this run
    - `jobs`: by name; `failures`: by the key of their request; `halted`: see `session_jobs.halted`
    - `settings`: what the widgets of all pages are set to, by their keys
    - `view`: the name of this session's file; `saved`: what is in it; `warnings` are shown on every page
    - `uploads`: number of uploads of models and of images, part of their forms' keys: a form is empty after each
    - `not_added`: what is wrong with the files of the last upload that were not added, by their names
    - `maxout_target`: what MaxOut is to show next, as model, layer, unit
    - `reason_units`: units that MaxOut sent to the Reason page, as layer, unit, place
    - `units`: layer and unit clicked last on the Layers page; `in_step`: layers of the models that move in step there
    - `unfolded`: the open blocks of the network diagram
    - `stack`: the layers in the Playground's builder; `runs`: the trainings begun there, as `TrainingRequest.plain`
      with a `name`; `run`: the key of the one that is looked at
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
    uploads: Counter[str] = field(default_factory=Counter)
    not_added: dict[str, str] = field(default_factory=dict)
    maxout_target: tuple[str, str, int] | None = None
    reason_units: dict[str, list[tuple[str, int, tuple[int, int] | None]]] = field(default_factory=dict)
    units: dict[str, tuple[str, int]] = field(default_factory=dict)
    in_step: dict[str, str] = field(default_factory=dict)
    unfolded: dict[str, set[str]] = field(default_factory=dict)
    stack: list[dict[str, Any]] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)
    run: str = ""
    take_six: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    halted: dict[str, dict[str, str]] = field(default_factory=dict)
    view: str = field(default_factory=lambda: secrets.token_hex(8))
    saved: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def active(self) -> list[str]:
        """The models that are switched on, in the order in which they were added."""
        return [digest for digest in self.models if digest not in self.switched_off]

    @property
    def picks_ahead(self) -> list[str]:
        """All picks, the one on show first."""
        return self.picks[self.position :] + self.picks[: self.position]

    def add_model(self, digest: str, replaces: str = "") -> None:
        """Add a model, or switch it on if it is there already; one that replaces another takes its place and colour."""
        self.switched_off.discard(digest)
        if replaces in self.models and replaces != digest:
            self.models = [digest if one == replaces else one for one in self.models if one != digest]
            self.colours.setdefault(digest, self.colours.pop(replaces, len(self.colours)))
        elif digest not in self.models:
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
    """This session's state; a new session takes what the address bar tells, else the demo."""
    if "session" not in st.session_state:
        st.session_state["session"] = found = _from_address()
        for key, value in found.settings.items():
            st.session_state[key] = value
        if found.settings:
            st.rerun()  # Streamlit warns of widgets that get a value in the run that makes them
    return st.session_state["session"]


def kept(key: str) -> dict[str, Any]:
    """What every widget is told that is to stay as it is set: on other pages, after a reload, for who gets the link."""
    settings, value = state().settings, st.session_state.get(key)
    if key in st.session_state and settings.get(key, ()) != value and _is_kept(key, value):
        settings[key] = value
        save()  # a fragment's run ends without a word
    return {"key": key, "persist_state": "session"}


def _is_kept(key: str, value: Any) -> bool:
    """Whether a setting goes into the file; the forms of the upload page are done with once they are sent."""
    return not key.startswith("upload_") and saved_views.is_plain(value)


def save() -> None:
    """Write down what was chosen, and its name into the address bar."""
    now = state()
    chosen = repr({name: getattr(now, name) for name in _CHOSEN})
    workspace.current().touch()
    if chosen != now.saved:
        now.saved = chosen
        try:
            saved_views.write(now.view, chosen)
        except OSError as error:
            now.warnings = [f"What you choose is not kept for a reload: {error.strerror or error}."]
    own = {workspace.PARAMETER: workspace.current().key}
    address = own | {"models": ",".join(now.models), "images": now.images, "view": now.view}
    if st.query_params.to_dict() != address:
        st.query_params.from_dict(address)


def square(digest: str) -> str:
    """A model's mark in its colour, as Streamlit's markdown has it."""
    return f':color[■]{{foreground="{state().colour(digest)}"}}'


def forget_what_is_gone() -> None:
    """Leave out models and images whose files are gone, as after a long pause; the demo's take their place."""
    now = state()
    if lost := [digest for digest in now.models if not cache.knows_model(digest)]:
        now.models = [digest for digest in now.models if digest not in lost] or [
            card.digest for card in cache.demo_cards()
        ]
        now.warnings.append(f"{len(lost)} models of this workspace are no longer kept. Add them again.")
    if not cache.knows_images(now.images):
        now.use_images(cache.demo_images().digest)
        now.warnings.append("The image set that was in use is no longer kept. Add it again.")


def cards() -> list[ModelCard]:
    """The cards of the models that are switched on."""
    return [cache.card(digest) for digest in state().active]


def images() -> ImageSet:
    """The image set in use."""
    return cache.image_set(state().images)


def _from_address() -> SessionState:
    """What the address bar tells: a file of choices, and models and images, which go before those in the file.

    Models may be given by digest or by name; without models or images, the demo's take their place.
    """
    address, demo, demo_images = st.query_params, cache.demo_cards(), cache.demo_images()
    view = address.get("view", "")
    found, saved = SessionState(), saved_views.read(view)
    chosen = saved
    for folder in workspace.folders()[1:]:  # a class begins with what its teacher chose last
        chosen = chosen or {k: v for k, v in saved_views.latest(folder).items() if k in ("models", "images")}
    for name, value in chosen.items():
        if name in _CHOSEN:
            setattr(found, name, value)
    if UNKNOWN_WORKSPACE in address:
        found.warnings.append("The address names a workspace that this server does not know: this is another one.")
    if TOO_LONG in address:
        found.warnings.append("The address is too long to be read.")
    if view and not saved:
        found.warnings.append(f"The address names a view that this server does not keep: {short(view)}.")
    given, n_more = parts(address.get("models", ""))
    if given:
        known = {part for part in given if is_digest(part) and cache.knows_model(part)}
        by_name = {} if known.issuperset(given) else _by_name()
        digests = [part if part in known else by_name.get(part, "") for part in given]
        found.models = list(dict.fromkeys(filter(None, digests)))
        if lost := [part for part, digest in zip(given, digests, strict=True) if not digest]:
            names = short(", ".join(lost))
            found.warnings.append(f"The address names models that this server does not know: {names}.")
        if n_more:
            found.warnings.append(f"The address names {n_more:,} more models than can be opened at once.")
    images = address.get("images", "") or found.images
    if images and not (is_digest(images) and cache.knows_images(images)):
        found.warnings.append(f"The address names images that this server does not know: {short(images)}.")
        images = ""
    found.models = [digest for digest in found.models if cache.knows_model(digest)]
    found.models = found.models or [card.digest for card in demo]
    found.use_images(images or demo_images.digest)
    ids = set(cache.image_set(found.images).ids)
    found.picks = [image_id for image_id in found.picks if image_id in ids]
    found.position = max(0, min(found.position, len(found.picks) - 1))
    return found


def _by_name() -> dict[str, str]:
    """The digests of models by their names; where several have the same, the demo's goes first, then the newest."""
    return {card.name: card.digest for card in [*reversed(cache.known_cards()), *cache.demo_cards()]}
