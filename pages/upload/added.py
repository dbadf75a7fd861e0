"""What a job that adds models has done."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Added:
    """Digests of the models that were added, what is wrong with the files that were not, by their names.

    A model that `replaces` another takes its place. Files that were `uploaded` empty their form.
    """

    digests: tuple[str, ...]
    failures: dict[str, str] = field(default_factory=dict)
    replaces: str = ""
    uploaded: bool = False
