"""A model's files on the node: used where they lie (file://), else downloaded once per node and version.

The cache directory may be shared by all pods of a node. One downloads, the others wait for it; a version is complete as soon as
its directory has its name. While the storage cannot be reached, the newest version on the node serves.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vicuna_trainer.exits import BAD_INPUT, TrainingError
from vicuna_trainer.manifest import MANIFEST, checksum
from vicuna_trainer.model import SMALL_FILES, WEIGHTS
from vicuna_trainer.storage import Directory, Storage, open_storage

# The version before the newest stays: a pod that is starting may be reading it.
KEPT_VERSIONS = 2


def fetch(uri: str, cache: Path, log: Callable[[str], None]) -> Path:
    """A local directory with the model's files. Raises TrainingError (64, 66), and OSError where the storage fails."""
    storage = open_storage(uri)
    if isinstance(storage, Directory):
        if not os.path.isfile(storage.local("config.json")):
            raise TrainingError(BAD_INPUT, f"There is no model at {uri}: its config.json is missing. Correct the model's URI.")
        return Path(storage.root)
    home = cache / hashlib.sha256(uri.encode()).hexdigest()[:16]
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        try:
            files = {name: storage.version(name) for name in _wanted(storage, uri)}
        except OSError as error:
            known = _versions(home)
            if not known:
                raise
            log(f"{uri} cannot be reached ({error}): serving the version that is on this node.")
            return known[-1]
        target = home / hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:16]
        if target.exists():
            os.utime(target)
            log(f"{uri} is on this node already.")
        else:
            _download(storage, list(files), target)
        for old in _versions(home)[:-KEPT_VERSIONS]:
            shutil.rmtree(old, ignore_errors=True)
    return target


def _wanted(storage: Storage, uri: str) -> list[str]:
    names = sorted(name for name in storage.sizes("") if "/" not in name and name.endswith((*SMALL_FILES, WEIGHTS)))
    if "config.json" not in names:
        raise TrainingError(BAD_INPUT, f"There is no model at {uri}: its config.json is missing. Correct the model's URI.")
    return names


def _download(storage: Storage, names: list[str], target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".part-", dir=target.parent))
    try:
        for name in names:
            with storage.open(name, "rb") as source, open(scratch / name, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 24)
        _check(scratch, storage.uri)
        os.rename(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _check(directory: Path, uri: str) -> None:
    """Compares the files with the manifest that the trainer writes with a model, if there is one."""
    if not (directory / MANIFEST).exists():
        return
    local = Directory(directory.as_uri(), str(directory))
    for file in json.loads((directory / MANIFEST).read_bytes())["files"]:
        if (directory / file["path"]).exists() and checksum(local, file["path"]) != file["crc32"]:
            raise TrainingError(BAD_INPUT, f"{uri}/{file['path']} is not what its manifest says: export the model anew.")


def _versions(home: Path) -> list[Path]:
    """The complete versions, the longest unused first."""
    complete = [path for path in home.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(complete, key=lambda path: path.stat().st_mtime_ns)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
