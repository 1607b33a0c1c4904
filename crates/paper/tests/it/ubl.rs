//! The XML, read back by a reader that knows nothing of the writer, and judged by the rules of EN 16931 in exact
//! fractions.

use insta::assert_snapshot;
use num_bigint::BigInt;
use num_rational::BigRational;
use paper::{Category, Decimal, Document, Kind, Line, Rate, TaxGroup, Totals, ubl};
use proptest::prelude::*;

use crate::sample::{arabic, credit_note, invoice, japanese, line, many, reverse_charge, voided};

/// An element: its name without a prefix, its text, its children.
#[derive(Debug, Default)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn find(&self, path: &str) -> Option<&Element> {
        path.split('/').try_fold(self, |at, name| at.children.iter().find(|child| child.name == name))
    }

    fn text(&self, path: &str) -> &str {
        &self.find(path).unwrap_or_else(|| panic!("no {path} in {}", self.name)).text
    }

    fn number(&self, path: &str) -> BigRational {
        exact(self.text(path))
    }
}

/// A decimal as a fraction.
fn exact(text: &str) -> BigRational {
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{places}").parse().unwrap();
    BigRational::new(digits, BigInt::from(10).pow(u32::try_from(places.len()).unwrap()))
}

fn read(xml: &str) -> Element {
    let document = roxmltree::Document::parse(xml).unwrap();
    fn element(node: roxmltree::Node<'_, '_>) -> Element {
        Element {
            name: node.tag_name().name().to_owned(),
            text: node.text().unwrap_or_default().to_owned(),
            children: node.children().filter(roxmltree::Node::is_element).map(element).collect(),
        }
    }
    element(document.root_element())
}

fn lines(root: &Element) -> Vec<&Element> {
    root.children
        .iter()
        .filter(|child| matches!(child.name.as_str(), "InvoiceLine" | "CreditNoteLine"))
        .collect()
}

fn zero() -> BigRational {
    exact("0")
}

fn decimals_of(currency: &str) -> u32 {
    match currency {
        "JPY" => 0,
        "EUR" => 2,
        "KWD" => 3,
        other => panic!("{other}"),
    }
}

/// Every amount but a price, which may have more decimals.
fn amounts(of: &Element) -> Vec<&str> {
    let is_amount = of.name.ends_with("Amount") && of.name != "PriceAmount";
    let own = is_amount.then_some(of.text.as_str());
    own.into_iter().chain(of.children.iter().flat_map(amounts)).collect()
}

/// The rules of sums and of presence, by their names in EN 16931.
fn judge(root: &Element) {
    let total = |name: &str| root.number(&format!("LegalMonetaryTotal/{name}"));
    // A tax is rounded to the minor unit, which is whole in some currencies.
    let decimals = decimals_of(root.text("DocumentCurrencyCode"));
    let unit = || exact("1") / BigInt::from(10).pow(decimals);
    for amount in amounts(root) {
        let places = amount.split_once('.').map_or(0, |(_, places)| places.len());
        assert!(places <= decimals.min(2) as usize, "BR-DEC: {amount}");
    }
    let groups: Vec<_> = root.find("TaxTotal").unwrap().all("TaxSubtotal").collect();
    let net: BigRational = lines(root).iter().map(|line| line.number("LineExtensionAmount")).sum();
    let tax: BigRational = groups.iter().map(|group| group.number("TaxAmount")).sum();
    assert_eq!(total("LineExtensionAmount"), net, "BR-CO-10");
    assert_eq!(total("TaxExclusiveAmount"), net, "BR-CO-13");
    assert_eq!(root.number("TaxTotal/TaxAmount"), tax, "BR-CO-14");
    assert_eq!(total("TaxInclusiveAmount"), net + tax, "BR-CO-15");
    assert_eq!(total("PayableAmount"), total("TaxInclusiveAmount"), "BR-CO-16");
    assert!(!groups.is_empty(), "BR-CO-18");
    for group in &groups {
        let category = group.text("TaxCategory/ID");
        let percent = group.find("TaxCategory/Percent").map_or_else(zero, |percent| exact(&percent.text));
        let taxed = group.number("TaxableAmount") * &percent / exact("100");
        let off = group.number("TaxAmount") - taxed;
        assert!(off < unit() && -off < unit(), "BR-CO-17");
        let of = |line: &&&Element| {
            let tax = line.find("Item/ClassifiedTaxCategory").unwrap();
            tax.text("ID") == category && tax.find("Percent").is_none_or(|of| exact(&of.text) == percent)
        };
        let sum: BigRational =
            lines(root).iter().filter(of).map(|line| line.number("LineExtensionAmount")).sum();
        assert_eq!(group.number("TaxableAmount"), sum, "BR-S-08");
        let reason = group.find("TaxCategory/TaxExemptionReason").is_some();
        assert_eq!(reason, matches!(category, "E" | "AE" | "O"), "BR-E-10, BR-S-10");
        assert_eq!(percent > zero(), category == "S", "BR-S-05");
        let issuer = root.find("AccountingSupplierParty/Party/PartyTaxScheme").is_some();
        assert_eq!(issuer, category != "O", "BR-S-02, BR-O-02");
        assert_eq!(group.find("TaxCategory/Percent").is_some(), category != "O", "BR-O-05, BR-48");
    }
    for line in lines(root) {
        let count = line.find("InvoicedQuantity").or_else(|| line.find("CreditedQuantity")).unwrap();
        let price = line.number("Price/PriceAmount");
        assert!(price >= zero(), "BR-27");
        let base = line.find("Price/BaseQuantity").map_or_else(|| exact("1"), |base| exact(&base.text));
        assert!(base > zero());
        assert_eq!(exact(&count.text) * price / base, line.number("LineExtensionAmount"));
    }
}

#[test]
fn an_invoice_a_credit_note_and_a_reverse_charge() {
    for (name, document) in [
        ("ubl_invoice", invoice("EUR", many(2))),
        ("ubl_credit_note", credit_note()),
        ("ubl_reverse_charge", reverse_charge()),
        ("ubl_yen", japanese()),
    ] {
        let xml = ubl(&document).unwrap();
        judge(&read(&xml));
        assert_snapshot!(name, xml);
    }
}

#[test]
fn a_credit_note_states_positive_what_it_gives_back() {
    let root = read(&ubl(&credit_note()).unwrap());
    assert_eq!(root.name, "CreditNote");
    assert_eq!(root.text("CreditNoteTypeCode"), "381");
    assert_eq!(root.text("LegalMonetaryTotal/PayableAmount"), "16.07");
    assert_eq!(root.text("BillingReference/InvoiceDocumentReference/ID"), "PB-2026-000041");
    assert_eq!(root.text("PaymentTerms/Note"), "Set off against what is due.");
    let silent = Document { payment_terms: None, ..credit_note() };
    assert_eq!(ubl(&silent).unwrap_err().rule, "BR-CO-25");
}

#[test]
fn what_was_voided_stays_as_it_was_issued() {
    let as_issued = Document { is_void: false, ..voided() };
    judge(&read(&ubl(&as_issued).unwrap()));
    assert_eq!(ubl(&voided()).unwrap(), ubl(&as_issued).unwrap());
}

#[test]
fn the_last_credit_of_a_group_may_take_back_what_rounding_left() {
    let mut note = credit_note();
    note.taxes[0].tax -= 2;
    note.totals.tax -= 2;
    note.totals.gross -= 2;
    let root = read(&ubl(&note).unwrap());
    let tax = root.number("TaxTotal/TaxSubtotal/TaxAmount");
    let by_rate = root.number("TaxTotal/TaxSubtotal/TaxableAmount") * exact("0.19");
    assert!(tax - by_rate > exact("0.01"), "it is more than rounding makes of itself");
}

#[test]
fn a_hostile_text_is_text() {
    let hostile = "]]></cbc:Name><x a='\"'> & \u{0}\u{202e}\u{fffe} <!--";
    let mut document = invoice("EUR", vec![line(hostile, 450)]);
    document.customer.name = hostile.to_owned();
    let root = read(&ubl(&document).unwrap());
    let said = "]]></cbc:Name><x a='\"'> & <!--";
    assert_eq!(lines(&root)[0].text("Item/Name"), said);
    assert_eq!(root.text("AccountingCustomerParty/Party/PartyLegalEntity/RegistrationName"), said);
}

/// Each change breaks one rule, which the refusal names.
#[test]
fn what_the_norm_forbids_is_refused_by_its_rule() {
    let broken = |change: fn(&mut Document)| {
        let mut document = invoice("EUR", many(2));
        change(&mut document);
        ubl(&document).map_err(|error| error.rule).unwrap_err()
    };
    assert_eq!(broken(|d| d.number = None), "BR-02");
    assert_eq!(broken(|d| d.issuer.name.clear()), "BR-06");
    assert_eq!(broken(|d| d.customer.name.clear()), "BR-07");
    assert_eq!(broken(|d| d.issuer.address.country = None), "BR-09");
    assert_eq!(broken(|d| d.customer.address.country = Some("UK".to_owned())), "BR-11");
    assert_eq!(broken(|d| d.lines.clear()), "BR-16");
    assert_eq!(broken(|d| d.lines[0].description.clear()), "BR-25");
    assert_eq!(broken(|d| d.issuer.vat_id = None), "BR-S-02");
    assert_eq!(broken(|d| d.issuer.vat_id = Some("123456789".to_owned())), "BR-CO-09");
    assert_eq!(broken(|d| d.lines[0].net += 1), "BR-S-08");
    assert_eq!(broken(|d| d.taxes[0].tax += 101), "BR-CO-17");
    // 2.565 are 2.57, from which 1.57 is a whole unit away.
    assert_eq!(broken(|d| d.taxes[0].tax -= 100), "BR-CO-17");
    let slight = |d: &mut Document| {
        let percent = "0.4".parse().unwrap();
        d.lines.iter_mut().for_each(|line| line.tax.percent = percent);
        (d.taxes[0].rate.percent, d.taxes[0].tax) = (percent, 60);
    };
    assert_eq!(broken(slight), "BR-CO-17");
    assert_eq!(broken(|d| d.totals.net += 1), "BR-CO-10");
    assert_eq!(broken(|d| d.totals.tax += 1), "BR-CO-14");
    assert_eq!(broken(|d| d.totals.gross += 1), "BR-CO-15");
    assert_eq!(broken(|d| d.taxes.clear()), "BR-CO-18");
    assert_eq!(broken(|d| d.bank.as_mut().unwrap().iban.clear()), "BR-50");
    assert_eq!(broken(|d| (d.due_on, d.payment_terms) = (None, None)), "BR-CO-25");
    assert_eq!(broken(|d| d.taxes[0].reason = Some("none".to_owned())), "BR-S-10");
    let mut reverse = reverse_charge();
    reverse.customer.vat_id = None;
    assert_eq!(ubl(&reverse).unwrap_err().rule, "BR-AE-02");
    let mut reverse = reverse_charge();
    reverse.taxes[0].reason = None;
    assert_eq!(ubl(&reverse).unwrap_err().rule, "BR-AE-10");
}

#[test]
fn a_currency_that_the_norm_does_not_list_is_refused() {
    for code in ["BGN", "CUC", "HRK", "SLL", "STN", "XAD", "ZWL"] {
        assert_eq!(ubl(&invoice(code, many(2))).unwrap_err().rule, "BR-CL-04", "{code}");
    }
    assert!(ubl(&invoice("CHF", many(2))).is_ok());
}

#[test]
fn a_third_decimal_is_refused_unless_it_is_zero() {
    assert_eq!(ubl(&arabic()).unwrap_err().rule, "BR-DEC-23");
    let root = read(&ubl(&invoice("KWD", vec![line("Mailbox", 100_000)])).unwrap());
    assert_eq!(root.text("LegalMonetaryTotal/PayableAmount"), "119.00");
}

fn rates(scope: bool) -> BoxedStrategy<Rate> {
    if scope {
        let rate =
            |(category, percent): (Category, &str)| Rate { category, percent: percent.parse().unwrap() };
        prop::sample::select(vec![
            (Category::Standard, "19"),
            (Category::Standard, "5.5"),
            (Category::Zero, "0"),
            (Category::Exempt, "0"),
            (Category::ReverseCharge, "0"),
        ])
        .prop_map(rate)
        .boxed()
    } else {
        Just(Rate { category: Category::OutOfScope, percent: Decimal::ZERO }).boxed()
    }
}

/// A line whose amount follows from its price or does not, in multiples of so many minor units.
fn any_line(scope: bool, currency: &'static str, step: i64) -> impl Strategy<Value = Line> {
    let price = prop::option::of(0_i64..1_000_000);
    (rates(scope), -50_i64..50, price, -10_000_000_i64..10_000_000, any::<bool>()).prop_map(
        move |(tax, quantity, price, net, follows)| {
            let (price, unit) = (price.map(|price| price * step), 10_i64.pow(decimals_of(currency)));
            let text = |price: i64| match decimals_of(currency) {
                0 => price.to_string(),
                decimals => format!("{}.{:0width$}", price / unit, price % unit, width = decimals as usize),
            };
            Line {
                tax,
                quantity: Decimal::from(quantity),
                unit_price: price.map(|price| text(price).parse().unwrap()),
                net: price.filter(|_| follows).map_or(net * step, |price| price * quantity),
                ..line("Mailbox & more", 0)
            }
        },
    )
}

/// The sums by EN 16931, made without the crate: a group for each category and rate, its tax rounded half up.
fn total(mut document: Document) -> Document {
    let mut groups: Vec<TaxGroup> = Vec::new();
    for line in &document.lines {
        match groups.iter_mut().find(|group| group.rate == line.tax) {
            Some(group) => group.taxable += line.net,
            None => {
                let reasoned = !matches!(line.tax.category, Category::Standard | Category::Zero);
                let reason = reasoned.then(|| "By law".to_owned());
                groups.push(TaxGroup { rate: line.tax, taxable: line.net, tax: 0, reason });
            }
        }
    }
    for group in &mut groups {
        let exact = exact(&group.rate.percent.to_string()) * BigInt::from(group.taxable) / exact("100");
        group.tax = (exact + self::exact("0.5")).floor().to_integer().try_into().unwrap();
    }
    let net = document.lines.iter().map(|line| line.net).sum::<i64>();
    let tax = groups.iter().map(|group| group.tax).sum::<i64>();
    document.totals = Totals { net, tax, gross: net + tax };
    document.taxes = groups;
    document
}

/// In currencies of 0, 2 and 3 decimals.
fn any_document() -> impl Strategy<Value = Document> {
    let sorts = prop::sample::select(vec![("JPY", 1), ("EUR", 1), ("KWD", 10), ("KWD", 1)]);
    let lines = (any::<bool>(), sorts).prop_flat_map(|(scope, (currency, step))| {
        (Just(currency), prop::collection::vec(any_line(scope, currency, step), 1..12))
    });
    (lines, any::<bool>()).prop_map(|((currency, lines), credit)| {
        let mut document = invoice(currency, vec![line("Mailbox", 1)]);
        document.lines = lines;
        document.kind = if credit { Kind::CreditNote } else { Kind::Invoice };
        total(document)
    })
}

proptest! {
    #[test]
    fn whatever_adds_up_is_written_by_the_rules(document in any_document()) {
        let totals = document.totals;
        let of_groups = document.taxes.iter().flat_map(|group| [group.taxable, group.tax]);
        let of_lines = document.lines.iter().map(|line| line.net);
        // What has a third decimal has no place in the norm.
        let excess = if document.currency.exponent() == 3 { 10 } else { 1 };
        let fits = of_lines.chain(of_groups).chain([totals.net, totals.tax]).all(|amount| amount % excess == 0);
        match ubl(&document) {
            Ok(xml) => {
                prop_assert!(fits);
                judge(&read(&xml));
            }
            Err(error) => prop_assert!(!fits && error.rule == "BR-DEC-23", "{error}"),
        }
    }

    #[test]
    fn no_text_makes_the_xml_malformed(text in any::<String>()) {
        // Each begins so that the rules let it pass, whatever follows.
        let mut document = invoice("EUR", vec![line(&format!("A{text}"), 450)]);
        document.customer.name = format!("A{text}");
        document.customer.vat_id = Some(format!("DE{text}"));
        document.notes = vec![text.clone()];
        document.number = Some(format!("INV-{text}"));
        read(&ubl(&document).unwrap());
    }
}
