//! The PDF, read as a reader's program would.

use paper::{Document, Logo, PdfError, pdf, statement_pdf};

use crate::sample::{arabic, credit_note, invoice, japanese, line, many, reverse_charge, statement, voided};

fn set(name: &str, document: &Document) -> Vec<u8> {
    keep(name, pdf(document).unwrap())
}

/// Keeps a file where `PAPER_SAMPLES` says, to be looked at.
fn keep(name: &str, bytes: Vec<u8>) -> Vec<u8> {
    if let Some(folder) = std::env::var_os("PAPER_SAMPLES") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.pdf")), &bytes).unwrap();
    }
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether the file says of itself, in its XMP, that it is PDF/A-3a and PDF/UA-1.
fn conforms(bytes: &[u8]) -> bool {
    has(bytes, "pdfaid:part") && has(bytes, "pdfaid:conformance") && has(bytes, "pdfuaid:part")
}

#[test]
fn every_sample_is_for_the_archive_and_for_screen_readers() {
    for (name, document) in [
        ("one", invoice("EUR", vec![line("Mailbox, plan Business", 450)])),
        ("many", invoice("EUR", many(80))),
        ("credit", credit_note()),
        ("void", voided()),
        ("reverse", reverse_charge()),
        ("japanese", japanese()),
        ("arabic", arabic()),
    ] {
        let bytes = set(name, &document);
        assert!(bytes.starts_with(b"%PDF-1.7"), "{name}");
        assert!(conforms(&bytes), "{name}");
    }
}

#[test]
fn statements_are_for_the_archive_and_for_screen_readers() {
    for (name, invoices) in [("statement", 3), ("statement-many", 60), ("statement-empty", 0)] {
        let mut of = statement(invoices);
        let conforming = keep(name, statement_pdf(&of).unwrap());
        assert!(conforms(&conforming), "{name}");
        // Each account has its own count of entries.
        of.accounts.push(paper::Account { currency: "JPY".parse().unwrap(), ..of.accounts[0].clone() });
        assert!(conforms(&keep(&format!("{name}-two"), statement_pdf(&of).unwrap())), "{name}");
    }
}

/// PDF/A allows no glyph for "no such character", so a file that conforms has none.
#[test]
fn names_in_every_script_have_their_glyphs() {
    let scripts = [
        "Größe Łódź Việt",
        "Ελληνικά",
        "Кириллица",
        "العربية پارسی",
        "עברית",
        "हिन्दी क्षेत्र",
        "ภาษาไทย",
        "简体中文",
        "繁體中文",
        "日本語ひらがな",
        "한국어",
        "Հայերեն",
        "ქართული",
        "አማርኛ",
        "বাংলা",
        "ગુજરાતી",
        "ਪੰਜਾਬੀ",
        "ಕನ್ನಡ",
        "മലയാളം",
        "தமிழ்",
        "తెలుగు",
        "සිංහල",
        "ଓଡ଼ିଆ",
        "ខ្មែរ",
        "ລາວ",
        "မြန်မာ",
    ];
    let mut document = invoice("EUR", scripts.map(|script| line(script, 100)).to_vec());
    document.customer.name = scripts.join(" ");
    assert!(conforms(&set("scripts", &document)));
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    assert_eq!(pdf(&arabic()).unwrap(), pdf(&arabic()).unwrap());
}

#[test]
fn what_reads_as_typst_is_text() {
    let mut document = invoice("EUR", vec![line("#panic() *x* $ _y_ `raw` \\ <a> @b = // #sys.inputs", 450)]);
    document.customer.name = "#panic(\"no\")".to_owned();
    document.notes = vec!["#import \"/etc/passwd\": * ]} ${".to_owned()];
    assert!(conforms(&set("hostile", &document)));
}

#[test]
fn no_text_stops_a_document_from_being_set() {
    let strange = "\u{e000}\u{1f600} a\u{93f} \u{200d}\u{301} \u{fffd}\u{202e}\u{0} ก\u{e31}\u{e31}\u{e31}";
    let mut document = invoice("EUR", vec![line(strange, 450), line("", 1), line(&"x".repeat(3000), 1)]);
    document.customer.name = strange.to_owned();
    document.number = None;
    document.issuer = paper::Party::default();
    assert!(set("strange", &document).starts_with(b"%PDF"));
}

#[test]
fn a_logo_is_drawn_or_refused() {
    let mut document = invoice("EUR", vec![line("Mailbox", 450)]);
    let draw = |svg: &str| Logo::new(svg.as_bytes().to_vec()).ok();
    document.branding.logo = draw(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 60 20'><rect width='60' height='20' fill='#c33'/></svg>",
    );
    assert!(conforms(&set("logo", &document)));
    document.branding.logo = draw("<svg <no");
    assert!(matches!(pdf(&document), Err(PdfError::Logo(_))));
}
