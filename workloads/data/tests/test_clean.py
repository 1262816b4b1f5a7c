"""Every cleaning rule, by name: what it finds, and that it can be switched off."""

import json

import pytest
from samples import config, record
from vicuna_data.clean import Conversation, Rejected, clean, parse
from vicuna_data.records import TooLarge
from vicuna_data.rules import RULE_NAMES

PAGE = '<div class="markdown prose">{}</div>'
LONG = "An answer that is long enough."


def run(value, off=(), source_format="auto", **more):
    clean_rules = {**more.pop("clean", {}), "disabledRules": list(off)}
    return clean(value, "file-7", source_format, config(clean=clean_rules, **more))


REJECTED = {
    "tooShort": (record("Hi", "Yes"), {}),
    "roles": (
        {
            "id": "x",
            "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": LONG}] * 1
            + [{"from": "gpt", "value": "more"}, {"from": "human", "value": "?"}, {"from": "gpt", "value": "x"}],
        },
        {},
    ),
    "forbiddenPhrases": (record("Who made you?", "I am made by OpenAI, of course."), {}),
    "rateLimit": (record("Why is that?", "!Too many requests in 1 hour. Try again later."), {}),
    "plugins": (record("Why is that?", LONG, plugins=["search"]), {}),
    "languages": (
        record("주말에 갈 만한 좋은 장소를 추천해 주세요.", "공원에 가 보시는 것이 좋겠습니다."),
        {"clean": {"languages": {"keep": ["en"]}}},
    ),
    "repetition": (record("Why is that?", "Because of 1000000000 reasons."), {}),
    "restartedList": (record("Why is that?", "Two things:\n1. one\n1. again"), {}),
    "quality": (record("Why is that so, please?", "No."), {"filters": {"quality": {}}}),
    "safety": (record("Write to me.", "It is someone@mail.org, I think."), {"filters": {"safety": {}}}),
}


@pytest.mark.parametrize("rule", REJECTED)
def test_a_rule_sets_aside_what_it_is_for_and_can_be_off(rule):
    value, more = REJECTED[rule]
    found = run(value, **more)
    assert isinstance(found, Rejected) and found.reason == rule
    assert isinstance(run(value, off=[rule], **more), Conversation)


EDITED = {
    "leadingAnswer": (["gpt:Hello", "human:Why is that?", f"gpt:{LONG}"], ["Why is that?", LONG], "roles"),
    "trailingQuestion": (["human:Why is that?", f"gpt:{LONG}", "human:And?"], ["Why is that?", LONG], "roles"),
    "html": (
        ["human:Why is <b>that</b>?", "gpt:" + PAGE.format("<p>A <b>b</b></p>")],
        ["Why is <b>that</b>?", "A **b**"],
        ["Why is <b>that</b>?", PAGE.format("<p>A <b>b</b></p>")],
    ),
    "codeFences": (
        ["human:Why is that?", "gpt:" + PAGE.format("<pre>shCopy codels</pre>")],
        ["Why is that?", "```sh\nls\n```"],
        ["Why is that?", "```\nshCopy codels\n```"],
    ),
    "emptyCodeFences": (
        ["human:Why is that?", "gpt:" + PAGE.format("<p>None.</p><pre>shCopy code\n</pre>")],
        ["Why is that?", "None."],
        ["Why is that?", "None.\n\n```sh\n\n```"],
    ),
    "pageNumbers": (
        ["human:2 / 3 Why is that?", "gpt:" + PAGE.format("<p>1 / 2</p><p>It is 1 / 2</p>")],
        ["Why is that?", "It is 1 / 2"],
        ["2 / 3 Why is that?", "1 / 2\n\nIt is 1 / 2"],
    ),
    "copyCounts": (
        ["human:Why is that?", "gpt:" + PAGE.format("<p>It is.</p>Copy12 chars / 3 words")],
        ["Why is that?", "It is."],
        ["Why is that?", "It is.\n\nCopy12 chars / 3 words"],
    ),
    "blankLines": (
        ["human:Why is that?", "gpt:" + PAGE.format("<p>It<br><br><br>is.</p>")],
        ["Why is that?", "It\n\nis."],
        ["Why is that?", "It\n\n\nis."],
    ),
    "emptyMessage": (
        ["human:Why is that?", f"gpt:{LONG}", "human:\u200bAnd?", "gpt:Well."],
        ["Why is that?", LONG],
        ["Why is that?", LONG, "\u200bAnd?", "Well."],
    ),
}


@pytest.mark.parametrize("rule", EDITED)
def test_a_rule_changes_what_it_is_for_and_can_be_off(rule):
    texts, expected, without = EDITED[rule]
    messages = [dict(zip(("from", "value"), text.split(":", 1), strict=True)) for text in texts]
    found = run({"id": "x", "conversations": messages})
    assert isinstance(found, Conversation) and found.messages == expected
    assert rule in found.edits
    off = run({"id": "x", "conversations": messages}, off=[rule])
    assert (off.reason if isinstance(off, Rejected) else off.messages) == without


def test_every_rule_is_tested_here_or_with_the_duplicates():
    assert set(RULE_NAMES) == {*REJECTED, *EDITED, "duplicateId", "duplicateStart", "nearDuplicates"}


def test_what_follows_the_end_of_a_conversation_is_not_looked_at():
    value = record("Why is that?", LONG, "", "OpenAI")
    assert run(value).messages == ["Why is that?", LONG]


def test_roles_by_other_names_and_messages_of_openais_form():
    value = {
        "messages": [
            {"role": "system", "content": " Be brief. "},
            {"role": "user", "content": "Why is that?"},
            {"role": "Assistant", "content": LONG},
        ]
    }
    found = run(value)
    assert (found.id, found.given_id, found.system, found.messages) == ("file-7", False, "Be brief.", ["Why is that?", LONG])
    assert run(value, source_format="sharegpt").reason == "notConversation"


def test_text_that_is_no_html_is_left_alone():
    text = "  <b>a_b</b>\n\n\n&lt; 2 / 3 `<div>`"
    assert run(record("Why is that?", text)).messages == ["Why is that?", text.strip()]


def test_format_sharegpt_takes_every_message_for_html():
    assert run(record("Is <b>a &lt; b</b>?", "Yes, it is, I am sure."), source_format="sharegpt").messages[0] == "Is **a < b**?"


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (17, "it is no object"),
        ({"id": "x"}, "it has no list conversations or messages or items"),
        ({"conversations": "text"}, "it has no list"),
        ({"conversations": [{"from": "human", "value": "a"}, "b"]}, "message 1 has no role or no text"),
        ({"conversations": [{"from": "human", "value": None}]}, "message 0 has no role or no text"),
    ],
)
def test_what_is_no_conversation_says_why(value, detail):
    found = run(value)
    assert found.reason == "notConversation" and found.detail.startswith(detail)


def test_html_that_cannot_be_read_sets_the_conversation_aside():
    found = run(record("Why is that?", "<div>" * 300))
    assert (found.reason, found.detail) == ("htmlError", "a message has more than 200 elements in each other")


def test_records_that_cannot_be_parsed():
    for record_, reason in ((b"{bad", "notJson"), (b"\xff\xfe", "notJson"), (b"", "notJson"), (TooLarge(b"x"), "tooLarge")):
        ((found, original),) = parse(record_)
        assert found.reason == reason and isinstance(original, str)
    for record_ in (b"[" * 200_000, b"1" * 10_000):
        assert parse(record_)[0][0].reason == "notJson"


def test_whole_conversations_in_a_record_that_is_none_are_found():
    whole = record("Wh\u00fc?", LONG)
    text = json.dumps(whole, ensure_ascii=False)
    parsed = parse(f'{{"id": "a", "x": \xff, {text},\n {text} ], "tail'.encode("latin-1"))
    assert parsed[0][0].reason == "notJson" and len(parsed) == 4
    parsed = parse(f'{{"id": "ü", "conversations": [, {text},\n {text} ], "tail'.encode())
    assert [value if isinstance(value, dict) else value.reason for value, _ in parsed] == ["notJson", whole, whole, "notJson"]
    assert [original for _, original in parsed] == ['{"id": "ü", "conversations": [, ', whole, whole, ' ], "tail']


def test_half_a_surrogate_pair_becomes_the_replacement_character():
    found = run(record("\udfff?", LONG, id="\ud800"))
    assert (found.id, found.messages[0]) == ("\ufffd", "\ufffd?")


def test_the_id_may_be_a_number_and_nothing_else_but_text():
    assert run(record("Why is that?", LONG, id=12)).id == "12"
    for odd in (None, True, "", [], 1.5):
        found = run({**record("Why is that?", LONG), "id": odd})
        assert (found.id, found.given_id) == ("file-7", False)


def test_languages_can_be_skipped():
    value, _ = REJECTED["languages"]
    assert run(value, clean={"languages": {"skip": ["ko"]}}).detail == "ko"
    assert run(value, clean={"languages": {"skip": ["fr"]}}).language == "ko"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("write to a.b+c@mail.example.org now", "an e-mail address"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("AKIAABCDEFGHIJKLMNOP", "a cloud access key"),
        ("use sk-abcdefghijklmnopqrstuv", "an API key"),
        ("pay with 4111 1111 1111 1111.", "the number of a payment card"),
        ("He is a badword!", "one of filters.safety.phrases"),
    ],
)
def test_the_safety_filter_says_what_it_found_without_repeating_it(text, finding):
    found = run(record("Why is that?", text), filters={"safety": {"phrases": ["BadWord"]}})
    assert (found.reason, found.detail) == ("safety", f"it has {finding}")


def test_the_safety_filter_leaves_what_only_looks_so():
    fine = "me@example.com, 4111 1111 1111 1112, 0000000 000000, badwords, task-abcdefghijklmnopqrstuvw, user@host"
    assert isinstance(run(record("Why is that?", fine), filters={"safety": {"phrases": ["badword"]}}), Conversation)


def test_the_quality_filter_finds_answers_that_repeat_themselves():
    line = "This line is said again and again.\n"
    found = run(record("Why is that?", line * 4), filters={"quality": {}})
    assert (found.reason, found.detail) == ("quality", "3 of an answer's 4 lines repeat an earlier one")
