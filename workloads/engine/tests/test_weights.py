"""A model's files on their way to the node."""

from __future__ import annotations

import json
import zlib

import pytest
from tests.fake_s3 import FakeS3
from vicuna_engine.weights import fetch
from vicuna_trainer.exits import TrainingError

URI = "s3://bucket/models/vicuna"


@pytest.fixture
def s3(monkeypatch, model_directory):
    """An object store with the model, as the trainer exports it."""
    with FakeS3() as store:
        for name, value in store.env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("vicuna_trainer.storage.ATTEMPTS", 1)
        put(store, {path.name: path.read_bytes() for path in model_directory.iterdir()})
        yield store


def put(store, files):
    """Writes files and the manifest that goes with them."""
    for name, content in files.items():
        store.objects[f"bucket/models/vicuna/{name}"] = content
    listed = [{"path": name, "bytes": len(c), "crc32": f"{zlib.crc32(c):08x}"} for name, c in files.items()]
    store.objects["bucket/models/vicuna/manifest.json"] = json.dumps({"version": 1, "files": listed}).encode()


def test_a_model_is_downloaded_once_per_version(s3, tmp_path, model_directory):
    said = []
    first = fetch(URI, tmp_path, said.append)
    assert (first / "model.safetensors").read_bytes() == (model_directory / "model.safetensors").read_bytes()
    assert fetch(URI, tmp_path, said.append) == first
    assert said == [f"{URI} is on this node already."]
    versions = [first]
    for number in range(3):
        put(s3, {"config.json": b"{}" + b" " * number})
        versions.append(fetch(URI, tmp_path, said.append))
    assert len(set(versions)) == 4
    assert [version.exists() for version in versions] == [False, False, True, True]


def test_without_its_storage_a_node_serves_what_it_has(s3, tmp_path):
    said = []
    first = fetch(URI, tmp_path, said.append)
    s3.dead = True
    assert fetch(URI, tmp_path, said.append) == first
    assert "cannot be reached" in said[0]
    with pytest.raises(OSError, match="other"):
        fetch("s3://bucket/other", tmp_path, said.append)


def test_a_damaged_file_is_refused_and_not_kept(s3, tmp_path):
    weights = "bucket/models/vicuna/model.safetensors"
    s3.objects[weights] = s3.objects[weights][:-1] + b"\x00"
    with pytest.raises(TrainingError, match=r"model\.safetensors is not what its manifest says"):
        fetch(URI, tmp_path, print)
    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == [next(tmp_path.iterdir())]


def test_a_local_model_is_used_where_it_lies(model_directory, tmp_path):
    assert fetch(model_directory.as_uri(), tmp_path, print) == model_directory
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["s3://bucket/nothing", "file:///nowhere", "gs://bucket/model", "model"])
def test_a_uri_without_a_model_is_refused_with_what_to_do(s3, tmp_path, uri):
    with pytest.raises(TrainingError):
        fetch(uri, tmp_path, print)
