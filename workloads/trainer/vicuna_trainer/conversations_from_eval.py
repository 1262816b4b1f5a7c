"""Conversations in ShareGPT form out of the Vicuna evaluation: its 80 questions with each model's answers.

    python3 -m vicuna_trainer.conversations_from_eval TABLE_DIRECTORY OUT.jsonl [MODEL ...]

TABLE_DIRECTORY is `eval/table` of https://github.com/lm-sys/vicuna-blog-eval (Apache-2.0).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def convert(table: Path, models: list[str]) -> list[dict[str, object]]:
    """One record per question and model, all models unless named. Raises OSError, ValueError, KeyError."""
    questions = {record["question_id"]: record["text"] for record in _lines(table / "question.jsonl")}
    files = sorted((table / "answer").glob("answer_*.jsonl"))
    records: list[dict[str, object]] = []
    for file in files:
        model = file.stem.removeprefix("answer_")
        if models and model not in models:
            continue
        for answer in _lines(file):
            if not answer["text"].strip():
                continue
            turn = [
                {"from": "human", "value": questions[answer["question_id"]]},
                {"from": "gpt", "value": answer["text"].strip()},
            ]
            records.append({"id": f"{model}-{answer['question_id']}", "conversations": turn})
    return records


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def main() -> None:
    """Command line."""
    if len(sys.argv) < 3:
        sys.exit((__doc__ or "").splitlines()[2].strip())
    records = convert(Path(sys.argv[1]), sys.argv[3:])
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    print(f"{len(records)} conversations in {sys.argv[2]}")


if __name__ == "__main__":
    main()
