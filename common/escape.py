"""User text inside of markup: names of models, classes and files are shown as they are, whatever signs they hold."""

import html
import re

#: What Markdown, or Streamlit's, reads as more than itself, but for a colon behind a word; and at the start of a line.
_SIGNS = re.compile(r"(?P<word>(?<!\S)[^\W_](?:[^\W_]|[.()-])*:(?!\S))|[\\`*_{}\[\]<>#|~$:&]")
_FIRST = re.compile(r"^(?:\d+(?=[.)])|(?=[-+=]))")

#: What Streamlit looks for in the text behind the signs: icons, arrows, links and addresses; a joiner, which nobody
#: sees, takes it apart.
_LOOKED_FOR = re.compile(
    r":(?=material[/_]|streamlit:)|(?<=\bhttp:)(?=//)|(?<=\bhttps:)(?=//)|(?<=\bwww)(?=\.)|(?<=\w)@(?=\w)"
    r"|(?<!\S)(?:<-(?=>?(?!\S))|-(?=[->](?!\S))|[<>~](?==(?!\S)))",
    re.IGNORECASE,
)
_JOINER = "\N{WORD JOINER}"


def markdown(text: str) -> str:
    """Text as it stands, in one line, for whatever reads Markdown: paragraphs, widgets' labels, tooltips, messages."""
    line = _LOOKED_FOR.sub(lambda found: found[0] + _JOINER, " ".join(text.split()))
    line = _SIGNS.sub(lambda found: found["word"] or f"\\{found[0]}", line)
    return _FIRST.sub(lambda found: f"{found[0]}\\", line)


def plotly(text: str) -> str:
    """Text as it stands, for the words of a figure: plotly reads HTML, and `%{…}` in what shows under the mouse."""
    return html.escape(text, quote=False).replace("%{", "&#37;{")
