"""Scoring: one job for the models and images in use."""

from jobs.queue import Job
from pages.shared import cache, session
from suggestion import scoring


def job() -> Job:
    """The job that scores what is not scored yet of the models and images in use."""
    cards, images = session.cards(), session.images()
    model_store, folder = cache.model_store(), cache.predictions_folder()

    def work(job: Job) -> dict[str, str]:
        return scoring.score(model_store, cards, images, folder, job.report)

    key = f"score {images.digest} " + " ".join(card.digest for card in cards)
    return Job(f"Scoring {images.name} with {len(cards)} models", work, unit="predictions", key=key)
