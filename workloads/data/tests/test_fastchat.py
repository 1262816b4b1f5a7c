"""FastChat's own program beside ours on records that show every difference; its answers were recorded (fschat 0.2.36):

python3 workloads/data/tests/test_fastchat.py PYTHON_OF_FASTCHATS_VENV      records them anew (see bench/fastchat_compare.py)
"""

import json
import sys
from pathlib import Path

from samples import record, tokenizer

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from fastchat_compare import ask_fastchat, compare

RECORDED = Path(__file__).with_name("fastchat.json")
PAGE = '<div class="markdown prose">{}</div>'
LONG = "This answer is long enough to be kept. "


def page(html: str) -> str:
    return PAGE.format(html)


def code(text: str, language: str = "") -> str:
    return (
        f'<pre><div class="bg-black"><div class="flex"><span>{language}</span><button>Copy code</button></div>'
        f'<div><code class="hljs language-{language}">{text}</code></div></div></pre>'
    )


# By the name of the difference that each shows, or "same".
RECORDS = {
    "same": record("Why is that?", page("<p>Because <strong>it</strong> is.</p><ul><li>a</li><li>b</li></ul>"), id="same"),
    "same, two": record("What now?", page("<p>1 / 2</p><ol><li>one</li><li>two</li></ol>Copy12 chars / 3 words"), id="two"),
    "same, forbidden": record("Who made you?", page("<p>I am of OpenAI.</p>"), id="three"),
    "same, roles": {"id": "four", "conversations": record("a", LONG)["conversations"][:1] * 2 + record("a", LONG)["conversations"]},
    "same, plugins": record("Search it?", page(f"<p>{LONG}</p>"), id="five", plugins=["x"]),
    "escapes": record("How is it named?", page("<p>It is some_long_name * 2.</p>"), id="escapes"),
    "userText": record("Is <b>a_b</b> &lt; c?", page(f"<p>{LONG}</p>"), id="user"),
    "codeFences": record("Show it.", page(code("x = 1").replace("language-", "language-python") + f"<p>{LONG}</p>"), id="language"),
    "spanningFences": record("Show me.", page("<pre>x = 1\n</pre><p>and</p>" + code("y = 2", "python")), id="fences"),
    "lists": record("A list?", page("<ul><li>a<ul><li>b</li></ul></li></ul><p>as asked for</p>"), id="lists"),
    "headings": record("A title?", page("<h1>Title</h1><p>And a text below it.</p>"), id="headings"),
    "lineBreaks": record("Two lines?", page("<p>first line<br>second line</p>"), id="breaks"),
    "blankLines": record("Python?", page(code("a = 1\n\n\nb = 2", "python")), id="blank"),
    "tables": record("A table?", page("<table><tr><th>a</th></tr><tr><td>x|y, and so on</td></tr></table>"), id="tables"),
    "rateLimit": record("Why?", page("<p>Too many requests in 1 hour. Try again later.</p>"), id="rate"),
    "roleNames": {"id": "names", "conversations": [{"from": "user", "value": "Why?"}, {"from": "bing", "value": LONG}]},
    "systemMessage": {
        "id": "sys",
        "conversations": [{"from": "system", "value": "Be."}, *record("Why so?", LONG)["conversations"]],
    },
    "crash": record("Has it no id?", page(f"<p>{LONG}</p>"), id=None),
    "duplicateOfRejected": record("How many?", page("<p>There are 1000000000 of them.</p>"), id="rejected"),
    "and its duplicate": record("How much?", page("<p>There are many of them.</p>"), id="rejected"),
    "emptyByConversion": record("<div>", page(f"<p>{LONG}</p>"), id="empty"),
    "lostLastRound": record("Long?", page(f"<p>{LONG * 30}</p>"), "Again?", page(f"<p>{LONG * 30}</p>"), id="lost"),
    "longRound": record("Longer?", page(f"<p>{LONG * 100}</p>"), "Short?", page("<p>Yes, short.</p>"), id="long"),
}


def test_every_difference_has_a_name():
    theirs = json.loads(RECORDED.read_text(encoding="utf-8"))
    names, unexplained = compare(list(RECORDS.values()), theirs, tokenizer().open())
    assert unexplained == []
    expected = {name for name in RECORDS if not name.startswith(("same", "and "))}
    assert expected <= set(names) - {"unexplained"}
    assert names["same pieces"] >= 10


if __name__ == "__main__":
    answer = ask_fastchat(list(RECORDS.values()), tokenizer().open(), sys.argv[1])
    RECORDED.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
