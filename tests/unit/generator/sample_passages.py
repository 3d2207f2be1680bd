"""The sample library as passages, made with the plainest of means: what an answer must cope with when parsing was not clever."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import docx
import pypdfium2
import yaml
from docx.table import Table
from selectolax.lexbor import LexborHTMLParser

from generator.domain.engine import SourcePassage
from generator.domain.terms import stem, words

SAMPLES = Path(__file__).resolve().parents[3] / "samples"
CHUNK_CHARACTERS = 900
Block = tuple[tuple[str, ...], str]


def questions(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


@cache
def library() -> tuple[SourcePassage, ...]:
    """Every passage of the library."""
    return tuple(passage for path in sorted((SAMPLES / "library").iterdir()) for passage in passages_of(path))


def passages_of(path: Path) -> Iterator[SourcePassage]:
    readers = {".md": markdown_blocks, ".html": html_blocks, ".csv": csv_blocks, ".pdf": pdf_blocks, ".docx": docx_blocks}
    headings: tuple[str, ...] = ()
    held: list[str] = []
    number = 0
    for above, block in [*readers[path.suffix](path), ((), "")]:
        if held and (above != headings or sum(map(len, held)) + len(block) > CHUNK_CHARACTERS):
            number += 1
            yield SourcePassage(f"{path.name}#{number}", "\n\n".join(held), path.name, headings)
            held = []
        headings = above
        held.append(block)


def found(question: str, language: str, limit: int) -> list[SourcePassage]:
    """The best passages for a question by BM25, best first, with scores between 0 and 1 as the search gives them."""
    texts = [stems(f"{passage.document_name} {' '.join(passage.headings)} {passage.text}", language) for passage in library()]
    average = sum(map(len, texts)) / len(texts)
    frequency = Counter(term for text in texts for term in set(text))
    asked = set(stems(question, language))
    scores = []
    for text in texts:
        counts = Counter(text)
        scores.append(
            sum(
                math.log(1 + (len(texts) - frequency[term] + 0.5) / (frequency[term] + 0.5))
                * (counts[term] * 2.2 / (counts[term] + 1.2 * (0.25 + 0.75 * len(text) / average)))
                for term in asked
                if counts[term]
            )
        )
    best = max(scores) or 1.0
    order = sorted(range(len(texts)), key=lambda index: -scores[index])[:limit]
    return [with_score(library()[index], scores[index] / best) for index in order]


def stems(text: str, language: str) -> list[str]:
    return [stem(word, language) for word in words(text)]


def with_score(passage: SourcePassage, score: float) -> SourcePassage:
    return SourcePassage(passage.passage_id, passage.text, passage.document_name, passage.headings, score)


def markdown_blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    if text.startswith("---"):
        text = text.split("---\n", 2)[2]
    headings: list[str] = []
    for block in text.split("\n\n"):
        if block.startswith("#"):
            marks, _, title = block.partition(" ")
            headings = [*headings[: len(marks) - 1], title.strip()]
        yield tuple(headings), block.strip()


def html_blocks(path: Path) -> Iterator[Block]:
    headings: list[str] = []
    for node in LexborHTMLParser(path.read_text(encoding="utf-8")).css("h1, h2, h3, p, li, table"):
        tag = node.tag or ""
        if tag.startswith("h"):
            headings = [*headings[: int(tag[1]) - 1], one_line(node.text())]
            yield tuple(headings), f"{'#' * int(tag[1])} {one_line(node.text())}"
        elif tag == "table":
            yield tuple(headings), table([[one_line(cell.text()) for cell in row.css("th, td")] for row in node.css("tr")])
        else:
            yield tuple(headings), f"{'- ' if tag == 'li' else ''}{one_line(node.text())}"


def csv_blocks(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8-sig")
    rows = list(csv.reader(text.splitlines(), delimiter=";" if ";" in text.splitlines()[0] else ","))
    for start in range(1, len(rows), 8):
        yield (), table([rows[0], *rows[start : start + 8]])


def pdf_blocks(path: Path) -> Iterator[Block]:
    document = pypdfium2.PdfDocument(path)
    for page in document:
        yield from (((), block) for block in paragraphs(page.get_textpage().get_text_bounded().replace("\r\n", "\n")))
    document.close()


def docx_blocks(path: Path) -> Iterator[Block]:
    headings: list[str] = []
    for block in docx.Document(str(path)).iter_inner_content():
        if isinstance(block, Table):
            yield tuple(headings), table([[one_line(cell.text) for cell in row.cells] for row in block.rows])
            continue
        style = (block.style.name if block.style else "") or ""
        if style.startswith("Heading"):
            headings = [*headings[: int(style[-1]) - 1], block.text]
        if block.text.strip():
            yield tuple(headings), f"{'- ' if 'List' in style else ''}{block.text}"


def paragraphs(page: str) -> Iterator[str]:
    """Runs of lines, ended by a line that is much shorter than the longest and ends a sentence."""
    lines = page.splitlines()
    longest = max(map(len, lines), default=0)
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(line) < 0.7 * longest:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def one_line(text: str) -> str:
    return " ".join(text.split())
