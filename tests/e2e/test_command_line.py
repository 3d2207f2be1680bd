"""What a user types in the first hour."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml
from docx import Document
from openpyxl import Workbook
from pptx import Presentation
from reportlab.pdfgen.canvas import Canvas

from tests.e2e.conftest import ROOT, Stack

QUESTIONS = ROOT / "samples" / "questions.yaml"
SAMPLES = ROOT / "samples" / "library"
WORDS = ("anchor", "barometer", "calibration", "drift", "enclosure", "firmware", "gasket", "humidity", "interface", "junction")


def sentence(number: int) -> str:
    return f"Record {number} says that the {WORDS[number % 10]} of station {number} was checked by team {number % 7} and found in order."


def pdf_file(number: int) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for page in range(2):
        canvas.drawString(60, 700, sentence(number + page))
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def docx_file(number: int) -> bytes:
    document, buffer = Document(), io.BytesIO()
    document.add_heading(f"Station {number}", 1)
    document.add_paragraph(sentence(number))
    document.save(buffer)
    return buffer.getvalue()


def pptx_file(number: int) -> bytes:
    presentation, buffer = Presentation(), io.BytesIO()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = f"Station {number}"
    slide.placeholders[1].text = sentence(number)
    presentation.save(buffer)
    return buffer.getvalue()


def xlsx_file(number: int) -> bytes:
    book, buffer = Workbook(), io.BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.append(["station", "remark"])
    sheet.append([number, sentence(number)])
    book.save(buffer)
    return buffer.getvalue()


def mixed_folder(folder: Path) -> int:
    """200 files of ten formats in nested folders, of which four cannot be used; the number of these."""
    makers = {
        "pdf": pdf_file,
        "docx": docx_file,
        "pptx": pptx_file,
        "xlsx": xlsx_file,
        "html": lambda n: f"<html><body><h1>Station {n}</h1><p>{sentence(n)}</p></body></html>".encode(),
        "md": lambda n: f"# Station {n}\n\n{sentence(n)}\n".encode(),
        "txt": lambda n: sentence(n).encode(),
        "csv": lambda n: f"station,remark\n{n},{sentence(n)}\n".encode(),
        "eml": lambda n: f"From: a@example.org\nTo: b@example.org\nSubject: Station {n}\n\n{sentence(n)}\n".encode(),
        "json": lambda n: json.dumps({"station": n, "remark": sentence(n)}).encode(),
    }
    unusable = {
        "empty.txt": b"",
        "broken.pdf": b"%PDF-1.7 garbage",
        "picture.png": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
        "latin.txt": "Café".encode("latin-1"),
    }
    for number in range(196):
        ending = list(makers)[number % len(makers)]
        path = folder / f"shelf-{number % 5}" / f"station-{number:03}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(makers[ending](number))
    for name, content in unusable.items():
        (folder / name).write_bytes(content)
    return len(unusable)


def test_a_folder_of_200_mixed_files_ends_ready_or_failed_with_a_reason_and_again_embeds_nothing(stack: Stack, tmp_path: Path) -> None:
    unusable = mixed_folder(tmp_path)
    first = stack.lectern("ingest", str(tmp_path), "--collection", "mixed", "--json", check=False)
    assert first.returncode == 1, first.stderr
    report = json.loads(first.stdout)
    states = {file["name"]: file for file in report["files"]}
    assert len(states) == 200
    failed = {name for name, file in states.items() if file["state"] == "FAILED"}
    assert {Path(name).name for name in failed} == {"empty.txt", "broken.pdf", "picture.png", "latin.txt"}
    assert all(states[name]["reason"] and states[name]["message"] for name in failed)
    assert sum(file["state"] == "READY" for file in states.values()) == 200 - unusable
    assert report["embedded_count"] >= 200 - unusable

    again = json.loads(stack.lectern("ingest", str(tmp_path), "--collection", "mixed", "--json", check=False).stdout)
    assert again["embedded_count"] == 0
    assert sum(file["state"] == "UNCHANGED" for file in again["files"]) == 200 - unusable


def test_an_edited_file_costs_only_what_was_edited(stack: Stack, tmp_path: Path) -> None:
    sections = [f"## Part {number}\n\n{sentence(number)}\n" for number in range(20)]
    page = tmp_path / "page.md"
    page.write_text("\n".join(sections))
    first = json.loads(stack.lectern("ingest", str(page), "--collection", "edited", "--json").stdout)
    sections[7] = "## Part 7\n\nThis part alone has other words now.\n"
    page.write_text("\n".join(sections))
    second = json.loads(stack.lectern("ingest", str(page), "--collection", "edited", "--json").stdout)
    assert first["embedded_count"] >= 20
    assert second["embedded_count"] == 1


@pytest.fixture(scope="module")
def sample_library(stack: Stack) -> Stack:
    stack.lectern("ingest", str(SAMPLES), "--collection", "samples")
    return stack


def test_most_sample_questions_are_answered_from_the_right_document_and_the_unanswerable_refused(sample_library: Stack) -> None:
    questions = yaml.safe_load(QUESTIONS.read_text())
    right, refused, answerable, unanswerable = 0, 0, 0, 0
    for question in questions:
        reply = sample_library.operator.post("/api/v1/ask", json={"question": question["question"], "collections": ["samples"]}).json()
        if question["answerable"]:
            answerable += 1
            right += any(citation["document_name"].endswith(question["document"]) for citation in reply["citations"])
        else:
            unanswerable += 1
            refused += not reply["citations"]
    assert right >= 0.85 * answerable, f"{right} of {answerable}"
    assert refused >= 0.8 * unanswerable, f"{refused} of {unanswerable}"


def test_ask_on_the_command_line_names_document_and_page(sample_library: Stack) -> None:
    questions = yaml.safe_load(QUESTIONS.read_text())
    asked = next(question for question in questions if "page" in question)
    printed = sample_library.lectern("ask", asked["question"], "--collection", "samples").stdout
    assert "[1]" in printed
    assert asked["document"] in printed
    assert "page" in printed


def test_a_second_up_says_that_the_stack_runs_already(stack: Stack) -> None:
    done = stack.lectern("up", "--detach", check=False)
    assert "already" in (done.stdout + done.stderr).lower()
    assert stack.url in done.stdout + done.stderr


def test_a_command_without_a_stack_says_how_to_start_it(stack: Stack, tmp_path: Path) -> None:
    lost = Stack(tmp_path, {**stack.environment, "LECTERN_HOME": str(tmp_path), "LECTERN_PORT_GATEWAY": "1"}, "")
    done = lost.lectern("search", "anything", check=False)
    assert done.returncode not in {0, None}
    assert "lectern up" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
