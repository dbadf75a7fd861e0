"""Names are shown as they are, whatever signs they hold."""

import re

import pytest
from plotly import graph_objects as go

from common.escape import markdown, plotly

#: Names that Markdown, or Streamlit's own Markdown, would change, and what must not be left of them.
HOSTILE = [
    "**bold** and __strong__", "*em* _em_", "~~gone~~", "`code`", "$x^2$ or $$y$$", ":red[alarm]", ":red-background[x]",
    "[here](https://x.org)", "![x](y.png)", "https://x.org", "http://x.org/a", "www.x.org", "me@x.org", "# title",
    "- item", "+ item", "1. first", "2) second", "> quote", "---", "===", ":material/face:", ":material_face:",
    ":streamlit:", ":smile:", "a -> b", "a <- b", "a <-> b", "a -- b", "a >= b", "a <= b", "a ~= b", "&amp; &#42;",
    "<b>bold</b>", "<https://x.org>", "a\\*b", "|a|b|", ":small[x]", ":color[x]{foreground='red'}", "[^1]",
    "two\n\nlines", "a:b:", "net_: x", ":100:",
]  # fmt: skip


def unescaped(text: str) -> str:
    """What a reader of Markdown makes of backslashes before signs; joiners are not seen."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\N{WORD JOINER}", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_is_left_of_what_markdown_reads(name):
    shown = markdown(name)
    assert unescaped(shown) == " ".join(name.split())
    bare = re.sub(r"\\[!-/:-@\[-`{-~]", "", shown)
    assert not re.search(r"[*_`$\[\]<>~#|&\\]|:\w", bare)
    assert not re.match(r"[-+=>]|\d+[.)]", shown)
    apart = unescaped(shown.replace("\N{WORD JOINER}", "\0"))
    assert not re.search(r":(material|streamlit)|https?:/|www\.|\w@\w|(^|\s)(<->|->|<-|--|>=|<=|~=)(\s|$)", apart)


@pytest.mark.parametrize(
    "name", ["goldfish", "photo-1.png", "still life", "3.5 mm", "Käfer (2)", "猫", "50 %", "a/b, c"]
)
def test_plain_names_stay_as_they_are(name):
    assert markdown(name).replace("\\", "") == name
    assert plotly(name) == name


def test_plotly_reads_neither_tags_nor_entities_nor_placeholders():
    assert plotly("<b>x</b> & <br> <a href='u'>y</a>") == (
        "&lt;b&gt;x&lt;/b&gt; &amp; &lt;br&gt; &lt;a href='u'&gt;y&lt;/a&gt;"
    )
    assert plotly("%{x} &lt;") == "&#37;{x} &amp;lt;"
    assert go.Figure(go.Scatter(name=plotly("%{x}"))).data[0].name == "&#37;{x}"
