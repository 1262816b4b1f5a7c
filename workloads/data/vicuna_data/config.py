"""The configuration of a preparation, as JSON: the `config` of VICUNA_TASK, or the file given by --config.

    {
      "sources": [{"uri": "s3://bucket/sharegpt.json", "format": "auto", "license": "CC0-1.0"}],
      "tokenizer": "s3://models/llama-13b",
      "clean": {
        "languages": {"keep": ["en"]},                     or {"skip": ["ko"]}, or null (default): all
        "repetition": true,
        "nearDuplicates": {"threshold": 0.8},              or null: only the other two rules for duplicates
        "forbiddenPhrases": ["openai", "chatgpt"],
        "disabledRules": []                                 names of vicuna_data.rules.RULES
      },
      "filters": {
        "quality": {"minAnswerWords": 3, "maxRepeatedLines": 0.3},     or null (default)
        "safety": {"personalData": true, "phrases": []}                or null (default)
      },
      "split": {"maxTokens": 2048, "longRounds": "cut", "template": "vicuna_v1.1"},
      "identity": {"name": "Vicuna", "organization": "LMSYS"},         or null (default)
      "validationFraction": 0.01,
      "seed": 0,
      "output": "s3://bucket/sharegpt-clean"
    }

Only `sources`, `tokenizer` and `output` must be there; what else is shown is the default, except where one is named. A source is a
file (.json with an array, or .jsonl) or a directory of such. `format`: "sharegpt" takes every message for HTML, as FastChat does;
"auto" also reads records with `messages`, and takes for HTML what starts with an element of ShareGPT's pages. `license` goes into
the data card (null: unknown). `languages` are the codes of CLD2 (ISO 639-1, and "un" for unknown). `threshold` is the Jaccard
similarity of the sets of five words in a row. `maxRepeatedLines` is the share of an answer's lines that repeat an earlier one.
`longRounds`: a question and answer too long for one piece is "cut" at `maxTokens`, or set aside with "drop".

The result, printed with --json FILE, and the message of the pod's end (VICUNA_TERMINATION_LOG), always below 4,000 bytes:

    {
      "train":      {"uri": "…/train", "conversations": 68000, "pieces": 91000, "tokens": 123456789},
      "validation": {"uri": "…/validation", "conversations": 700, "pieces": 930, "tokens": 1234567},
      "read": 70000,                records found in the sources
      "kept": 68700,                of them, conversations in train or validation (identity conversations are in neither number)
      "rejected": {"tooShort": 900, "duplicateId": 400},      records set aside, by reason; read = kept + the sum of these
      "edited": {"html": 65000, "longRounds": 12},            conversations changed, by rule; "longRounds" and "droppedRounds"
                                                              count rounds that were cut, or dropped from a kept conversation
      "identity": 120,              conversations written for `identity`, in train besides `conversations`
      "card": "…/card.md"           beside it card.json, the same with hashes of inputs and outputs and the whole configuration
    }

`train.uri` is what VicunaTraining takes as dataset.uri: a directory of .jsonl files in ShareGPT form; the same in Parquet is under
`…/parquet/train`, and every record set aside, with its reason, under `…/rejected`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from vicuna_trainer.exits import BAD_CONFIGURATION, TrainingError

from .rules import RULE_NAMES

FORMATS = ("auto", "sharegpt")
LONG_ROUNDS = ("cut", "drop")
TEMPLATES = ("vicuna_v1.1", "vicuna_v0")
MAX_SOURCES = 100
MAX_LIST = 1000
MAX_TEXT = 500


@dataclass(frozen=True)
class Source:
    """Where conversations come from: a file or a directory of files. `license` as the data card shall name it."""

    uri: str
    format: str
    license: str | None


@dataclass(frozen=True)
class Languages:
    """The languages that stay (`keep`), or the ones that go (`skip`); one of the two is empty."""

    keep: tuple[str, ...]
    skip: tuple[str, ...]


@dataclass(frozen=True)
class Clean:
    """Which rules apply. `near_duplicates`: least Jaccard similarity of two that are the same, or None."""

    languages: Languages | None
    repetition: bool
    near_duplicates: float | None
    forbidden_phrases: tuple[str, ...]
    disabled_rules: frozenset[str]

    def enabled(self, rule: str) -> bool:
        """Whether the rule of that name applies."""
        return rule not in self.disabled_rules


@dataclass(frozen=True)
class Quality:
    """Answers with fewer words than `min_answer_words` on average, or a larger share of repeated lines, are set aside."""

    min_answer_words: int
    max_repeated_lines: float


@dataclass(frozen=True)
class Safety:
    """`personal_data`: e-mail addresses, payment cards, keys and passwords of programs; `phrases`: in any case, as whole words."""

    personal_data: bool
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Filters:
    """The optional filters; None: off."""

    quality: Quality | None
    safety: Safety | None


@dataclass(frozen=True)
class Split:
    """Pieces of at most `max_tokens` tokens in `template`, cut between rounds."""

    max_tokens: int
    long_rounds: str
    template: str


@dataclass(frozen=True)
class Identity:
    """Who the model shall say it is."""

    name: str
    organization: str


@dataclass(frozen=True)
class Config:
    """One preparation. `validation_fraction` is the share of conversations; `output` a directory's URI."""

    sources: tuple[Source, ...]
    tokenizer: str
    clean: Clean
    filters: Filters
    split: Split
    identity: Identity | None
    validation_fraction: float
    seed: int
    output: str

    @staticmethod
    def parse(value: Any) -> Config:
        """Reads the JSON value shown above. Raises TrainingError (64) that names the field at fault."""
        fields = _Fields(value, "")
        config = Config(
            sources=_sources(fields.take("sources")),
            tokenizer=fields.text("tokenizer").rstrip("/"),
            clean=_clean(fields.take("clean", {})),
            filters=_filters(fields.take("filters", {})),
            split=_split(fields.take("split", {})),
            identity=_identity(fields.take("identity", None)),
            validation_fraction=fields.number("validationFraction", 0.01, least=0, most=0.5),
            seed=fields.whole("seed", 0, least=0, most=2**53 - 1),
            output=fields.text("output").rstrip("/"),
        )
        fields.end()
        return config

    @staticmethod
    def read(text: str, name: str) -> Config:
        """Reads the JSON text of `name`. Raises TrainingError (64)."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise TrainingError(BAD_CONFIGURATION, f"{name} is not JSON ({error}): correct it.") from None
        return Config.parse(value)

    def settings(self) -> dict[str, Any]:
        """All that decides the output's content, in a fixed order: for the data card and for recognizing finished parts."""
        settings = asdict(self)
        settings["clean"]["disabled_rules"] = sorted(self.clean.disabled_rules)
        del settings["output"]
        return settings


def _sources(value: Any) -> tuple[Source, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_SOURCES:
        raise _bad("sources", f"must be a list of 1 to {MAX_SOURCES} objects with a uri")
    sources = []
    for number, entry in enumerate(value):
        fields = _Fields(entry, f"sources[{number}]")
        license_text = fields.take("license", None)
        if license_text is not None:
            license_text = _as_text(license_text, f"sources[{number}].license")
        sources.append(Source(fields.text("uri").rstrip("/"), fields.choice("format", "auto", FORMATS), license_text))
        fields.end()
    return tuple(sources)


def _clean(value: Any) -> Clean:
    fields = _Fields(value, "clean")
    near = fields.take("nearDuplicates", {"threshold": 0.8})
    threshold = None
    if near is not None:
        inner = _Fields(near, "clean.nearDuplicates")
        threshold = inner.number("threshold", 0.8, least=0.5, most=1)
        inner.end()
    disabled = fields.texts("disabledRules", ())
    for name in disabled:
        if name not in RULE_NAMES:
            raise _bad("clean.disabledRules", f"has {name!r}, but the rules are {', '.join(RULE_NAMES)}")
    clean = Clean(
        languages=_languages(fields.take("languages", None)),
        repetition=fields.flag("repetition", True),
        near_duplicates=threshold,
        forbidden_phrases=fields.texts("forbiddenPhrases", ("openai", "chatgpt")),
        disabled_rules=frozenset(disabled),
    )
    fields.end()
    return clean


def _languages(value: Any) -> Languages | None:
    if value is None:
        return None
    fields = _Fields(value, "clean.languages")
    languages = Languages(fields.texts("keep", ()), fields.texts("skip", ()))
    fields.end()
    if bool(languages.keep) == bool(languages.skip):
        raise _bad("clean.languages", "must have either keep or skip, with language codes such as en")
    return languages


def _filters(value: Any) -> Filters:
    fields = _Fields(value, "filters")
    quality_value, safety_value = fields.take("quality", None), fields.take("safety", None)
    fields.end()
    quality = safety = None
    if quality_value is not None:
        inner = _Fields(quality_value, "filters.quality")
        quality = Quality(
            inner.whole("minAnswerWords", 3, least=0, most=1000), inner.number("maxRepeatedLines", 0.3, least=0, most=1)
        )
        inner.end()
    if safety_value is not None:
        inner = _Fields(safety_value, "filters.safety")
        safety = Safety(inner.flag("personalData", True), inner.texts("phrases", ()))
        inner.end()
    return Filters(quality, safety)


def _split(value: Any) -> Split:
    fields = _Fields(value, "split")
    split = Split(
        max_tokens=fields.whole("maxTokens", 2048, least=64, most=2**20),
        long_rounds=fields.choice("longRounds", "cut", LONG_ROUNDS),
        template=fields.choice("template", "vicuna_v1.1", TEMPLATES),
    )
    fields.end()
    return split


def _identity(value: Any) -> Identity | None:
    if value is None:
        return None
    fields = _Fields(value, "identity")
    identity = Identity(fields.text("name"), fields.text("organization"))
    fields.end()
    return identity


class _Fields:
    """The fields of a JSON object, each to be taken once; what nobody took is refused by `end`."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise _bad(path or "The whole", "must be a JSON object")
        self._left = dict(value)
        self._path = path

    def take(self, name: str, *default: Any) -> Any:
        if name not in self._left and not default:
            raise _bad(self._name(name), "is missing")
        return self._left.pop(name, *default)

    def text(self, name: str) -> str:
        return _as_text(self.take(name), self._name(name))

    def texts(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.take(name, list(default))
        if not isinstance(value, list) or len(value) > MAX_LIST:
            raise _bad(self._name(name), f"must be a list of at most {MAX_LIST} texts")
        return tuple(_as_text(entry, f"{self._name(name)}[{number}]") for number, entry in enumerate(value))

    def number(self, name: str, default: float, least: float, most: float) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise _bad(self._name(name), f"is {value!r}, but must be a number from {least:g} to {most:g}")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _bad(self._name(name), f"is {value!r}, but must be a whole number from {least} to {most}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise _bad(self._name(name), f"is {value!r}, but must be true or false")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        value = self.take(name, default)
        if value not in choices:
            raise _bad(self._name(name), f"is {value!r}, but must be one of {', '.join(choices)}")
        return value

    def end(self) -> None:
        for name in self._left:
            raise _bad(self._name(name), "is not known")

    def _name(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _as_text(value: Any, field: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_TEXT:
        raise _bad(field, f"must be a text of 1 to {MAX_TEXT} characters")
    return value


def _bad(field: str, what: str) -> TrainingError:
    return TrainingError(BAD_CONFIGURATION, f"The configuration cannot be used: {field} {what}. Correct it.")
