"""Records are found in any file, however it is read, and what is no record is not passed over in silence."""

import io
import json
import random

import pytest
from vicuna_data.records import BATCH_RECORDS, TooLarge, batches, salvage, split


def found(content: bytes, chunk: int = 1 << 20, limit: int = 1 << 25) -> list:
    stream = io.BytesIO(content)
    return [record for _, record in split(lambda size: stream.read(min(size, chunk)), limit)]


RECORDS = [
    {"id": "a", "conversations": [{"from": "human", "value": 'brackets ]}[{ and a "quote" \\ and \\" \n'}]},
    {"id": "ü", "nested": {"deep": [[{}], [{"x": [1, 2]}]]}, "value": "\\"},
    {},
    {"id": "</s>", "text": "日本語 \u2028 \x7f"},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_an_array_read_in_chunks_of_any_size_gives_its_records(indent, ascii_only):
    content = b"\xef\xbb\xbf \n" + json.dumps(RECORDS, indent=indent, ensure_ascii=ascii_only).encode() + b"\n \n"
    for chunk in (1, 2, 3, 7, 64, 1 << 20):
        assert [json.loads(record) for record in found(content, chunk)] == RECORDS


def test_lines_read_in_chunks_of_any_size_give_their_records():
    content = b"\n" + b"\r\n\n".join(json.dumps(record).encode() for record in RECORDS)
    for chunk in (1, 3, 50, 1 << 20):
        assert [json.loads(record) for record in found(content, chunk)] == RECORDS


def test_offsets_say_where_a_record_ends():
    content = json.dumps(RECORDS).encode()
    stream = io.BytesIO(content)
    for end, record in split(stream.read):
        assert content[end - len(record) : end] == record


@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_a_broken_record_spoils_itself_alone(chunk):
    content = b'[{"a": 1}, {"b": nonsense}, 17 {"c": "x" "y"}, "text", {"d": 2}] tail'
    assert found(content, chunk) == [b'{"a": 1}', b'{"b": nonsense}', b"17", b'{"c": "x" "y"}', b'"text"', b'{"d": 2}', b"tail"]


def test_a_broken_line_spoils_itself_alone():
    assert found(b'{"a": 1}\n{"b": \n{"c": 3}\n') == [b'{"a": 1}', b'{"b": ', b'{"c": 3}']


@pytest.mark.parametrize("chunk", [1, 6, 1 << 20])
def test_a_file_that_ends_too_early_says_so(chunk):
    assert found(b'[{"a": 1}, {"b": "hal', chunk) == [b'{"a": 1}', b'{"b": "hal']
    assert found(b'[{"a": 1},\n', chunk) == [b'{"a": 1}', b""]
    assert found(b"[", chunk) == [b""]


def test_empty_files_and_arrays_have_no_records():
    assert found(b"") == found(b" \n ") == found(b"[]") == found(b" [ ]\n") == []


@pytest.mark.parametrize("chunk", [7, 100, 1 << 20])
@pytest.mark.parametrize("lines", [True, False])
def test_a_record_that_is_too_large_is_passed_over_without_being_held(chunk, lines):
    large = b'{"v": "' + b'\\"x]}' * 4000 + b'"}'
    content = b'{"a": 1}\n' + large + b'\n{"b": 2}\n' if lines else b'[{"a": 1}, ' + large + b', {"b": 2}]'
    first, second, third = found(content, chunk, limit=2000)
    assert (first, third) == (b'{"a": 1}', b'{"b": 2}')
    assert isinstance(second, TooLarge) and second.beginning == large[: len(second.beginning)] and len(second.beginning) <= 1000


def test_random_damage_never_ends_the_reading():
    draw = random.Random(1)
    content = json.dumps(RECORDS * 5).encode()
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.choice(b'"\\{}[],x')
        assert found(bytes(damaged), 64) == found(bytes(damaged))


def test_batches_depend_on_the_content_alone():
    content = b"\n".join(b'{"n": %d}' % number for number in range(BATCH_RECORDS + 10))
    some = list(batches("f", io.BytesIO(content).read))
    stream = io.BytesIO(content)
    assert some == list(batches("f", lambda _: stream.read(17)))
    assert [(batch.first, len(batch.records)) for batch in some] == [(0, BATCH_RECORDS), (BATCH_RECORDS, 10)]


@pytest.mark.parametrize("chunk", [50, 1 << 20])
def test_a_missing_bracket_or_quote_takes_no_other_record_with_it(chunk):
    whole = [{"id": str(number), "conversations": [{"from": "human", "value": f"text {number}"}]} for number in range(40)]
    texts = [json.dumps(value) for value in whole]
    for cut in ("}", '"', "]}"):
        damaged = texts.copy()
        damaged[3] = damaged[3][: damaged[3].rindex(cut)] + damaged[3][damaged[3].rindex(cut) + len(cut) :]
        content = ("[" + ", ".join(damaged) + "]").encode()
        for limit in (1 << 25, 500):
            parts = [part for record in found(content, chunk, limit) for part in salvage(record)]
            values = [part if isinstance(part, dict) else json.loads(part) for part in parts if not is_damaged(part)]
            assert values == whole[:3] + whole[4:]


def is_damaged(part) -> bool:
    try:
        return not isinstance(part, dict) and not json.loads(part)
    except ValueError:
        return True
