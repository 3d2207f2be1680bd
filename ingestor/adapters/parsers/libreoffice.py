"""Formats that LibreOffice reads for us: it saves the file in one that has a parser of its own."""

import shutil
import tempfile
from pathlib import Path

from ingestor.adapters.parsers.programs import installed, run
from ingestor.domain.parsing import DocumentRejected, RejectionReason, SourceFile

_TEXTS = (
    "602 abw doc docm dot dotm dotx fb2 fodt hwp lrf lwp mcw mw mwd odm oth otm ott pages pdb psw sdw stw sxg sxw uot wn wpd wps wpt wri "
    "zabw"
)
_SPREADSHEETS = (
    "123 dbf dif et ett fods gnm gnumeric numbers ots sdc slk stc sxc sylk uos wb1 wb2 wdb wk1 wk3 wk4 wks wq1 wq2 xlc xlk xlm xls xlsb "
    "xlsm xlt xltm xltx xlw"
)
_PRESENTATIONS = "cgm dps dpt fodp key otp pot potm potx pps ppsx ppt pptm sdd sti sxi uop"
_DRAWINGS = (
    "cdr cmx cwk dxf emf emz fh fh1 fh2 fh3 fh4 fh5 fh6 fh7 fh8 fh9 fh10 fh11 fodg met odg otg p65 pct pict pm pm6 pmd pub qxd qxt sda std "
    "svm sxd vdx vsd vsdm vsdx wmf wmz wpg zmf"
)
TARGETS = {
    extension: target
    for extensions, target in ((_TEXTS, "docx"), (_SPREADSHEETS, "xlsx"), (_PRESENTATIONS, "pptx"), (_DRAWINGS, "pdf"))
    for extension in extensions.split()
}
"""Each extension that LibreOffice reads, and what it is asked to save the file as: what keeps most of its headings and tables."""

# No macro runs, nothing that a document links to is fetched or updated, and whatever tries all the same finds no way out.
_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
{items}
</oor:items>
"""
_ITEM = '<item oor:path="{path}"><prop oor:name="{name}" oor:op="fuse"><value>{value}</value></prop></item>'
_SETTINGS = (
    ("/org.openoffice.Office.Common/Security/Scripting", "MacroSecurityLevel", "3"),
    ("/org.openoffice.Office.Common/Security/Scripting", "DisableMacrosExecution", "true"),
    ("/org.openoffice.Office.Common/Security/Scripting", "BlockUntrustedRefererLinks", "true"),
    ("/org.openoffice.Office.Writer/Content/Update", "Link", "0"),
    ("/org.openoffice.Office.Calc/Content/Update", "Link", "2"),
    ("/org.openoffice.Inet/Settings", "ooInetProxyType", "2"),
    *(
        setting
        for scheme in ("HTTP", "HTTPS")
        for setting in (
            ("/org.openoffice.Inet/Settings", f"ooInet{scheme}ProxyName", "127.0.0.1"),
            ("/org.openoffice.Inet/Settings", f"ooInet{scheme}ProxyPort", "9"),
        )
    ),
)


def require() -> str:
    """Return where LibreOffice is.

    Raises:
        DocumentRejected: ``CONVERTER_MISSING``.
    """
    program = installed("soffice", "libreoffice")
    if program is None:
        message = "Files of this type are read by LibreOffice, which is not installed. Install it, or save the file as PDF or DOCX."
        raise DocumentRejected(RejectionReason.CONVERTER_MISSING, message)
    return program


def converted(source: SourceFile, type_: str) -> SourceFile:
    """Return the file as LibreOffice saves it in the format that ``TARGETS`` names. Blocking: seconds.

    It works in the folder for temporary files, which must be this process's own: what an earlier file left there goes first.

    Raises:
        DocumentRejected: ``CONVERTER_MISSING``, or ``CORRUPT_DOCUMENT`` when LibreOffice makes nothing of the file.
    """
    program = require()
    folder = Path(tempfile.gettempdir())
    for leftover in folder.iterdir():
        shutil.rmtree(leftover)
    target = TARGETS[type_]
    work = Path(tempfile.mkdtemp())
    (work / f"document.{type_}").write_bytes(source.content)
    profile = work / "profile"
    (profile / "user").mkdir(parents=True)
    items = "\n".join(_ITEM.format(path=path, name=name, value=value) for path, name, value in _SETTINGS)
    (profile / "user" / "registrymodifications.xcu").write_text(_PROFILE.format(items=items))
    run(
        [
            program, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--norestore", "--nolockcheck", "--nologo",
            "--convert-to", target, "--outdir", str(work / "saved"), str(work / f"document.{type_}"),
        ],
        environment={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(work), "TMPDIR": str(work), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    saved = work / "saved" / f"document.{target}"
    if not saved.is_file():
        message = "LibreOffice could not read the file. Open it in the program that made it and save it again, or save it as PDF."
        raise DocumentRejected(RejectionReason.CORRUPT_DOCUMENT, message)
    return SourceFile(saved.name, saved.read_bytes())
