"""Reads the XML inside of documents, in which nothing may be declared, fetched or multiplied."""

from lxml import etree  # type: ignore[import-untyped]


def parse_xml(content: bytes) -> etree._Element:
    """Return the root element; entities stay unexpanded, no document type is loaded, nesting and text are bounded by libxml2.

    Raises:
        lxml.etree.XMLSyntaxError: it is not well-formed, or passes libxml2's bounds.
    """
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    return etree.fromstring(content, parser)


def local_name(element: etree._Element) -> str:
    """Return an element's name without its namespace; empty for what is no element, such as an entity."""
    return etree.QName(element).localname if isinstance(element.tag, str) else ""
