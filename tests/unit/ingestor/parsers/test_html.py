from datetime import UTC, datetime

from tests.unit.ingestor.parsers.files import parse

PAGE = """<!doctype html><html lang="en"><head><title> Opening
 hours </title><meta name="author" content="Ann Example"><meta property="article:published_time" content="2024-05-01T12:00:00Z">
<style>p { color: red }</style></head><body>
<nav><a href="/">Home</a></nav>
<h1 id="top">Opening <em>hours</em></h1>
<p>We open<br>early &amp; close
late.</p><script>alert("no")</script>
<section id="winter"><h2>Winter</h2><ul><li>Monday<ul><li>Morning</li></ul></li><li>Tuesday</li></ul></section>
<h2><a name="prices"></a>Prices</h2>
<table><caption>In euros</caption><tr><th>Item<th>Price</tr><tr><td colspan=2>Pen | ink</td></tr></table>
<pre>a  b
c</pre><p hidden>Nobody sees this.</p>
</body></html>"""


def test_a_page_becomes_markdown_without_scripts_styles_and_navigation() -> None:
    assert parse("a.html", PAGE).text == (
        "# Opening hours\n\nWe open\nearly & close late.\n\n## Winter\n\n- Monday\n  - Morning\n- Tuesday\n\n## Prices\n\nIn euros\n\n"
        "| Item | Price |\n| --- | --- |\n| Pen \\| ink |  |\n\n```\na  b\nc\n```"
    )


def test_headings_have_the_ids_that_open_their_sections() -> None:
    document = parse("a.html", PAGE)
    assert [(heading.text, heading.level, heading.anchor) for heading in document.headings] == [
        ("Opening hours", 1, "top"),
        ("Winter", 2, "winter"),
        ("Prices", 2, "prices"),
    ]
    assert all(document.text[heading.start :].startswith("#" * heading.level + " " + heading.text) for heading in document.headings)


def test_title_author_and_time_come_from_the_head() -> None:
    document = parse("a.html", PAGE)
    assert (document.title, document.author) == ("Opening hours", "Ann Example")
    assert document.create_time == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_a_page_in_the_character_set_that_it_declares_is_read() -> None:
    page = '<html><head><meta charset="iso-8859-1"></head><body><p>Déjà vu – 5 €</p></body></html>'
    assert parse("a.html", page.encode("cp1252")).text == "Déjà vu – 5 €"
    assert parse("a", "<html><p>été</p></html>".encode("latin-1"), media_type="text/html; charset=ISO-8859-1").text == "été"


def test_utf_8_that_declares_another_character_set_is_read_as_utf_8() -> None:
    assert parse("a.html", '<meta charset="iso-8859-1"><p>Déjà vu</p>').text == "Déjà vu"


def test_a_table_that_lays_out_a_page_is_no_table() -> None:
    page = "<table><tr><td><h2>News</h2><p>It rains.</p></td><td><table><tr><td>A<td>B</tr></table></td></tr></table>"
    assert parse("a.html", page).text == "## News\n\nIt rains.\n\n| A | B |\n| --- | --- |"


def test_a_page_nested_ten_thousand_deep_is_read() -> None:
    assert parse("a.html", "<div>" * 10_000 + "<p>Deep down.</p>").text == "Deep down."
