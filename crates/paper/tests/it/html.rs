//! The page of HTML.

use insta::assert_snapshot;
use paper::{Decimal, Document, Kind, html, statement_html};

use crate::sample::{arabic, credit_note, invoice, line, many, reverse_charge, statement, voided};

#[test]
fn an_invoice_a_credit_note_and_a_reverse_charge() {
    assert_snapshot!("html_invoice", html(&invoice("EUR", vec![line("Mailbox, plan Business", 450)])));
    assert_snapshot!("html_credit_note", html(&credit_note()));
    assert_snapshot!("html_reverse_charge", html(&reverse_charge()));
    assert_snapshot!("html_arabic", html(&arabic()));
}

/// The cells of the lines after their descriptions: quantity, price, rate and amount.
fn cells(page: &str) -> Vec<String> {
    let lines = page.split("<table class=\"lines\">").nth(1).unwrap().split("</table>").next().unwrap();
    lines.split("<tr>").skip(2).map(of_row).collect()
}

/// The cells of one row, parted by `|`.
fn of_row(row: &str) -> String {
    row.split("<td>").skip(1).map(|cell| cell.split('<').next().unwrap()).collect::<Vec<_>>().join("|")
}

#[test]
fn what_was_voided_says_so_and_asks_for_nothing() {
    let page = html(&voided());
    for part in [
        "<title>VOID invoice PB-2026-000042</title>",
        "<h1>VOID invoice</h1>",
        "VOID: a credit note has taken this invoice back as a whole. Nothing is to be paid.",
        "<th scope=\"row\">Amount due</th><td>EUR 0.00</td>",
        "<th scope=\"row\">Total including VAT</th><td>14.88</td>",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for part in ["Payment by bank transfer", "Due date", "Payable within"] {
        assert!(!page.contains(part), "{part} is in {page}");
    }
}

#[test]
fn a_draft_says_that_nothing_is_due_yet() {
    let mut draft = invoice("EUR", many(1));
    draft.number = None;
    let page = html(&draft);
    assert!(page.contains("<th scope=\"row\">Draft: nothing due yet</th><td>EUR 0.00</td>"), "{page}");
    let page = html(&Document { number: None, ..credit_note() });
    assert!(page.contains("<th scope=\"row\">Draft: nothing credited yet</th><td>EUR 0.00</td>"), "{page}");
}

#[test]
fn quantity_and_price_make_the_amount_and_a_line_that_counts_none_shows_none() {
    assert_eq!(cells(&html(&voided())), ["1|4.50|19%|4.50", "2|4.50|19%|9.00", "||19%|−1.00"]);
    assert_eq!(cells(&html(&credit_note())), ["1|4.50|19%|4.50", "2|4.50|19%|9.00"]);
    // What a credit note charges, and what an invoice gives back.
    let mut note = credit_note();
    (note.lines[0].net, note.lines[0].quantity) = (450, Decimal::from(1));
    assert_eq!(cells(&html(&note))[0], "−1|4.50|19%|−4.50");
    note.kind = Kind::Invoice;
    assert_eq!(cells(&html(&note))[..2], ["1|4.50|19%|4.50", "−2|4.50|19%|−9.00"]);
    // A part of a line that was taxed in two ways has its units in the other.
    note.lines[0].quantity = Decimal::ZERO;
    assert_eq!(cells(&html(&note))[0], "||19%|4.50");
}

#[test]
fn a_statement_has_its_balances_and_asks_for_money_only_when_some_is_owed() {
    let mut owed = statement(2);
    assert_snapshot!("html_statement", statement_html(&owed));
    owed.accounts[0].closing = -500;
    let page = statement_html(&owed);
    assert!(page.contains("Balance in your favour") && page.contains("EUR 5.00"), "{page}");
    assert!(!page.contains("Payment by bank transfer"), "{page}");
    owed.accounts[0].entries[0].reference = Some("</table><script>".to_owned());
    assert!(
        statement_html(&owed)
            .contains("Invoice <bdi lang=\"en\" dir=\"ltr\">&lt;/table&gt;&lt;script&gt;</bdi>")
    );
}

/// Every `<` of the page begins one of our own tags, wherever a stranger's text stands.
#[test]
fn a_hostile_text_makes_no_tag_and_leaves_no_attribute() {
    let hostile = "<script>alert(1)</script>\" onload='x' & \u{202e}evil\u{2066}";
    let mut document = invoice("EUR", vec![line(hostile, 450)]);
    let plain = html(&invoice("EUR", vec![line("x", 450)])).matches('<').count();
    for party in [&mut document.issuer, &mut document.customer] {
        for text in [&mut party.vat_id, &mut party.address.street, &mut party.address.city] {
            *text = Some(hostile.to_owned());
        }
        party.name = hostile.to_owned();
    }
    document.number = Some(hostile.to_owned());
    document.branding.product = hostile.to_owned();
    document.branding.support = Some(hostile.to_owned());
    document.notes = vec![hostile.to_owned()];
    document.payment_terms = Some(hostile.to_owned());
    document.customer_reference = Some(hostile.to_owned());
    let page = html(&document);
    assert_eq!(page.matches('<').count(), plain);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39; &amp; evil"));
    assert!(!page.contains(['\u{202e}', '\u{2066}']));
}
