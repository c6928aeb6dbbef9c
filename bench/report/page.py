"""A report as data (sections of texts, tables and pictures) and its two renderings, HTML and Markdown.

Texts may hold `code` and **strong** words, nothing else; everything is escaped.
"""

import base64
import html
import re
from dataclasses import dataclass, field


@dataclass
class Text:
    """A paragraph; a note is set smaller."""

    words: str
    note: bool = False


@dataclass
class Table:
    """Cells are strings; the first column is text, the others are numbers unless named in `text_columns`."""

    header: list[str]
    rows: list[list[str]]
    caption: str = ""
    text_columns: tuple[int, ...] = ()
    strong_rows: tuple[int, ...] = ()


@dataclass
class Picture:
    """A PNG; `name` is its file name, without suffix, beside the Markdown; the title says what it shows."""

    name: str
    title: str
    png: bytes
    caption: str = ""


@dataclass
class Section:
    """`key` anchors it; `findings` are (figure, words) for the summary at the top."""

    key: str
    title: str
    blocks: list = field(default_factory=list)
    findings: list[tuple[str, str]] = field(default_factory=list)

    def text(self, words):
        self.blocks.append(Text(words))

    def note(self, words):
        self.blocks.append(Text(words, note=True))

    def table(self, *args, **kwargs):
        self.blocks.append(Table(*args, **kwargs))

    def add(self, block):
        self.blocks.append(block)

    def pictures(self):
        return [block for block in self.blocks if isinstance(block, Picture)]


# ------------------------------------------------------------------------------------------------------------ HTML

STYLE = """
:root { color-scheme: light; --ink: #1f2328; --soft: #59636e; --line: #d9dee3; --pale: #f6f7f9; --accent: #b84e00; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 54rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3rem 0 .8rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
p { margin: .7rem 0; }
a { color: var(--accent); }
code { font-size: .9em; background: var(--pale); padding: .1em .3em; border-radius: 3px; overflow-wrap: anywhere; }
.lead, .note, figcaption, caption { color: var(--soft); }
.note, figcaption { font-size: .88rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: .7rem; margin: 1.2rem 0;
  padding: 0; list-style: none; }
.tiles li { background: var(--pale); border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.3; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.tiles span { font-size: .88rem; line-height: 1.4; display: block; }
nav { margin: 1.2rem 0; } nav ol { margin: .3rem 0; padding-left: 1.5rem; }
figure { margin: 1.4rem 0; } figure h3, .sub { font-size: 1rem; margin: 0 0 .3rem; }
.wide { overflow-x: auto; }
figure img { display: block; width: 100%; min-width: 30rem; height: auto; }
table { border-collapse: collapse; font-size: .88rem; line-height: 1.4; min-width: 60%; }
caption { text-align: left; padding: .3rem 0; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; }
td { white-space: nowrap; } td.text { white-space: normal; min-width: 7rem; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; font-weight: 600; }
th.text, td.text { text-align: left; }
tr.strong td { font-weight: 600; background: #fff6ef; }
@media print { nav { display: none; } figure, table { break-inside: avoid; } }
"""


def to_html(title, lead, sections):
    """One file that needs no other."""
    findings = "".join(
        f"<li><strong>{html.escape(figure)}</strong><span>{_inline_html(words)}</span></li>"
        for section in sections
        for figure, words in section.findings
    )
    contents = "".join(f'<li><a href="#{s.key}">{html.escape(s.title)}</a></li>' for s in sections)
    body = "".join(
        f'<section id="{s.key}"><h2>{i}. {html.escape(s.title)}</h2>{"".join(map(_block_html, s.blocks))}</section>\n'
        for i, s in enumerate(sections, 1)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f'<link rel="icon" href="data:,"><style>{STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n'
        + "".join(f'<p class="lead">{_inline_html(words)}</p>\n' for words in lead)
        + f'<ul class="tiles">{findings}</ul>\n<nav aria-label="Contents"><strong>Contents</strong>'
        f"<ol>{contents}</ol></nav>\n{body}</body></html>\n"
    )


def _inline_html(words):
    escaped = html.escape(words)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _block_html(block):
    match block:
        case Text(words, note):
            return f"<p{' class=note' if note else ''}>{_inline_html(words)}</p>\n"
        case Picture(_, title, png, caption):
            data = base64.b64encode(png).decode("ascii")
            below = f"<figcaption>{_inline_html(caption)}</figcaption>" if caption else ""
            image = f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
            return f'<figure><div class="wide">{image}</div>{below}</figure>\n'
        case Table():
            return _table_html(block)
    raise TypeError(f"nothing to render: {block!r}")


def _table_html(table):
    def cell(tag, column, words):
        kind = ' class="text"' if column == 0 or column in table.text_columns else ""
        return f"<{tag}{kind}>{_inline_html(words)}</{tag}>"

    head = "".join(cell("th", j, words) for j, words in enumerate(table.header))
    rows = "".join(
        f"<tr{' class=strong' if i in table.strong_rows else ''}>"
        + "".join(cell("td", j, words) for j, words in enumerate(row))
        + "</tr>\n"
        for i, row in enumerate(table.rows)
    )
    caption = f"<caption>{_inline_html(table.caption)}</caption>" if table.caption else ""
    return f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n'


# -------------------------------------------------------------------------------------------------------- Markdown


def to_markdown(title, lead, sections):
    """The same as Markdown, whose pictures are files beside it."""
    lines = [f"# {title}", "", *(part for words in lead for part in (words, ""))]
    lines += [f"- **{figure}** {words}" for section in sections for figure, words in section.findings]
    lines += ["", "Contents:", ""]
    lines += [f"{i}. [{s.title}](#{_slug(f'{i}. {s.title}')})" for i, s in enumerate(sections, 1)]
    for i, section in enumerate(sections, 1):
        lines += ["", f"## {i}. {section.title}"]
        for block in section.blocks:
            lines += ["", *_block_markdown(block)]
    return "\n".join(lines) + "\n"


def _slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _block_markdown(block):
    match block:
        case Text(words, note):
            return [f"*{words}*" if note and "*" not in words else words]
        case Picture(name, title, _, caption):
            return [f"![{title}]({name}.png)", *(["", caption] if caption else [])]
        case Table():
            cells = [[words.replace("|", "\\|") for words in row] for row in (block.header, *block.rows)]
            for i in block.strong_rows:
                cells[i + 1] = [f"**{words}**" if words else "" for words in cells[i + 1]]
            ruler = [":--" if j == 0 or j in block.text_columns else "--:" for j in range(len(block.header))]
            rows = ["| " + " | ".join(row) + " |" for row in (cells[0], ruler, *cells[1:])]
            return [*([block.caption, ""] if block.caption else []), *rows]
    raise TypeError(f"nothing to render: {block!r}")
