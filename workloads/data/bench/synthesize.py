"""As many conversations as wanted, in the form in which ShareGPT's pages give them, made from the few real ones of the examples:

    python3 workloads/data/bench/synthesize.py --count 70000 --out sharegpt_html.json

Each has 1 to 40 rounds of real questions and answers in which every tenth word is another one, the answers in the HTML of the
pages: about 3,000 tokens, as many as Vicuna's own data has (FastChat's README: 370 million in 125,000 conversations). About one in
seven has one of the faults that the rules are for. The same count and seed give the same bytes. `--broken` adds records
that are no JSON or no conversations, which FastChat's programs cannot read.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import argparse
import html
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REAL = Path(__file__).resolve().parents[3] / "examples" / "data" / "conversations.jsonl"
OTHER_LANGUAGES = (
    "Bonjour, pouvez-vous m'expliquer comment préparer un bon café le matin avant d'aller au travail ?",
    "Können Sie mir bitte erklären, wie man am besten einen Kuchen backt, wenn die Gäste schon vor der Tür stehen?",
    "¿Podrías contarme qué lugares debería visitar en la ciudad durante un fin de semana con mis amigos?",
    "주말에 친구들과 함께 갈 만한 좋은 장소를 추천해 주시면 정말 감사하겠습니다.",
    "周末我想和朋友们一起去一个安静的地方散步，你能给我一些建议吗？",
    "Не могли бы вы рассказать мне, какие книги стоит прочитать этой зимой?",
)
MEAN_ROUNDS = 8
Message = dict[str, str]
Record = dict[str, Any]


def synthesize(count: int, seed: int = 0, broken: bool = False, mean_rounds: float = MEAN_ROUNDS) -> Iterator[str]:
    """The records as JSON texts."""
    rounds, words = _pool(REAL)
    earlier: list[Record] = []
    for number in range(count):
        draw = random.Random(f"{seed} {number}")
        record = _conversation(number, draw, rounds, words, mean_rounds)
        fault = draw.random()
        for share, make in FAULTS:
            if fault < share:
                record = make(record, draw, earlier)
                break
            fault -= share
        if number % 50 == 0:
            earlier = [*earlier[-20:], record]
        text = json.dumps(record, ensure_ascii=False)
        if broken and draw.random() < 0.002:
            text = draw.choice([text[:-1].replace('"value": "', '"value": ', 1) + "}", '{"id": "x"}', "17", '"text"', "{}"])
        yield text


def write(path: Path, count: int, seed: int = 0, broken: bool = False) -> None:
    """Writes a JSON array, or JSON lines where the name ends so."""
    lines = path.suffix == ".jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for number, text in enumerate(synthesize(count, seed, broken)):
            file.write(f"{text}\n" if lines else f"{'[' if number == 0 else ','}\n{text}")
        file.write("" if lines else "\n]\n")


def _pool(real: Path) -> tuple[list[tuple[str, str]], list[str]]:
    rounds = []
    words: set[str] = set()
    for line in real.read_text(encoding="utf-8").splitlines():
        question, answer = (message["value"] for message in json.loads(line)["conversations"])
        rounds.append((question, answer))
        words.update(re.findall(r"\b[a-z]{4,12}\b", answer))
    return rounds, sorted(words)


def _conversation(number: int, draw: random.Random, rounds: list[tuple[str, str]], words: list[str], mean: float) -> Record:
    messages: list[Message] = []
    for _ in range(min(40, 1 + int(draw.expovariate(1 / mean)))):
        question, answer = draw.choice(rounds)
        messages.append({"from": "human", "value": _varied(question, draw, words)})
        messages.append({"from": "gpt", "value": to_page(_varied(answer, draw, words))})
    return {"id": f"s{number:07}", "conversations": messages}


def _varied(text: str, draw: random.Random, words: list[str]) -> str:
    return re.sub(r"\b[a-z]{4,12}\b", lambda found: draw.choice(words) if draw.random() < 0.1 else found.group(), text)


def to_page(markdown: str) -> str:
    """An answer's markdown as HTML of ShareGPT's pages: paragraphs, lists, code blocks, bold, italic and inline code."""
    parts = []
    for index, part in enumerate(re.split(r"```(\w*)\n(.*?)```", markdown, flags=re.DOTALL)):
        if index % 3 == 0:
            parts.append(_prose(part))
        elif index % 3 == 1:
            language = part
        else:
            parts.append(
                '<pre><div class="bg-black mb-4 rounded-md"><div class="flex items-center relative text-gray-200">'
                f'<span class="">{language}</span><button class="flex ml-auto gap-2">Copy code</button></div>'
                f'<div class="p-4 overflow-y-auto"><code class="!whitespace-pre hljs language-{language or "text"}">'
                f"{html.escape(part, quote=False)}</code></div></div></pre>"
            )
    return f'<div class="markdown prose w-full break-words dark:prose-invert light">{"".join(parts)}</div>'


def _prose(text: str) -> str:
    blocks = []
    for paragraph in re.split(r"\n{2,}", text.strip()):
        lines = paragraph.split("\n")
        if paragraph and all(re.match(r"\d+\. ", line) for line in lines):
            blocks.append(f'<ol start="{paragraph.partition(".")[0]}">' + f"{''.join(_item(line) for line in lines)}</ol>")
        elif paragraph and all(re.match(r"[*-] ", line) for line in lines):
            blocks.append(f"<ul>{''.join(_item(line) for line in lines)}</ul>")
        elif paragraph:
            blocks.append(f"<p>{_words(paragraph)}</p>")
    return "".join(blocks)


def _item(line: str) -> str:
    return f"<li>{_words(line.split(' ', 1)[1])}</li>"


def _words(text: str) -> str:
    text = html.escape(text, quote=False)
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"(?<![*\w])\*([^*\n]+)\*(?![*\w])", r"<em>\1</em>", text)


def _edit(change: Callable[[list[Message], random.Random], object]) -> Callable[[Record, random.Random, list[Record]], Record]:
    def make(record: Record, draw: random.Random, _: list[Record]) -> Record:
        change(record["conversations"], draw)
        return record

    return make


def _in_answer(text: str, at_start: bool = False) -> Callable[[Record, random.Random, list[Record]], Record]:
    def change(messages: list[Message], draw: random.Random) -> None:
        message = messages[2 * draw.randrange(len(messages) // 2) + 1]
        opening, _, rest = message["value"].partition(">")
        message["value"] = f"{opening}>{text}{rest}" if at_start else message["value"].removesuffix("</div>") + f"{text}</div>"

    return _edit(change)


def _again(record: Record, draw: random.Random, earlier: list[Record]) -> Record:
    return {**draw.choice(earlier), "id": record["id"]} if earlier else record


def _same_id(record: Record, draw: random.Random, earlier: list[Record]) -> Record:
    return {**record, "id": draw.choice(earlier)["id"]} if earlier else record


def _nearly_again(record: Record, draw: random.Random, earlier: list[Record]) -> Record:
    if not earlier:
        return record
    messages = [dict(message) for message in draw.choice(earlier)["conversations"]]
    messages[0]["value"] = "Please: " + messages[0]["value"]
    return {"id": record["id"], "conversations": messages}


def _other_language(record: Record, draw: random.Random, _: list[Record]) -> Record:
    text = draw.choice(OTHER_LANGUAGES)
    question, answer = f"{text} ({record['id']})", to_page(" ".join([text] * 4))
    return {**record, "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]}


# (share of the conversations, what happens to them)
FAULTS = (
    (0.02, _in_answer("<p>As a model by OpenAI, I have no opinion.</p>")),
    (0.01, _in_answer("<p>2 / 3</p>", at_start=True)),
    (0.005, _in_answer("<p>Copy12 chars / 3 words</p>")),
    (0.005, _in_answer("<p>The number is 0000000000.</p>")),
    (0.005, _in_answer("<p>The list:<br>1. one<br>1. two</p>")),
    (0.005, _in_answer("<p>A name like some_long_name, 2*3*4 and a <em>word</em>.</p><h2>Head</h2><p>Text.</p>")),
    (0.005, _in_answer("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x|y</td></tr></table>")),
    (0.015, _again),
    (0.015, _same_id),
    (0.015, _nearly_again),
    (0.02, _other_language),
    (0.01, _edit(lambda messages, draw: messages.append({"from": "human", "value": "And what about the <b>rest</b> of it?"}))),
    (0.005, _edit(lambda messages, draw: messages.insert(0, {"from": "gpt", "value": to_page("Hello! How can I help?")}))),
    (0.005, _edit(lambda messages, draw: messages.insert(1, {"from": "human", "value": "One more thing:"}))),
    (0.005, _edit(lambda messages, draw: messages[-1].update(value='<div class="markdown prose"></div>'))),
    (0.005, _edit(lambda messages, draw: messages[0].update(value="Explain a_b_c and <div id=x> in 3 < 4 &amp; 5\n\n\nplease."))),
    (0.003, lambda record, draw, earlier: {**record, "plugins": ["search"]}),
    (0.003, lambda record, draw, earlier: {**record, "conversations": record["conversations"][:1]}),
)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help=".json: an array; .jsonl: lines")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--broken", action="store_true", help="with records that cannot be read")
    arguments = parser.parse_args()
    write(arguments.out, arguments.count, arguments.seed, arguments.broken)
    print(f"{arguments.count} conversations, {arguments.out.stat().st_size / 1e6:.1f} MB in {arguments.out}")


if __name__ == "__main__":
    main()
