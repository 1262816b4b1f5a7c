"""HTML of ShareGPT's pages becomes markdown."""

import time

import pytest
from vicuna_data.markdown import HtmlError, Markdown, to_markdown, without_blank_lines

CODE = (
    '<pre><div class="bg-black"><div class="flex"><span>{name}</span><button>Copy code</button></div>'
    '<div><code class="hljs {classes}">{code}</code></div></div></pre>'
)


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>One</p><p>two  words<br>and\na line</p>", "One\n\ntwo words\nand\na line"),
        ("<p>a &lt;b&gt; &amp; snake_case 2*3*4 &nbsp;x</p>", "a <b> & snake_case 2*3*4 \xa0x"),
        ("<h1>Head</h1><h3>Sub <em>x</em></h3>text", "# Head\n\n### Sub *x*\n\ntext"),
        ("<p><strong>bold </strong>and<em> it</em> <code>c`d</code> <del>no</del></p>", "**bold** and *it* ``c`d`` ~~no~~"),
        ("<ul><li>a</li><li><p>b</p></li></ul>", "* a\n* b"),
        ('<ol start="3"><li>a</li><li>b<ul><li>c</li></ul></li></ol>', "3. a\n4. b\n   * c"),
        ("<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li></ul>", "* a\n  * b\n    1. c"),
        ("<ol><li><p>a</p><p>b</p></li><li>c</li></ol>", "1. a\n\n   b\n\n2. c"),
        ("<blockquote><p>q</p><p>r</p></blockquote>", "> q\n>\n> r"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x|y</td></tr></table>", "| a | b |\n| --- | --- |\n| 1 | x\\|y |"),
        ('<p><a href="http://u">http://u</a> <a href="v">t</a> <a>none</a></p>', "<http://u> [t](v) none"),
        ('<img src="s" alt="picture"> <img alt="no">', "![picture](s) no"),
        ("a<hr>b", "a\n\n---\n\nb"),
        ("<script>x()</script><style>y</style><!-- z --><p>t</p><svg><text>s</text></svg>", "t"),
        ("", ""),
        ("plain", "plain"),
        (
            '<p>Let <span class="katex"><math><annotation encoding="application/x-tex">x^2</annotation></math>'
            "<span>x2</span></span>.</p>",
            "Let $x^2$.",
        ),
    ],
)
def test_elements(html, markdown):
    assert to_markdown(html).text == markdown


def test_a_code_block_keeps_its_lines_and_gets_its_language():
    code = '<span class="k">def</span> f(a_b):\n\n\n    return &lt;1&gt;\n'
    html = CODE.format(name="python", classes="language-python", code=code)
    made = to_markdown(f"<p>So:</p>{html}<p>done</p>")
    assert made.text == "So:\n\n```python\ndef f(a_b):\n\n\n    return <1>\n```\n\ndone"
    assert made.edits == {"codeFences"}


def test_the_language_is_the_button_rows_or_the_class():
    assert to_markdown(CODE.format(name="", classes="language-js", code="x")).text == "```js\nx\n```"
    assert to_markdown(CODE.format(name="c++", classes="", code="x")).text == "```c++\nx\n```"
    assert to_markdown(CODE.format(name="not a language", classes="", code="x")).text == "```\nx\n```"
    assert to_markdown("<pre>bare</pre>").text == "```\nbare\n```"


def test_a_fence_is_longer_than_those_in_the_code():
    assert to_markdown("<pre>a ``` b</pre>").text == "````\na ``` b\n````"


def test_code_in_a_list_is_indented_and_its_blank_lines_are_empty():
    html = f"<ul><li>a{CODE.format(name='sh', classes='', code='x' + chr(10) * 2 + 'y')}</li></ul>"
    assert to_markdown(html).text == "* a\n\n  ```sh\n  x\n\n  y\n  ```"


def test_code_rules_can_be_off():
    html = CODE.format(name="sh", classes="", code="ls")
    assert to_markdown(html, code_fences=False).text == "```\nshCopy codels\n```"
    empty = CODE.format(name="sh", classes="", code="\n")
    assert to_markdown(empty) == Markdown("", {"emptyCodeFences"})
    assert to_markdown(empty, empty_code_fences=False).text == "```sh\n\n```"


def test_blank_lines_go_outside_of_code_only():
    assert without_blank_lines("a\n\n\n\nb\n```\nc\n\n\nd\n```\n\n\ne") == "a\n\nb\n```\nc\n\n\nd\n```\n\ne"


def test_hostile_html_is_refused_soon():
    begun = time.monotonic()
    with pytest.raises(HtmlError, match="more than 20000 tags"):
        to_markdown("<div>" * 30_000)
    with pytest.raises(HtmlError, match="more than 200 elements in each other"):
        to_markdown("<div>" * 1000)
    with pytest.raises(HtmlError, match="more than 200 elements in each other"):
        to_markdown("<b><i>" * 500)
    assert time.monotonic() - begun < 5
