"""Why a model decided as it did: one class per method, one file per family."""

from models.store import ModelHandle, ModelStore


def _dry_run(model: ModelHandle) -> dict[str, str]:
    from explainers.dry_run import refusals  # late: it stands on all methods

    return refusals(model)


ModelStore.dry_run = _dry_run
