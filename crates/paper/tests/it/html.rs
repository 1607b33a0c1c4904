//! The page of HTML.

use insta::assert_snapshot;
use paper::{html, statement_html};

use crate::sample::{arabic, credit_note, invoice, line, reverse_charge, statement};

#[test]
fn an_invoice_a_credit_note_and_a_reverse_charge() {
    assert_snapshot!("html_invoice", html(&invoice("EUR", vec![line("Mailbox, plan Business", 450)])));
    assert_snapshot!("html_credit_note", html(&credit_note()));
    assert_snapshot!("html_reverse_charge", html(&reverse_charge()));
    assert_snapshot!("html_arabic", html(&arabic()));
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
