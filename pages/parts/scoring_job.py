"""Scoring from a page: one job for the models and images at work."""

from __future__ import annotations

from bank.card import ModelCard
from bank.images import ImageSet
from bank.labels import name_key
from jobs.queue import Job
from pages.parts import cached, state
from suggestion import scoring


def job() -> Job:
    """Score what is not scored yet of the models and images at work; asking twice queues one job."""
    cards, images = state.cards(), state.images()
    bank, folder = cached.bank(), cached.predictions_folder()

    def work(job: Job) -> dict[str, str]:
        return scoring.score(bank, cards, images, folder, job.report)

    return Job(f"Scoring {images.name} with {len(cards)} models", work, unit="answers", key=key(cards, images))


def submit() -> Job:
    """Queue the scoring."""
    return cached.jobs().submit(job())


def key(cards: list[ModelCard], images: ImageSet) -> str:
    """Stands for one scoring job."""
    return f"score {images.digest} " + " ".join(card.digest for card in cards)


def unknown_labels(cards: list[ModelCard], images: ImageSet) -> list[str]:
    """True classes that no model has."""
    known = {name_key(name) for card in cards for name in card.class_names}
    return [label for label in images.classes if name_key(label) not in known]
