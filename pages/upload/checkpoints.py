"""The form for models from files: which configuration belongs to which weights, and what each is loaded with."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.typing import UploadedFile

from common.bounds import MAX_JSON_TEXT
from common.errors import InputError
from common.escape import markdown
from jobs.queue import Job
from models import loaders
from models.loaders import checkpoint, zoo
from models.loaders.arguments import parse_arguments, split_preprocessing
from models.loaders.entries import stem_of
from models.loaders.pairing import pair
from models.preprocessing import Preprocessing
from pages.shared import cache, session, workspace
from pages.upload import preprocessing
from pages.upload.added import Added

CHOOSE = "Choose, or type part of the name"


@dataclass(frozen=True)
class Plan:
    """How one file is to be loaded: `config` and `names` are the files that were paired with it, "" for none."""

    file: UploadedFile
    architecture: str | None
    create: dict[str, Any]
    config: str = ""
    names: str = ""
    image: dict[str, Any] = field(default_factory=dict)
    class_names: list[str] | None = None
    head: str | None = None


def model_files() -> Job | None:
    """Models from files; weights alone need a named architecture. The form is empty again after each upload."""
    number = session.state().uploads["models"]
    kinds = [suffix[1:] for suffix in loaders.SUFFIXES] + ["json"]
    files = st.file_uploader(
        "Checkpoints, and their config.json if they have one", kinds, accept_multiple_files=True,
        key=f"upload_weights_{number}",
        help="Several are paired by their names: a.json belongs to a.pt.",
    )  # fmt: skip
    architecture = st.selectbox(
        "Architecture", zoo.architectures(), None, key=f"upload_architecture_{number}", placeholder=CHOOSE,
        persist_state="session", help="For files without a configuration that names it.",
    )  # fmt: skip
    text = st.text_input(
        "Creation arguments", key=f"upload_create_{number}", placeholder="pad_type=same, num_classes=10",
        help="Also prefix=…, bands=0,1,2 and head_activation=…, which say how to read the file, and head=multi-label.",
    )  # fmt: skip
    names = st.file_uploader(
        "Class names (one per line, or JSON)", ["txt", "json", "csv", "tsv"], accept_multiple_files=True,
        key=f"upload_names_{number}",
    )  # fmt: skip
    plans, unused = _plans(files, names, architecture, text)
    if len(plans) > 1 or any(plan.config for plan in plans) or unused:
        _show(plans, unused)
    with st.expander("Preprocessing, where it differs from the architecture's default"):
        if len(plans) > 1:
            first = markdown(plans[0].file.name)
            st.caption(f"Shown for {first}. What is changed here holds for all {len(plans)} models.")
        pixels = preprocessing.first_image(session.images())
        changes = preprocessing.fields(_default(plans, architecture), f"upload_preprocessing_{number}", pixels)
    if not st.button("Add models", key="upload_weights_add", disabled=not plans):
        return None
    return cache.jobs().submit(_job(plans, changes, {file.name: _text(file) for file in names}), "interactive")


def _plans(
    files: list[UploadedFile], names: list[UploadedFile], architecture: str | None, text: str
) -> tuple[list[Plan], list[str]]:
    """One for each file of weights, and the names of files that belong to none."""
    weights = [file for file in files if not file.name.lower().endswith(".json")]
    configs = {file.name: checkpoint.read_config(_text(file)) for file in files if file.name.lower().endswith(".json")}
    file_names = [file.name for file in weights]
    by_config = pair(file_names, {name: config.pop("file", "") for name, config in configs.items()})
    by_names = pair(file_names, {file.name: "" for file in names})
    given = parse_arguments(text)
    plans = []
    for file in weights:
        config = configs.get(by_config.get(file.name, ""), {})
        create, image = split_preprocessing({**config.get("create", {}), **given})
        head = create.pop("head", None)
        plans.append(
            Plan(
                file, config.get("architecture", architecture), create, by_config.get(file.name, ""),
                by_names.get(file.name, ""), {**config.get("preprocessing", {}), **image}, config.get("class_names"),
                None if head is None else str(head),
            )
        )  # fmt: skip
    used = {*by_config.values(), *by_names.values()}
    return plans, [name for name in (*configs, *(file.name for file in names)) if name not in used and plans]


def _show(plans: list[Plan], unused: list[str]) -> None:
    """What belongs together, before anything is loaded."""
    rows = [(plan.file.name, plan.config or "–", plan.architecture or "none yet", plan.names or "–") for plan in plans]
    columns = ["weights", "configuration", "architecture", "class names"]
    st.dataframe(pd.DataFrame(rows, columns=columns), hide_index=True, key="upload_pairs")
    if unused:
        st.caption(f":orange[Not used, as no weights are named like it:] {markdown(', '.join(unused))}")


def _default(plans: list[Plan], architecture: str | None) -> Preprocessing | None:
    """What the first model would be fed with unless it is changed; `None` where its architecture is not known."""
    plan = plans[0] if plans else None
    name, create = (plan.architecture, plan.create) if plan else (architecture, {})
    if name is None:
        return None
    own = {key: value for key, value in create.items() if key not in checkpoint.READING}
    try:
        default = _preprocessing_of(name, repr(sorted(own.items())), own)
    except InputError:  # told when it is loaded
        return None
    return default.changed(plan.image) if plan else default


@st.cache_data(show_spinner=False, max_entries=50)
def _preprocessing_of(architecture: str, key: str, _create: dict[str, Any]) -> Preprocessing:
    return zoo.skeleton(architecture, _create)[1]


def _job(plans: list[Plan], changes: dict[str, Any], texts: dict[str, str]) -> Job:
    """Load what is planned, one after another; a file that fails is named, and takes none of the others along."""
    for plan in plans:
        if plan.architecture is None and loaders.for_file(plan.file.name).holds_weights_only:
            cure = "Choose one, or upload the model's config.json."
            raise InputError(f"an architecture for {plan.file.name}", "none", cure)
    workspace.current().check_room(sum(plan.file.size for plan in plans))
    folder, model_store = workspace.current().folder / loaders.KEPT, cache.model_store()
    kept = [(plan, loaders.keep(plan.file, plan.file.name, folder), plan.file.name) for plan in plans]

    def load(job: Job) -> Added:
        digests, failures = [], {}
        for done, (plan, path, name) in enumerate(kept):
            job.report(done, len(kept))
            loader = loaders.for_file(name)
            arguments: dict[str, Any] = {"preprocessing": {**plan.image, **changes}, "name": stem_of(name)}
            if loader.holds_weights_only:
                arguments |= {"architecture": plan.architecture, "create": plan.create}
            if not plan.names and plan.class_names:
                arguments["class_names"] = plan.class_names
            try:
                loaded = loader.load(path=str(path), **arguments)
                if plan.names:
                    loaded = loaded.with_class_names(texts[plan.names])
                if plan.head is not None:
                    loaded = loaded.with_head(plan.head)
                digests.append(model_store.add(loaded).digest)
            except InputError as error:
                if len(kept) == 1:
                    raise
                failures[name] = str(error)
        return Added(tuple(digests), failures, uploaded=True)

    return Job(f"Loading {len(kept)} models", load, unit="models")


def _text(file: UploadedFile) -> str:
    """The content of a text file."""
    if file.size > MAX_JSON_TEXT:
        received = f"{file.name} with {file.size / 1024**2:,.0f} MB"
        raise InputError(f"a text file of at most {MAX_JSON_TEXT // 1024**2} MB", received, "Is it the right file?")
    try:
        return file.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("a text file", f"{file.name}, which is not text", "Save it as UTF-8.") from error
