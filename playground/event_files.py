"""Scalars out of TensorBoard's event files: records in TFRecord framing, each of them a protocol buffer."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from common.errors import InputError
from playground.history_columns import Log, meaning

#: A record's length and that length's checksum come before it, its own checksum after it.
_HEADER_BYTES, _FOOTER_BYTES = 12, 4

#: Numbers that one file may hold, at most.
_MOST_SCALARS = 2_000_000

#: Types of tensors that hold a scalar: how their bytes are read, and the field that holds it otherwise.
_TENSOR_TYPES = {
    1: ("<f4", "float_val"), 2: ("<f8", "double_val"), 3: ("<i4", "int_val"), 9: ("<i8", "int64_val"),
    19: ("<f2", ""),
}  # fmt: skip

_FIELD = descriptor_pb2.FieldDescriptorProto

#: The parts of TensorBoard's messages that hold scalars: name, number and type of each field; all others are skipped.
_MESSAGES: dict[str, tuple[tuple[str, int, Any, bool], ...]] = {
    "Event": (("step", 2, _FIELD.TYPE_INT64, False), ("summary", 5, "Summary", False)),
    "Summary": (("value", 1, "Value", True),),
    "Value": (
        ("tag", 1, _FIELD.TYPE_BYTES, False), ("simple_value", 2, _FIELD.TYPE_FLOAT, False),
        ("tensor", 8, "Tensor", False), ("metadata", 9, "Metadata", False),
    ),
    "Metadata": (("plugin_data", 1, "PluginData", False),),
    "PluginData": (("plugin_name", 1, _FIELD.TYPE_BYTES, False),),
    "Tensor": (
        ("dtype", 1, _FIELD.TYPE_INT32, False), ("tensor_content", 4, _FIELD.TYPE_BYTES, False),
        ("float_val", 5, _FIELD.TYPE_FLOAT, True), ("double_val", 6, _FIELD.TYPE_DOUBLE, True),
        ("int_val", 7, _FIELD.TYPE_INT32, True), ("int64_val", 10, _FIELD.TYPE_INT64, True),
    ),
}  # fmt: skip


def is_event_file(content: bytes) -> bool:
    """Whether a file begins with the length of a record and that length's checksum."""
    return len(content) >= _HEADER_BYTES and _checked(content[:8], content[8:12])


def read_event_files(files: Mapping[str, bytes], name: str) -> Log:
    """The scalars of one run, one row for each step; folders such as train/ and validation/ count as parts of tags.

    A file that breaks off gives what is whole, and that is said. Raises `InputError` where there are no scalars, or
    those of several runs.
    """
    table: dict[int, dict[str, float]] = {}
    remarks: list[str] = []
    n_records = n_others = n_again = n_scalars = 0
    folders = _folders(files, name)
    for path in sorted(files):
        broken: list[str] = []
        read: dict[int, dict[str, float]] = {}
        n_before = n_scalars
        for record in records(files[path], broken):
            n_records += 1
            try:
                event = _message("Event").FromString(record)
            except DecodeError:
                broken.append("a record that is no event")
                break
            row = read.setdefault(event.step, {})
            for value in event.summary.value:
                number = _scalar(value)
                if number is None:
                    n_others += 1
                    continue
                tag = value.tag.decode("utf-8", "replace")
                tag = f"{folders[path]}/{tag}" if folders[path] else tag
                n_again += tag in row
                row[tag] = number
                n_scalars += 1
                if n_scalars > _MOST_SCALARS:
                    raise InputError(f"at most {_MOST_SCALARS:,} scalars", f"more in {name}", "Log once an epoch.")
        if broken:
            remarks.append(f"{PurePosixPath(path).name} breaks off ({broken[0]}): what is whole before that is drawn.")
        n_other = _merge(table, read)
        if n_other > (n_scalars - n_before) / 2:
            received = f"{name} with several values for the same steps"
            cure = "Give the files of one run; with folders such as train and validation, the whole folder."
            raise InputError("the event files of one run", received, cure)
        n_again += n_other
    rows = {step: row for step, row in table.items() if row}
    tags = list(dict.fromkeys(tag for row in rows.values() for tag in row))
    if not tags:
        held = f"{n_records:,} records" + (f" and {n_others:,} values of other kinds" if n_others else "")
        cure = "Upload the events file of the run's training." + (f" {remarks[0]}" if remarks else "")
        raise InputError("event files with scalars", f"{name} with {held}, but no scalar", cure)
    not_numbers = dict.fromkeys(tag for row in rows.values() for tag, number in row.items() if number != number)
    if nan := [f"'{tag[:80]}'" for tag in tags if tag in not_numbers]:
        remarks.append(f"Not a number (NaN) at some steps: {', '.join(nan[:6])}{' …' if nan[6:] else ''}.")
    if n_again:
        values = "1 value was" if n_again == 1 else f"{n_again:,} values were"
        remarks.append(f"{values} written again for the same step: the later one is drawn.")
    if n_others:
        remarks.append(f"{n_others:,} values that are no scalars (images, histograms, text) are left out.")
    return _log(rows, tags, remarks)


def _merge(table: dict[int, dict[str, float]], read: dict[int, dict[str, float]]) -> int:
    """Add what a file holds to what others held; returns how many values are others than before."""
    n_other = 0
    for step, row in read.items():
        before = table.setdefault(step, {})
        n_other += sum(tag in before and before[tag] != number for tag, number in row.items())
        before.update(row)
    return n_other


def _log(rows: dict[int, dict[str, float]], tags: list[str], remarks: list[str]) -> Log:
    """Rows in the order of their steps; what the steps are is told by the tags, or not at all."""
    steps = sorted(rows)
    places = {tag: n for n, tag in enumerate(tags)}
    if len(steps) * len(tags) > 5 * _MOST_SCALARS:
        raise InputError("a log of one run", f"{len(tags):,} tags at {len(steps):,} steps", "Log once an epoch.")
    values = np.full((len(steps), len(tags)), np.nan)
    for r, step in enumerate(steps):
        for tag, number in rows[step].items():
            values[r, places[tag]] = number
    counts = np.array(steps, dtype=np.float64)
    names = tuple(tag.strip() for tag in tags)
    if any(tag.casefold() == "epoch" for tag in names):  # Lightning tells the epoch of each step
        column = names.index(next(tag for tag in names if tag.casefold() == "epoch"))
        known = np.isfinite(values[:, column])
        values[~known, column] = np.interp(counts[~known], counts[known], values[known, column]).round()
        return Log((*names, "step"), np.c_[values, counts], tuple(remarks))
    if any(tag.rpartition("/")[2].startswith("epoch_") for tag in names):  # Keras
        return Log(names, values, (*remarks, "Steps were read as epochs: its tags are called epoch_…"), counts)
    note = "The file counts steps, and does not say whether these are epochs."
    return Log((*names, "step"), np.c_[values, counts], (*remarks, note))


def records(content: bytes, broken: list[str]) -> Iterator[bytes]:
    """The records of a file one after another; why it ends early, if it does, is added to `broken`."""
    place = 0
    while place < len(content):
        header = content[place : place + _HEADER_BYTES]
        if len(header) == _HEADER_BYTES and not _checked(header[:8], header[8:]):
            broken.append("damaged")
            return
        length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER_BYTES else len(content)
        stop = place + _HEADER_BYTES + length
        if stop + _FOOTER_BYTES > len(content):
            broken.append("its end is missing")
            return
        record = content[place + _HEADER_BYTES : stop]
        if not _checked(record, content[stop : stop + _FOOTER_BYTES]):
            broken.append("damaged")
            return
        yield record
        place = stop + _FOOTER_BYTES


def _checked(data: bytes, checksum: bytes) -> bool:
    """Whether the masked CRC-32C of `data` is the one given."""
    return struct.pack("<I", masked_crc(data)) == checksum


def masked_crc(data: bytes) -> int:
    """The checksum of TFRecord files: CRC-32C, rotated, so that checksums of checksums are no trouble."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _scalar(value: Any) -> float | None:
    """A summary's number in the old encoding or the new one; `None` for what is no scalar."""
    if value.HasField("simple_value"):
        return float(value.simple_value)
    plugin = value.metadata.plugin_data.plugin_name
    if not value.HasField("tensor") or plugin not in (b"", b"scalars") or value.tensor.dtype not in _TENSOR_TYPES:
        return None
    kind, field = _TENSOR_TYPES[value.tensor.dtype]
    if value.tensor.tensor_content:
        numbers = value.tensor.tensor_content
        return float(np.frombuffer(numbers, kind)[0]) if len(numbers) == np.dtype(kind).itemsize else None
    listed: Sequence[float] = getattr(value.tensor, field) if field else []
    return float(listed[0]) if len(listed) == 1 else None


def _folders(files: Mapping[str, bytes], name: str) -> dict[str, str]:
    """What the folder of each file adds to its tags; raises `InputError` where folders are runs of their own."""
    parents = {path: PurePosixPath(path.replace("\\", "/")).parent for path in files}
    shared = _common([parent.parts for parent in parents.values()])
    added = {path: "/".join(parent.parts[shared:]) for path, parent in parents.items()}
    if len(set(added.values())) == 1:  # a single folder may be the training's or the validation's
        last = next(iter(parents.values())).name
        return dict.fromkeys(files, last if meaning(last)[0] else "")
    runs = sorted({folder for folder in added.values() if folder and not meaning(folder)[0]})
    if len(runs) > 1 or (runs and "" in added.values()):
        raise InputError("the event files of one run", f"{name} with several ({', '.join(runs[:4])})", "Give one.")
    return added


def _common(paths: Sequence[Sequence[str]]) -> int:
    """How many parts all paths share at their beginnings."""
    shortest = min(map(len, paths))
    return next((n for n in range(shortest) if len({parts[n] for parts in paths}) > 1), shortest)


@cache
def _message(name: str) -> Any:
    """The class of one of `_MESSAGES`, from a pool of its own: TensorBoard's classes may be loaded beside it."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="events.proto", package="parallax", syntax="proto3")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for title, number, kind, repeated in fields:
            field = made.field.add(name=title, number=number)
            field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".parallax.{kind}"
            else:
                field.type = kind
            if title == "simple_value":  # zero is not the same as nothing
                made.oneof_decl.add(name="_simple_value")
                field.oneof_index, field.proto3_optional = 0, True
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"parallax.{name}"))
