"""Publishes a fine-tuned model as its difference from its base model, and restores it.

    python3 -m vicuna_trainer.release make   --base BASE --target MODEL --output DELTA [--mode exact|additive]
    python3 -m vicuna_trainer.release apply  --base BASE --delta DELTA --output MODEL
    python3 -m vicuna_trainer.release verify --delta DELTA [--base BASE] [--result MODEL]

Each place is a directory in Hugging Face's form: a path, file://, s3://bucket/prefix, or, to read from, hf://owner/name.
All of it streams: memory stays below 0.5 GB whatever the models' size and sharding. An interrupted command is simply started again.

Exit codes: 0 done; 64 the models or options do not fit together; 66 something is missing, damaged or not what was released;
74 the storage failed; 143 told to end (SIGTERM); 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict
from typing import Any

from ..exits import BAD_CONFIGURATION, BAD_INPUT, ERROR, STORAGE_FAILED, TERMINATED, TrainingError
from ..storage import is_uri, open_storage
from .apply import apply_delta
from .make import make_delta
from .progress import Progress
from .task import MODES, VOCABULARIES, ReleaseConfig, Task, TaskReporter, camel, leave_result
from .verify import verify


def main() -> int:
    """Runs the command, or the task of this pod; the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    as_task = bool(os.environ.get("VICUNA_TASK"))
    try:
        code, result = _run_task() if as_task else _run_command(sys.argv[1:])
    except TrainingError as error:
        return _failed(error.exit_code, str(error), as_task)
    except KeyboardInterrupt:
        return _failed(130, "Interrupted. Start it again to go on where it was.", as_task)
    except OSError as error:
        return _failed(STORAGE_FAILED, f"A file could not be read or written: {error}", as_task)
    except Exception as error:
        traceback.print_exc()
        return _failed(ERROR, f"{type(error).__name__}: {error}", as_task)
    if as_task:
        leave_result(json.dumps(result))
    return code


def _run_task() -> tuple[int, dict[str, Any]]:
    task = Task.from_environment()
    assert task is not None
    config = ReleaseConfig.parse(task.config)
    progress = Progress("subtract", 0, sys.stderr, TaskReporter(task))
    result = make_delta(config, config.base, _stores(config.base, config.target, config.output), progress).to_json()
    print(json.dumps(result), flush=True)
    return 0, result


def _run_command(arguments: list[str]) -> tuple[int, dict[str, Any]]:
    options = _parser().parse_args(arguments)
    out = None if options.quiet else sys.stderr
    code = 0
    if options.command == "make":
        config = ReleaseConfig(_uri(options.base), _uri(options.target), _uri(options.output), options.mode, options.vocabulary)
        stores = _stores(config.base, config.target, config.output)
        result = make_delta(config, options.base_name or options.base, stores, Progress("subtract", 0, out)).to_json()
        said = (
            f"{result['files']} files with {result['bytes'] / 1e9:.2f} GB in {config.output}, mode {config.mode}, after "
            f"{result['seconds']:.0f} s: {result['changedElements']:,} of {result['parameters']:,} elements changed"
        )
        if result["inexactElements"]:
            said += f"; {result['inexactElements']:,} will be restored with the rounding of 16-bit floats (mode exact has none)"
    elif options.command == "apply":
        stores = _stores(_uri(options.base), _uri(options.delta), _uri(options.output))
        applied = apply_delta(_uri(options.base), options.vocabulary == "extend", stores, Progress("restore", 0, out))
        result = {camel(name): value for name, value in asdict(applied).items()}
        checked = "every checksum is right" if applied.verified else "nothing could be verified"
        size = f"{applied.files} files with {applied.bytes / 1e9:.2f} GB in {applied.output}"
        said = (
            f"{size} are there already; {checked}" if applied.already_there else f"{size} after {applied.seconds:.0f} s; {checked}"
        )
    else:
        delta, *others = (open_storage(_uri(uri)) if uri else None for uri in (options.delta, options.base, options.result))
        assert delta is not None
        verified = verify(delta, others[0], others[1], Progress("verify", 0, out))
        result = {**asdict(verified), "verified": not verified.problems}
        code = BAD_INPUT if verified.problems else 0
        said = "\n".join(verified.problems) or (
            f"{verified.files} files and {verified.tensors} tensors are what was released; release.json is {verified.release}"
        )
    print(json.dumps(result) if options.json else said, flush=True)
    return code, result


def _parser() -> argparse.ArgumentParser:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python3 -m vicuna_trainer.release",
        description=summary,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make a delta: a fine-tuned model minus its base")
    make.add_argument("--base", required=True, help="base model")
    make.add_argument("--target", required=True, help="fine-tuned model")
    make.add_argument("--output", required=True, help="directory for the delta")
    make.add_argument("--mode", choices=MODES, default="exact", help="exact: bit for bit; additive: FastChat's (default: exact)")
    make.add_argument("--base-name", help="what card and manifest call the base, such as huggyllama/llama-13b (default: --base)")
    apply = commands.add_parser("apply", help="restore the model from its base and a delta")
    apply.add_argument("--base", required=True, help="base model, as its publisher has it")
    apply.add_argument("--delta", required=True, help="delta made by this tool, or by FastChat's make_delta")
    apply.add_argument("--output", required=True, help="directory for the model")
    for command in (make, apply):
        command.add_argument(
            "--vocabulary",
            choices=VOCABULARIES,
            default="same",
            help="extend: the embeddings may have more rows than the base's (default: same)",
        )
    check = commands.add_parser("verify", help="compare files with the checksums of the release")
    check.add_argument("--delta", required=True, help="delta with its release.json")
    check.add_argument("--base", help="base model to compare too")
    check.add_argument("--result", help="restored model to compare too")
    for command in (make, apply, check):
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _stores(base: str, other: str, output: str) -> tuple[Any, Any, Any]:
    if output.rstrip("/") in (base.rstrip("/"), other.rstrip("/")):
        raise TrainingError(BAD_CONFIGURATION, f"{output} is read from: give another place to write to.")
    return open_storage(base), open_storage(other), open_storage(output)


def _uri(place: str) -> str:
    return place if is_uri(place) else f"file://{os.path.abspath(place)}"


def _failed(code: int, sentence: str, as_task: bool) -> int:
    print(sentence, file=sys.stderr, flush=True)
    if as_task:
        leave_result(sentence)
    return code


def _terminated(*_: Any) -> None:
    # What is finished is noted already, what is not begins anew: there is nothing to wait for.
    leave_result("Told to end.") if os.environ.get("VICUNA_TASK") else None
    sys.stderr.write(f"Told to end at {time.strftime('%H:%M:%S')}. Start it again to go on where it was.\n")
    sys.stderr.flush()
    os._exit(TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
