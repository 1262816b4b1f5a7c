"""Conversations as people shared them → the training and validation sets of a chat model.

    python -m vicuna_data prepare --config FILE [--json FILE]     the whole preparation; started again, it goes on where it was
    python -m vicuna_data inspect SOURCE [--limit 20]             what would become of a source's first records
    python -m vicuna_data rules                                   the cleaning rules by name

Without a command, in a task pod, VICUNA_TASK says what to prepare.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from vicuna_trainer.exits import BAD_CONFIGURATION, BAD_INPUT, TrainingError
from vicuna_trainer.storage import is_uri

from .clean import Rejected, clean, parse
from .config import Config
from .inputs import InputDigest, list_inputs, read_batches
from .pipeline import prepare
from .pool import usable_cores
from .progress import Progress
from .rules import OTHER_REASONS, RULES
from .task import Task, run_to_the_end
from .tokens import load_tokenizer


def main() -> None:
    """Command line."""
    arguments = _parser().parse_args()
    sys.exit(run_to_the_end(lambda: _run(arguments)))


def _run(arguments: argparse.Namespace) -> dict[str, Any] | None:
    if arguments.command == "rules":
        for rule in RULES:
            print(f"{rule.name:18} {'edits ' if rule.edits else 'rejects'} {rule.what}")
        for name, what in OTHER_REASONS.items():
            print(f"{name:18} always  {what}")
        return None
    if arguments.command == "inspect":
        _inspect(arguments)
        return None
    task = None if arguments.command == "prepare" else Task.from_environment()
    if task is not None:
        config, progress = Config.parse(task.config), Progress(task.reporter())
    elif arguments.command == "prepare":
        config, progress = _config(arguments), Progress()
    else:
        raise TrainingError(BAD_CONFIGURATION, "There is nothing to do: give a command (see --help), or VICUNA_TASK.")
    result = prepare(config, load_tokenizer(config.tokenizer), arguments.workers or usable_cores(), progress)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if task is None and arguments.json:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    print(text)
    return result


def _config(arguments: argparse.Namespace) -> Config:
    value: Any = {}
    if arguments.config:
        try:
            value = json.loads(Path(arguments.config).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TrainingError(BAD_CONFIGURATION, f"There is no file {arguments.config}: correct --config.") from None
        except ValueError as error:
            raise TrainingError(BAD_CONFIGURATION, f"{arguments.config} is not JSON ({error}): correct it.") from None
    if isinstance(value, dict):
        if arguments.source:
            value["sources"] = [{"uri": _uri(source)} for source in arguments.source]
        for name in ("tokenizer", "output"):
            if getattr(arguments, name):
                value[name] = _uri(getattr(arguments, name))
    return Config.parse(value)


def _inspect(arguments: argparse.Namespace) -> None:
    least = {"sources": [{"uri": "file:///"}], "tokenizer": "none", "output": "none"}
    value: Any = json.loads(Path(arguments.config).read_text(encoding="utf-8")) if arguments.config else {}
    config = Config.parse({**least, **value, "sources": [{"uri": _uri(arguments.source), "format": arguments.format}]})
    left = arguments.limit
    for file in list_inputs(config.sources):
        for batch in read_batches(file, InputDigest()):
            for number, record in enumerate(batch.records[:left], batch.first):
                _show(file.name, number, record, config, arguments)
            left -= min(left, len(batch.records))
            if left <= 0:
                return
    if left == arguments.limit:
        raise TrainingError(BAD_INPUT, f"There are no records in {arguments.source}.")


def _show(file: str, number: int, record: Any, config: Config, arguments: argparse.Namespace) -> None:
    for parsed, _ in parse(record):
        found = parsed if isinstance(parsed, Rejected) else clean(parsed, f"record {number}", config.sources[0].format, config)
        if isinstance(found, Rejected):
            print(f"{file} record {number}: set aside, {found.reason}" + (f": {found.detail}" if found.detail else ""))
            continue
        edits = f", changed by {', '.join(sorted(found.edits))}" if found.edits else ""
        print(f"{file} record {number} ({found.id}): kept, {len(found.messages) // 2} rounds, language {found.language}{edits}")
        if arguments.show:
            for at, message in enumerate(found.messages):
                print(f"\n--- {('user', 'assistant')[at % 2]}\n{message}")
            print()


def _uri(text: str) -> str:
    return text if is_uri(text) else f"file://{os.path.abspath(text)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vicuna_data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(workers=0, json=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser(
        "prepare", help="prepare a dataset", description="Prepares a dataset; vicuna_data/config.py shows all fields."
    )
    one.add_argument("--config", metavar="FILE", help="the configuration as JSON; the flags below replace its fields")
    one.add_argument(
        "--source", action="append", metavar="URI", help="a .json or .jsonl file or a directory of such; may be repeated"
    )
    one.add_argument("--tokenizer", metavar="URI", help="directory of the model's tokenizer")
    one.add_argument("--output", metavar="URI", help="directory for the result")
    one.add_argument("--workers", type=int, default=0, metavar="N", help="processes (default: as many as there are cores)")
    one.add_argument("--json", metavar="FILE", help="write the result there, too")
    two = commands.add_parser("inspect", help="show what would become of a source's first records")
    two.add_argument("source", metavar="URI")
    two.add_argument("--config", metavar="FILE", help="the configuration as JSON")
    two.add_argument("--format", choices=("auto", "sharegpt"), default="auto")
    two.add_argument("--limit", type=int, default=20, metavar="N", help="records (default: 20)")
    two.add_argument("--show", action="store_true", help="print the cleaned text")
    commands.add_parser("rules", help="list the cleaning rules")
    return parser


if __name__ == "__main__":
    main()
