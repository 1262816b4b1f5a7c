"""The manifest that makes a directory a checkpoint: written last, with every file's size and checksum."""

from __future__ import annotations

import json
import re
import zlib
from datetime import UTC, datetime
from typing import Any

from .exits import BAD_INPUT, TrainingError
from .storage import Storage, is_uri, open_storage

MANIFEST = "manifest.json"
INCOMPLETE = ".incomplete"
# Checksums of files up to this size are compared before a resume; of larger ones the size, which a broken write rarely keeps.
CHECKED_BYTES = 64 * 1024 * 1024
_NAME = re.compile(r"step-(\d{8,})-g(\d+)$")


def checkpoint_name(step: int, generation: int) -> str:
    """Directory of the checkpoint that `generation` makes of `step`."""
    return f"step-{step:08d}-g{generation}"


def parse_name(name: str) -> tuple[int, int] | None:
    """(step, generation) of a checkpoint's directory name, or None for other names."""
    match = _NAME.match(name)
    return None if match is None else (int(match[1]), int(match[2]))


def now() -> str:
    """Present time, RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_manifest(storage: Storage, directory: str) -> dict[str, Any] | None:
    """The manifest of a checkpoint, or None where there is none or it is no manifest. Raises OSError."""
    try:
        value = json.loads(storage.read(f"{directory}/{MANIFEST}"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("files"), list) else None


def write_manifest(storage: Storage, directory: str, manifest: dict[str, Any]) -> None:
    """Makes `directory` complete. Raises OSError."""
    storage.write(f"{directory}/{MANIFEST}", json.dumps(manifest).encode())


def verify(storage: Storage, directory: str) -> dict[str, Any]:
    """The manifest of a checkpoint that is whole. Raises TrainingError (66) that names what is wrong with it, and OSError."""
    manifest = read_manifest(storage, directory)
    uri = storage.path_uri(directory)
    if manifest is None:
        raise TrainingError(BAD_INPUT, f"{uri} is no complete checkpoint: it has no {MANIFEST}. Resume from another one.")
    sizes = storage.sizes(directory)
    for file in manifest["files"]:
        path, expected = file["path"], file["bytes"]
        if sizes.get(path) != expected:
            found = "is missing" if path not in sizes else f"has {sizes[path]} bytes"
            raise TrainingError(BAD_INPUT, f"Checkpoint {uri} is damaged: {path} {found}, its manifest says {expected}. Delete it.")
        if "crc32" in file and expected <= CHECKED_BYTES and checksum(storage, f"{directory}/{path}") != file["crc32"]:
            raise TrainingError(BAD_INPUT, f"Checkpoint {uri} is damaged: the checksum of {path} is wrong. Delete it.")
    return manifest


def checksum(storage: Storage, path: str) -> str:
    """CRC-32 of a file, 8 hexadecimal digits."""
    crc = 0
    with storage.open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return f"{crc:08x}"


def committed(storage: Storage) -> list[str]:
    """Names of the complete checkpoints, oldest first: by generation, then step. Raises OSError."""
    names = [name for name in storage.children("") if parse_name(name) is not None]
    complete = [name for name in names if MANIFEST in storage.children(name)]
    return sorted(complete, key=age_order)


def age_order(name: str) -> tuple[int, int]:
    """Sorts checkpoints by age. A later generation may resume at an earlier step, so the generation comes first."""
    step, generation = parse_name(name) or (0, 0)
    return generation, step


def commit_foreign(path: str, step: int, generation: int, seconds: float) -> dict[str, Any]:
    """Commits a directory that a program of the user's own has written; returns the checkpoint as it is reported."""
    uri = path.rstrip("/") if is_uri(path) else f"file://{path.rstrip('/')}"
    parent, _, name = uri.rpartition("/")
    storage = open_storage(parent)
    files = [
        {"path": file, "bytes": size, "crc32": checksum(storage, f"{name}/{file}")}
        for file, size in sorted(storage.sizes(name).items())
        if file != MANIFEST
    ]
    if not files:
        raise TrainingError(BAD_INPUT, f"{uri} cannot be committed as a checkpoint: there is no file in it.")
    times = {"seconds": round(seconds, 4), "stallSeconds": round(seconds, 4)}
    manifest = {"version": 1, "step": step, "generation": generation, **times, "files": files, "savedAt": now()}
    write_manifest(storage, name, manifest)
    return report_of(manifest, uri)


def report_of(manifest: dict[str, Any], uri: str) -> dict[str, Any]:
    """A checkpoint as the worker protocol carries it."""
    return {
        "step": manifest["step"],
        "uri": uri,
        "bytes": sum(file["bytes"] for file in manifest["files"]),
        "savedAt": manifest["savedAt"],
        "seconds": manifest["seconds"],
        "stallSeconds": manifest["stallSeconds"],
        "generation": manifest["generation"],
    }
