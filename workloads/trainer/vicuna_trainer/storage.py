"""Files below a URI: a directory (file://), or a prefix of an object store (s3://, hf:// for reading)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from typing import IO, Any

from .exits import BAD_CONFIGURATION, TrainingError

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 3
# Objects are sent in parts of this size: large enough that latency does not matter, small enough for many writers' memory.
PART_BYTES = 32 * 1024 * 1024
# Part of the name of directories that are being deleted; what dies meanwhile leaves them behind.
DELETED = ".deleted-"

_REFUSALS = {
    "gs": "gs:// needs gcsfs, which this image does not have: use Cloud Storage's S3 interface (s3:// with AWS_ENDPOINT_URL).",
    "pvc": "pvc:// is a path in a worker: the operator mounts the claim and names it as file://.",
}


class Storage:
    """What lies below one URI. Paths are relative to it, with `/`. Every method raises OSError when the storage fails."""

    uri: str

    def path_uri(self, path: str) -> str:
        """The full URI of `path`."""
        return f"{self.uri}/{path}"

    def open(self, path: str, mode: str) -> IO[bytes]:
        """Opens for "rb" or "wb"; an object written to an object store exists once its stream is closed."""
        raise NotImplementedError

    def sizes(self, path: str) -> dict[str, int]:
        """Every file below directory `path` (relative to it) with its bytes; empty when there is none."""
        raise NotImplementedError

    def children(self, path: str) -> list[str]:
        """Names of the directories and files directly in `path`, sorted; empty when there is none."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """Deletes a file or directory with all below it, if it is there."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        """Renames a directory in one step; only where `can_rename`."""
        raise NotImplementedError

    can_rename = False

    def version(self, path: str) -> str:
        """Changes when the file at `path` does."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        """The whole content."""
        with self.open(path, "rb") as file:
            return file.read()

    def write(self, path: str, content: bytes) -> None:
        """Writes the whole content so that a reader sees all of it or nothing."""
        raise NotImplementedError


class Directory(Storage):
    """A directory of a file system, local or shared."""

    can_rename = True

    def __init__(self, uri: str, root: str) -> None:
        self.uri = uri
        self.root = root

    def local(self, path: str) -> str:
        """The path in the file system."""
        return os.path.join(self.root, path) if path else self.root

    def open(self, path: str, mode: str) -> IO[bytes]:
        if "w" in mode:
            os.makedirs(os.path.dirname(self.local(path)), exist_ok=True)
        return open(self.local(path), mode)

    def sizes(self, path: str) -> dict[str, int]:
        root = self.local(path)
        if os.path.isfile(root):
            return {"": os.path.getsize(root)}
        found = {}
        for folder, _, names in os.walk(root):
            for name in names:
                full = os.path.join(folder, name)
                found[os.path.relpath(full, root).replace(os.sep, "/")] = os.path.getsize(full)
        return found

    def children(self, path: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return sorted(os.listdir(self.local(path)))
        return []

    def delete(self, path: str) -> None:
        root = self.local(path)
        if os.path.isdir(root):
            # First out of sight, so that nobody ever sees half of it.
            doomed = root if DELETED in root else f"{root}{DELETED}{uuid.uuid4().hex[:8]}"
            if doomed != root:
                os.rename(root, doomed)
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(root)

    def rename(self, old: str, new: str) -> None:
        os.rename(self.local(old), self.local(new))
        _sync_directory(os.path.dirname(self.local(new)))

    def version(self, path: str) -> str:
        status = os.stat(self.local(path))
        return f"{status.st_size}-{status.st_mtime_ns}"

    def write(self, path: str, content: bytes) -> None:
        target = self.local(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = f"{target}.part-{uuid.uuid4().hex[:8]}"
        try:
            with open(part, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part)
            raise
        _sync_directory(os.path.dirname(target))


class ObjectStore(Storage):
    """A prefix of an object store, through fsspec."""

    def __init__(self, uri: str, files: Any, root: str) -> None:
        self.uri = uri
        self._files = files
        self._root = root

    def open(self, path: str, mode: str) -> IO[bytes]:
        options = {"block_size": PART_BYTES} if "w" in mode else {"block_size": PART_BYTES, "cache_type": "readahead"}
        with _as_os_error(self.path_uri(path)):
            return self._files.open(self._full(path), mode, **options)

    def sizes(self, path: str) -> dict[str, int]:
        prefix = self._full(path)
        with _as_os_error(self.path_uri(path)):
            found = self._files.find(prefix, detail=True)
        if set(found) == {prefix}:
            return {"": int(found[prefix]["size"])}
        return {name[len(prefix) :].lstrip("/"): int(info["size"]) for name, info in found.items()}

    def children(self, path: str) -> list[str]:
        try:
            with _as_os_error(self.path_uri(path)):
                entries = self._files.ls(self._full(path), detail=False)
        except FileNotFoundError:
            return []
        return sorted({entry.rstrip("/").rpartition("/")[2] for entry in entries})

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError), _as_os_error(self.path_uri(path)):
            # Without its manifest it is no checkpoint any more, whatever becomes of the rest.
            with contextlib.suppress(FileNotFoundError):
                self._files.rm_file(f"{self._full(path)}/manifest.json")
            self._files.rm(self._full(path), recursive=True)

    def version(self, path: str) -> str:
        with _as_os_error(self.path_uri(path)):
            info = self._files.info(self._full(path))
        return f"{info.get('size')}-{info.get('ETag') or info.get('blob_id') or info.get('LastModified')}"

    def read(self, path: str) -> bytes:
        with _as_os_error(self.path_uri(path)):
            return self._files.cat_file(self._full(path))

    def write(self, path: str, content: bytes) -> None:
        with _as_os_error(self.path_uri(path)):
            self._files.pipe_file(self._full(path), content)

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def open_storage(uri: str, env: Mapping[str, str] = os.environ) -> Storage:
    """The storage below `uri`. Raises TrainingError (64) where this image cannot reach that kind."""
    scheme, separator, rest = uri.partition("://")
    rest = rest.rstrip("/")
    if separator and scheme == "file" and rest.startswith("/"):
        return Directory(uri.rstrip("/"), rest)
    if scheme == "s3" and rest:
        return ObjectStore(uri.rstrip("/"), _s3(env), rest)
    if scheme == "hf" and rest:
        from huggingface_hub import HfFileSystem

        return ObjectStore(uri.rstrip("/"), HfFileSystem(), rest)
    reason = _REFUSALS.get(scheme, "give an absolute URI: s3://bucket/prefix, file:///directory or hf://owner/name.")
    raise TrainingError(BAD_CONFIGURATION, f"{uri} cannot be used: {reason}")


def split_file(uri: str) -> tuple[str, str]:
    """A file's URI as (URI of its directory, name)."""
    directory, _, name = uri.rstrip("/").rpartition("/")
    return directory, name


def is_uri(text: str) -> bool:
    """Whether the text starts with a scheme."""
    return re.match(r"[a-z][a-z0-9+.-]*://", text) is not None


def _s3(env: Mapping[str, str]) -> Any:
    from s3fs import S3FileSystem

    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    # Servers other than AWS's rarely know bucket host names or checksum trailers.
    foreign = {"s3": {"addressing_style": "path"}, "request_checksum_calculation": "when_required"} if endpoint else {}
    files = S3FileSystem(
        key=env.get("AWS_ACCESS_KEY_ID"),
        secret=env.get("AWS_SECRET_ACCESS_KEY"),
        token=env.get("AWS_SESSION_TOKEN"),
        endpoint_url=endpoint,
        use_listings_cache=False,
        skip_instance_cache=True,
        default_cache_type="readahead",
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"mode": "standard", "max_attempts": 1},
            **foreign,
        },
    )
    files.retries = ATTEMPTS  # its own, around the client's
    return files


@contextlib.contextmanager
def _as_os_error(uri: str) -> Any:
    """Object stores' clients have exceptions of their own; the callers know one kind."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{uri}: {type(error).__name__}: {error}") from error


def _sync_directory(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
