"""The configuration: defaults, and a sentence that names the field for whatever cannot be used."""

import json

import pytest
from vicuna_data.config import Config
from vicuna_data.rules import OTHER_REASONS, RULE_NAMES
from vicuna_trainer.exits import BAD_CONFIGURATION, TrainingError

LEAST = {"sources": [{"uri": "file:///in.json"}], "tokenizer": "file:///model", "output": "file:///out/"}


def test_only_sources_tokenizer_and_output_are_needed():
    config = Config.parse(LEAST)
    assert config.clean.forbidden_phrases == ("openai", "chatgpt")
    assert config.clean.languages is None and config.clean.repetition and config.clean.near_duplicates == 0.8
    assert (config.split.max_tokens, config.split.long_rounds, config.split.template) == (2048, "cut", "vicuna_v1.1")
    assert config.filters.quality is None and config.filters.safety is None and config.identity is None
    assert config.output == "file:///out"
    assert "output" not in config.settings()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sources": []}, "sources must be a list of 1 to 100 objects with a uri"),
        ({"sources": [{"uri": "file:///a", "kind": "x"}]}, r"sources\[0\].kind is not known"),
        ({"sources": [{"uri": "file:///a", "format": "csv"}]}, r"sources\[0\].format is 'csv', but must be one of auto, sharegpt"),
        ({"tokenizer": ""}, "tokenizer must be a text"),
        ({"output": None}, "output must be a text"),
        ({"outputs": "x"}, "outputs is not known"),
        ({"clean": {"languages": {"keep": ["en"], "skip": ["ko"]}}}, "clean.languages must have either keep or skip"),
        ({"clean": {"languages": {}}}, "clean.languages must have either keep or skip"),
        ({"clean": {"disabledRules": ["noSuch"]}}, "clean.disabledRules has 'noSuch', but the rules are tooShort, "),
        (
            {"clean": {"nearDuplicates": {"threshold": 2}}},
            "clean.nearDuplicates.threshold is 2, but must be a number from 0.5 to 1",
        ),
        ({"clean": {"repetition": 1}}, "clean.repetition is 1, but must be true or false"),
        ({"filters": {"safety": []}}, "filters.safety must be a JSON object"),
        ({"split": {"maxTokens": True}}, "split.maxTokens is True, but must be a whole number"),
        ({"split": {"template": "llama"}}, "split.template is 'llama', but must be one of"),
        ({"identity": {"name": "Vicuna"}}, "identity.organization is missing"),
        ({"validationFraction": 0.9}, "validationFraction is 0.9, but must be a number from 0 to 0.5"),
        ({"validationFraction": float("nan")}, "validationFraction is nan"),
        ({"seed": -1}, "seed is -1, but must be a whole number from 0"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(change, sentence):
    with pytest.raises(TrainingError, match=sentence) as caught:
        Config.parse({**LEAST, **change})
    assert caught.value.exit_code == BAD_CONFIGURATION


def test_what_is_no_object_is_refused():
    with pytest.raises(TrainingError, match="The whole must be a JSON object"):
        Config.parse([])
    with pytest.raises(TrainingError, match=r"VICUNA_TASK is not JSON"):
        Config.read("{", "VICUNA_TASK")


def test_the_largest_result_fits_into_a_termination_message():
    uri = "s3://" + "x" * 495
    config = Config.parse({**LEAST, "output": uri})
    numbers = {"conversations": 10**12, "pieces": 10**12, "tokens": 10**15}
    result = {
        **{name: {"uri": f"{config.output}/{name}", **numbers} for name in ("train", "validation")},
        **dict.fromkeys(("read", "kept", "identity"), 10**12),
        **{name: dict.fromkeys([*RULE_NAMES, *OTHER_REASONS], 10**12) for name in ("rejected", "edited")},
        "card": f"{config.output}/card.md",
    }
    assert len(json.dumps(result)) < 4000
