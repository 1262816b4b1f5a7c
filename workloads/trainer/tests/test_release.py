"""Deltas made and applied: every bit comes back, whatever sharding, type and interruption; wrong inputs are explained."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from vicuna_trainer.exits import TrainingError
from vicuna_trainer.release import make as make_module
from vicuna_trainer.release.apply import apply_delta
from vicuna_trainer.release.bits import SIZES, additive_difference, additive_sum, as_bits, cast
from vicuna_trainer.release.make import make_delta
from vicuna_trainer.release.progress import Progress
from vicuna_trainer.release.task import ReleaseConfig
from vicuna_trainer.release.verify import verify
from vicuna_trainer.release.weights import Weights, head_of
from vicuna_trainer.storage import open_storage

from .fake_s3 import FakeS3

SPECIAL = {
    # infinities, NaNs with payloads (quiet and signalling), zeros of both signs, subnormals, largest
    "F32": [0x7F800000, 0xFF800000, 0x7FC00001, 0x7F800001, 0xFFFFFFFF, 0, 0x80000000, 1, 0x7F7FFFFF],
    "F16": [0x7C00, 0xFC00, 0x7E01, 0x7C01, 0xFFFF, 0, 0x8000, 1, 0x7BFF],
    "BF16": [0x7F80, 0xFF80, 0x7FC1, 0x7F81, 0xFFFF, 0, 0x8000, 1, 0x7F7F],
}
SHAPES = [(1,), (3, 5), (7, 1, 2), (0, 4), (), (17, 33), (64,)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Pieces so small that tensors have many of them, and a last one that is shorter."""
    monkeypatch.setattr(make_module, "CHUNK", 13)
    monkeypatch.setattr("vicuna_trainer.release.apply.CHUNK", 13)


def random_bits(chance, dtype, shape, special=True):
    """Any bits at all, so that most are ordinary, some are odd."""
    count = int(np.prod(shape, dtype=np.int64))
    width = SIZES[dtype]
    bits = np.frombuffer(chance.randbytes(count * width), dtype=f"<u{width}").copy()
    for position in range(0, count, 3) if special and dtype in SPECIAL else ():
        bits[position] = chance.choice(SPECIAL[dtype])
    return bits


def save(directory: Path, shards: list[dict], config=None, index=True):
    """Writes a model: for each shard {name: (dtype, shape, bits)}."""
    directory.mkdir(parents=True, exist_ok=True)
    places = {}
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors" if len(shards) > 1 else "model.safetensors"
        head = head_of([(key, dtype, shape) for key, (dtype, shape, _) in tensors.items()], {"format": "pt"})
        (directory / name).write_bytes(head + b"".join(bits.tobytes() for _, _, bits in tensors.values()))
        places.update(dict.fromkeys(tensors, name))
    if len(shards) > 1 and index:
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (directory / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "bfloat16", **(config or {})}))
    (directory / "tokenizer.json").write_text('{"version": "1.0"}')


def split(chance, tensors, shards):
    """The tensors in a random order over so many shards, none empty."""
    names = list(tensors)
    chance.shuffle(names)
    return [{name: tensors[name] for name in names[number::shards]} for number in range(shards)]


def stores(*paths):
    return tuple(open_storage(f"file://{path}") for path in paths)


def make(directory, mode="exact", vocabulary="same", base="base", target="target", output="delta"):
    config = ReleaseConfig(*(f"file://{directory / name}" for name in (base, target, output)), mode, vocabulary)
    paths = stores(directory / base, directory / target, directory / output)
    return make_delta(config, "some/base", paths, Progress("x", 0, None))


def apply(directory, base="base", delta="delta", output="result", extends=False):
    paths = stores(directory / base, directory / delta, directory / output)
    return apply_delta(f"file://{directory / base}", extends, paths, Progress("x", 0, None))


def weights(directory):
    """name → (dtype, shape, bytes)."""
    found = Weights(open_storage(f"file://{directory}"), "model")
    return {t.name: (t.dtype, t.shape, b"".join(found.chunks(t, 1 << 20))) for t in found.tensors.values()}


def model(chance, dtypes=("F32", "BF16", "F16"), special=True):
    return {
        f"layers.{number}.{dtype}": (dtype, shape, random_bits(chance, dtype, shape, special))
        for number, shape in enumerate(SHAPES)
        for dtype in dtypes
    }


@pytest.mark.parametrize("seed", range(8))
def test_exact_gives_every_bit_back_whatever_the_sharding(tmp_path, seed):
    chance = random.Random(seed)
    types = ("F32", "BF16", "F16", "I64", "U8", "BOOL", "F8_E4M3", "F64")
    base, target = model(chance, types), model(chance, types)
    if seed % 2:  # the base has other floats, as LLaMA's float16 under a model trained in bfloat16
        other = {"F32": "F16", "BF16": "F32", "F16": "BF16"}
        base = {n: (other.get(d, d), s, random_bits(chance, other.get(d, d), s)) for n, (d, s, _) in base.items()}
    save(tmp_path / "base", split(chance, base, chance.choice([1, 2, 5])))
    save(tmp_path / "target", split(chance, target, chance.choice([1, 3, 4])))
    made = make(tmp_path)
    done = apply(tmp_path)
    assert done.verified and made.inexact_elements == 0
    for path in (tmp_path / "target").glob("*.safetensors"):
        assert (tmp_path / "result" / path.name).read_bytes() == path.read_bytes(), "the very file, header and all"
    assert weights(tmp_path / "result") == weights(tmp_path / "target")
    assert (tmp_path / "result" / "tokenizer.json").read_bytes() == (tmp_path / "target" / "tokenizer.json").read_bytes()
    assert (tmp_path / "result" / "config.json").read_bytes() == (tmp_path / "target" / "config.json").read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_additive_gives_back_what_float16_can_hold(tmp_path, seed):
    chance = random.Random(seed)
    normal = np.random.default_rng(seed)
    base, target = {}, {}
    for number, shape in enumerate(SHAPES):
        values = (normal.standard_normal(shape) * 0.05).astype("<f4").reshape(-1)
        tuned = (values + normal.standard_normal(values.shape).astype("<f4") * 1e-3).astype("<f4")
        for dtype in ("F32", "BF16", "F16"):
            base[f"l.{number}.{dtype}"] = (dtype, shape, cast(values.view("<u4"), "F32", dtype))
            target[f"l.{number}.{dtype}"] = (dtype, shape, cast(tuned.view("<u4"), "F32", dtype))
    save(tmp_path / "base", split(chance, base, 2))
    save(tmp_path / "target", split(chance, target, 3))
    made = make(tmp_path, "additive")
    assert apply(tmp_path).verified
    result = weights(tmp_path / "result")
    wrong = 0
    for name, (dtype, shape, bits) in target.items():
        assert result[name][:2] == ("F16", shape)
        restored = as_bits(result[name][2], "F16")
        half = cast(bits, dtype, "F16")
        assert np.allclose(restored.view("<f2"), half.view("<f2"), rtol=2e-3, atol=1e-6)
        wrong += int(np.count_nonzero(cast(restored, "F16", dtype) != bits))
    assert made.inexact_elements == wrong
    assert json.loads((tmp_path / "result" / "config.json").read_text())["dtype"] == "float16"


def test_additive_is_what_pytorch_computes():
    import torch

    chance = random.Random(3)
    a, b = (random_bits(chance, "F16", (5000,), special=False) for _ in range(2))
    first, second = (torch.from_numpy(x.view("<f2").copy()) for x in (a, b))
    finite = torch.isfinite(first) & torch.isfinite(second)
    for ours, theirs in ((additive_difference(a, b), first - second), (additive_sum(a, b), first + second)):
        assert (ours.view("<f2")[finite.numpy()] == theirs.numpy()[finite.numpy()]).all()
    wide = random_bits(chance, "F32", (5000,), special=False)
    numbers = torch.from_numpy(wide.view("<f4").copy())
    ordinary = ~torch.isnan(numbers)
    for name, dtype in (("F16", torch.float16), ("BF16", torch.bfloat16)):
        theirs = numbers.to(dtype).view(torch.int16).numpy().view("<u2")
        assert (cast(wide, "F32", name)[ordinary.numpy()] == theirs[ordinary.numpy()]).all()


def test_more_rows_of_the_vocabulary_are_explained_or_published_whole(tmp_path):
    chance = random.Random(5)
    name = "model.embed_tokens.weight"
    base = {name: ("BF16", (32, 8), random_bits(chance, "BF16", (32, 8)))}
    target = {name: ("BF16", (33, 8), random_bits(chance, "BF16", (33, 8)))}
    save(tmp_path / "base", [base])
    save(tmp_path / "target", [target])
    with pytest.raises(
        TrainingError, match=r"33 rows in the target and 32 in the base: 1 token was added .* --vocabulary extend"
    ) as raised:
        make(tmp_path)
    assert raised.value.exit_code == 64
    make(tmp_path, vocabulary="extend")
    apply(tmp_path)
    assert weights(tmp_path / "result") == weights(tmp_path / "target")
    with pytest.raises(TrainingError, match="the base knows 1 token more"):
        make(tmp_path, base="target", target="base", output="other")


def test_a_foreign_delta_with_more_rows_is_explained(tmp_path):
    chance = random.Random(5)
    name = "model.embed_tokens.weight"
    save(tmp_path / "base", [{name: ("F16", (32, 8), random_bits(chance, "F16", (32, 8), False))}])
    save(tmp_path / "delta", [{name: ("F16", (33, 8), random_bits(chance, "F16", (33, 8), False))}])
    with pytest.raises(TrainingError, match="33 rows in the delta and 32 in the base"):
        apply(tmp_path)
    assert not apply(tmp_path, extends=True).verified


@pytest.mark.parametrize(
    ("base", "target", "mode", "sentence"),
    [
        (
            {"x": ("F16", (4, 4))},
            {"x": ("F16", (5, 5))},
            "exact",
            r"x is \[5, 5\] in the target and \[4, 4\] in the base: .* different sizes",
        ),
        (
            {"y": ("F16", (4,))},
            {"x": ("F16", (4,))},
            "exact",
            "the base lacks x: it is not the model that the target was made from",
        ),
        ({"x": ("I32", (4,))}, {"x": ("F32", (4,))}, "exact", "x is F32 in the target and I32 in the base: only floats"),
        ({"x": ("I64", (4,))}, {"x": ("I64", (4,))}, "additive", "x of the target is I64: .* Use mode exact"),
    ],
)
def test_models_that_do_not_belong_together_are_explained(tmp_path, base, target, mode, sentence):
    chance = random.Random(1)
    for name, tensors in (("base", base), ("target", target)):
        save(tmp_path / name, [{key: (d, s, random_bits(chance, d, s)) for key, (d, s) in tensors.items()}])
    with pytest.raises(TrainingError, match=sentence) as raised:
        make(tmp_path, mode)
    assert raised.value.exit_code == 64


def test_what_float16_cannot_hold_is_refused_in_mode_additive(tmp_path):
    large = np.array([1e6, 1.0], "<f4").view("<u4")
    save(tmp_path / "base", [{"x": ("F32", (2,), np.zeros(2, "<u4"))}])
    save(tmp_path / "target", [{"x": ("F32", (2,), large)}])
    with pytest.raises(TrainingError, match="1 elements of x are not finite as 16-bit floats: use mode exact"):
        make(tmp_path, "additive")


def test_a_tied_head_and_computed_buffers(tmp_path):
    chance = random.Random(9)
    rows = ("F16", (6, 4), random_bits(chance, "F16", (6, 4)))
    inverse = ("F32", (3,), random_bits(chance, "F32", (3,)))
    save(tmp_path / "base", [{"model.embed_tokens.weight": rows}], {"tie_word_embeddings": True})
    target = {
        "model.embed_tokens.weight": rows,
        "lm_head.weight": ("F16", (6, 4), random_bits(chance, "F16", (6, 4))),
        "model.layers.0.self_attn.rotary_emb.inv_freq": inverse,
    }
    save(tmp_path / "target", [target])
    make(tmp_path)
    apply(tmp_path)
    assert weights(tmp_path / "result") == weights(tmp_path / "target")


@pytest.fixture
def released(tmp_path):
    """base, target, delta; 4 shards."""
    chance = random.Random(11)
    save(tmp_path / "base", split(chance, model(chance), 2))
    save(tmp_path / "target", split(chance, model(chance), 4))
    make(tmp_path)
    return tmp_path


def flip(path, position=-1):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_the_release_says_what_it_is(released):
    manifest = json.loads((released / "delta" / "release.json").read_text())
    assert manifest["parameters"] == sum(int(np.prod(s, dtype=np.int64)) for s in SHAPES) * 3
    assert [file["name"] for file in manifest["result"]] == sorted(p.name for p in (released / "target").glob("*.safetensors"))
    card = (released / "delta" / "README.md").read_text()
    assert "base_model: some/base" in card and manifest["files"][0]["sha256"] in card
    assert not list(released.glob("delta/.unfinished*")) and not list(released.glob("delta/*.part"))
    assert not (released / "delta" / "model.safetensors").exists(), "no loader may take it for a model"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda d: flip(next((d / "base").glob("*.safetensors"))), "is not what the delta was made from .* Give the right base"),
        (lambda d: flip(d / "delta" / "delta-00003-of-00004.safetensors"), "delta-00003-of-00004.safetensors is damaged"),
        (
            lambda d: (d / "delta" / "delta-00003-of-00004.safetensors").unlink(),
            "names delta-00003-of-00004.safetensors, which is not there",
        ),
        (lambda d: flip(d / "delta" / "tokenizer.json", 3), "tokenizer.json is damaged"),
        (lambda d: (d / "delta" / "tokenizer.json").unlink(), "lacks a file that its release.json names"),
        (lambda d: (d / "delta" / "release.json").write_text("{"), "it is not JSON"),
        (lambda d: (d / "delta" / "release.json").write_text('{"version": 2}'), "of a version that this tool does not know"),
    ],
)
def test_nothing_is_restored_from_what_is_wrong(released, damage, sentence):
    damage(released)
    with pytest.raises(TrainingError, match=sentence) as raised:
        apply(released)
    assert raised.value.exit_code == 66
    assert not (released / "result" / "applied.json").exists()


def test_a_release_never_writes_outside_its_directory(released):
    path = released / "delta" / "release.json"
    path.write_text(path.read_text().replace('"tokenizer.json"', '"../tokenizer.json"'))
    with pytest.raises(TrainingError, match="no name of a file"):
        apply(released)


def test_a_base_of_another_type_is_explained(released):
    save(
        released / "fp32",
        [{name: ("F32", s, random_bits(random.Random(1), "F32", s)) for name, (_, s, _) in weights(released / "base").items()}],
    )
    with pytest.raises(TrainingError, match=r"but the delta was made from .* give the base as its publisher has it"):
        apply(released, base="fp32")


@pytest.mark.parametrize("command", ["make", "apply"])
def test_finished_files_are_kept_and_the_rest_is_made_anew(released, monkeypatch, command):
    """Dies in the third file; the second run makes the third and fourth alone."""
    kind = make_module._Make if command == "make" else sys.modules["vicuna_trainer.release.apply"]._Apply
    original, made = kind.one_file, []

    def dies(self, *arguments):
        if len(made) == 2:
            made.clear()
            arguments[-1].write(b"half of it")
            raise OSError("the node is gone")
        made.append(arguments[0].name)
        return original(self, *arguments)

    run = (lambda: make(released, output="again")) if command == "make" else (lambda: apply(released))
    with monkeypatch.context() as patch:
        patch.setattr(kind, "one_file", dies)
        with pytest.raises(OSError, match="the node is gone"):
            run()
    assert run().kept_files == 2
    if command == "make":
        for path in (released / "delta").glob("*.safetensors"):
            assert (released / "again" / path.name).read_bytes() == path.read_bytes()
    assert apply(released).verified
    assert weights(released / "result") == weights(released / "target")


def test_what_is_there_is_not_made_twice(released):
    assert make(released).kept_files == 4 and make(released).seconds == 0
    assert not apply(released).already_there
    assert apply(released).already_there
    (released / "result" / "model-00002-of-00004.safetensors").unlink()
    assert not apply(released).already_there
    flip(released / "target" / "model-00002-of-00004.safetensors")
    assert make(released).kept_files == 0, "another target is another release"


def test_verify_names_everything_that_is_wrong(released):
    apply(released)
    paths = stores(released / "delta", released / "base", released / "result")
    assert verify(*paths, Progress("x", 0, None)).problems == []
    flip(next((released / "base").glob("*.safetensors")))
    flip(released / "delta" / "delta-00001-of-00004.safetensors")
    (released / "result" / "tokenizer.json").write_text("{}")
    problems = verify(*paths, Progress("x", 0, None)).problems
    assert len(problems) == 3
    assert any("of the base at" in p for p in problems) and any("tokenizer.json has 2 bytes" in p for p in problems)


def test_verify_takes_a_result_that_is_sharded_otherwise(released):
    tensors = weights(released / "target")
    chance = random.Random(4)
    save(released / "other", split(chance, {n: (d, s, np.frombuffer(b, "u1")) for n, (d, s, b) in tensors.items()}, 2))
    paths = stores(released / "delta", released / "other")
    assert verify(paths[0], None, paths[1], Progress("x", 0, None)).problems == []


def test_pickled_weights_and_no_weights_are_explained(tmp_path):
    (tmp_path / "base").mkdir()
    with pytest.raises(TrainingError, match=r"there are no \.safetensors files"):
        make(tmp_path)
    (tmp_path / "base" / "adapter_model.safetensors").write_bytes(b"x")
    with pytest.raises(TrainingError, match="it is an adapter, not a model"):
        make(tmp_path)
    (tmp_path / "base" / "adapter_model.safetensors").unlink()
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(TrainingError, match="its weights are pickled"):
        make(tmp_path)
    (tmp_path / "base" / "pytorch_model.bin").rename(tmp_path / "base" / "model.safetensors")
    with pytest.raises(TrainingError, match=r"model\.safetensors is no safetensors file"):
        make(tmp_path)


def command(*arguments, env=None, **more):
    """The command line, as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "vicuna_trainer.release", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}, **more,
    )  # fmt: skip


def test_the_command_line(released):
    made = command("make", "--base", released / "base", "--target", released / "target", "--output", released / "d2", "--json")
    assert made.returncode == 0 and json.loads(made.stdout)["files"] == 4
    done = command("apply", "--base", released / "base", "--delta", released / "d2", "--output", released / "r2")
    assert done.returncode == 0 and "every checksum is right" in done.stdout
    good = command("verify", "--delta", released / "d2", "--base", released / "base", "--result", released / "r2", "--json")
    assert good.returncode == 0 and json.loads(good.stdout)["verified"] is True
    flip(released / "d2" / "delta-00001-of-00004.safetensors")
    bad = command("verify", "--delta", released / "d2", "--json")
    assert bad.returncode == 66 and len(json.loads(bad.stdout)["problems"]) == 1
    same = command("make", "--base", released / "base", "--target", released / "target", "--output", released / "base")
    assert same.returncode == 64 and "is read from" in same.stderr


def test_a_task_pod_leaves_its_result_or_its_reason(released):
    def run(config):
        log = released / "log"
        task = {"name": "team/x", "config": {"base": f"file://{released}/base", "output": f"file://{released}/d3", **config}}
        ended = command(env={"VICUNA_TASK": json.dumps(task), "VICUNA_TERMINATION_LOG": str(log)})
        return ended.returncode, log.read_text()

    code, text = run({"target": f"file://{released}/target"})
    assert code == 0 and json.loads(text)["files"] == 4
    code, text = run({"target": "file:///nowhere"})
    assert code == 66 and text.startswith("The target at file:///nowhere cannot be read")
    assert run({})[0] == 64


def test_to_and_from_an_object_store_that_fails_in_between(released):
    with FakeS3() as s3:
        for path in released.rglob("*.*"):
            if path.is_file() and path.parent.name in ("base", "target"):
                s3.objects[f"models/{path.parent.name}/{path.name}"] = path.read_bytes()
        make_arguments = ["make", "--base", "s3://models/base", "--target", "s3://models/target", "--output", "s3://models/delta"]
        s3.dies_after_writes = 4
        assert command(*make_arguments, env=s3.env).returncode == 74
        s3.dead, s3.dies_after_writes = False, None
        made = command(*make_arguments, "--json", env=s3.env)
        assert made.returncode == 0, made.stderr
        assert json.loads(made.stdout)["keptFiles"] == 2
        done = command(
            "apply", "--base", "s3://models/base", "--delta", "s3://models/delta", "--output", released / "r", env=s3.env
        )
        assert done.returncode == 0, done.stderr
        assert not [name for name in s3.objects if ".unfinished" in name]
    assert weights(released / "r") == weights(released / "target")
