//! A document as UBL 2.1 by EN 16931-1:2017 and its binding CEN/TS 16931-3-2.
//!
//! Elements stand in the order of UBL's schemas. What the rules of EN 16931 forbid is refused by [`rules`] before
//! anything is written; the comments there name the rules. The norm alone is followed: Peppol's, XRechnung's and other
//! national additions, such as electronic addresses of both parties, are not.

mod rules;

use chrono::NaiveDate;
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

use crate::model::{Category, Document, Kind, Line, Party, Period, TaxGroup};
use crate::sheet::sign;
use crate::text::{clean, last_day};
use crate::{Decimal, decimal};

const CAC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2";
const CBC: &str = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2";

/// Why a document cannot be said in EN 16931.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} ({rule})")]
pub struct UblError {
    /// The rule of EN 16931 that forbids it: `BR-09`.
    pub rule: &'static str,
    /// What is wrong or missing.
    pub what: String,
}

/// Writes a document as UBL 2.1: an `Invoice` of type 380 or a `CreditNote` of type 381, whose amounts are positive.
///
/// A price may not be negative (BR-27), so a line that gives back has a negative quantity. Where quantity times price
/// is not the line's amount, as when part of a month is charged, the price is the amount itself and its base quantity
/// is the line's quantity: the product then comes out in every case. A line of quantity zero that does cost something
/// is one piece at that price. A document outside the scope of VAT names no VAT identifiers (BR-O-02). One that was voided
/// stays as it was issued: it is the credit note that says so.
///
/// # Errors
/// [`UblError`] with the rule that would be broken: a missing name or country, sums that do not add up, an amount with
/// more than two decimals, a currency that the norm does not list, a tax without the identifiers or the reason it needs.
pub fn ubl(document: &Document) -> Result<String, UblError> {
    rules::check(document)?;
    let mut xml = Xml { writer: Writer::new_with_indent(Vec::new(), b' ', 2), document };
    xml.document().map_err(|_| UblError { rule: "UBL", what: "writing the XML failed".to_owned() })?;
    Ok(String::from_utf8_lossy(&xml.writer.into_inner()).into_owned())
}

/// An amount in whole units with the currency's decimals, at most two (BR-DEC). [`rules`] has seen that it has no more.
fn amount(minor: i128, document: &Document) -> String {
    let exponent = document.currency.exponent();
    let (minor, exponent) =
        if exponent > 2 { (minor / 10_i128.pow(exponent - 2), 2) } else { (minor, exponent) };
    let unit = 10_u128.pow(exponent);
    let sign = if minor < 0 { "-" } else { "" };
    let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
    match exponent {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{rest:0width$}", width = exponent as usize),
    }
}

/// Quantity, price, and the quantity the price is for if that is not one.
fn pricing(line: &Line, document: &Document) -> (String, String, Option<String>) {
    let net = sign(document) * i128::from(line.net);
    let quantity = line.quantity.abs();
    let signed = |quantity: Decimal| {
        let negative = net < 0 && quantity != Decimal::ZERO;
        format!("{}{quantity}", if negative { "-" } else { "" })
    };
    if let Some(price) = line.unit_price.map(Decimal::abs) {
        let product = quantity.units().checked_mul(price.units());
        let exact = net.unsigned_abs().checked_mul(scale(document));
        if product.map(i128::unsigned_abs) == exact {
            return (signed(quantity), price.to_string(), None);
        }
    }
    let price = amount(net.abs(), document);
    if quantity == Decimal::ZERO {
        let pieces = if net == 0 { quantity } else { Decimal::from(1) };
        return (signed(pieces), price, None);
    }
    let base = (quantity != Decimal::from(1)).then(|| quantity.to_string());
    (signed(quantity), price, base)
}

/// What a minor unit is in products of two decimals.
fn scale(document: &Document) -> u128 {
    (decimal::ONE * decimal::ONE).unsigned_abs() / 10_u128.pow(document.currency.exponent())
}

struct Xml<'d> {
    writer: Writer<Vec<u8>>,
    document: &'d Document,
}

type Written = std::io::Result<()>;

impl Xml<'_> {
    fn document(&mut self) -> Written {
        let document = self.document;
        let credit = document.kind == Kind::CreditNote;
        let root = if credit { "CreditNote" } else { "Invoice" };
        self.writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let namespace = format!("urn:oasis:names:specification:ubl:schema:xsd:{root}-2");
        let names = [("xmlns", namespace.as_str()), ("xmlns:cac", CAC), ("xmlns:cbc", CBC)];
        self.writer.write_event(Event::Start(BytesStart::new(root).with_attributes(names)))?;
        self.head(credit)?;
        self.party("cac:AccountingSupplierParty", &document.issuer)?;
        self.party("cac:AccountingCustomerParty", &document.customer)?;
        self.payment()?;
        self.taxes()?;
        self.totals()?;
        for (at, line) in document.lines.iter().enumerate() {
            self.line(at + 1, line, credit)?;
        }
        self.writer.write_event(Event::End(BytesEnd::new(root)))
    }

    fn head(&mut self, credit: bool) -> Written {
        let document = self.document;
        self.text("cbc:CustomizationID", "urn:cen.eu:en16931:2017")?;
        self.text("cbc:ID", document.number.as_deref().unwrap_or_default())?;
        self.text("cbc:IssueDate", &document.issued_on.to_string())?;
        if credit {
            self.text("cbc:CreditNoteTypeCode", "381")?;
        } else {
            self.date("cbc:DueDate", document.due_on)?;
            self.text("cbc:InvoiceTypeCode", "380")?;
        }
        for note in &document.notes {
            self.text("cbc:Note", note)?;
        }
        self.text("cbc:DocumentCurrencyCode", document.currency.code())?;
        self.optional("cbc:BuyerReference", document.customer_reference.as_ref())?;
        self.period(document.period)?;
        for corrected in &document.corrects {
            self.within("cac:BillingReference", |xml| {
                xml.within("cac:InvoiceDocumentReference", |xml| {
                    xml.text("cbc:ID", &corrected.number)?;
                    xml.text("cbc:IssueDate", &corrected.issued_on.to_string())
                })
            })?;
        }
        Ok(())
    }

    fn party(&mut self, role: &str, party: &Party) -> Written {
        let address = &party.address;
        let taxed = !self.document.taxes.iter().any(|group| group.rate.category == Category::OutOfScope);
        let vat_id = party.vat_id.as_ref().filter(|id| taxed && !clean(id).is_empty());
        let reachable = [&party.phone, &party.email]
            .iter()
            .any(|way| way.as_deref().is_some_and(|way| !clean(way).is_empty()));
        self.within(role, |xml| {
            xml.within("cac:Party", |xml| {
                xml.within("cac:PostalAddress", |xml| {
                    xml.optional("cbc:StreetName", address.street.as_ref())?;
                    xml.optional("cbc:AdditionalStreetName", address.extra.as_ref())?;
                    xml.optional("cbc:CityName", address.city.as_ref())?;
                    xml.optional("cbc:PostalZone", address.postal_code.as_ref())?;
                    xml.optional("cbc:CountrySubentity", address.region.as_ref())?;
                    xml.within("cac:Country", |xml| {
                        xml.optional("cbc:IdentificationCode", address.country.as_ref())
                    })
                })?;
                if let Some(id) = vat_id {
                    xml.within("cac:PartyTaxScheme", |xml| {
                        xml.text("cbc:CompanyID", id)?;
                        xml.vat()
                    })?;
                }
                xml.within("cac:PartyLegalEntity", |xml| {
                    xml.text("cbc:RegistrationName", &party.name)?;
                    xml.optional("cbc:CompanyID", party.registration.as_ref())
                })?;
                if !reachable {
                    return Ok(());
                }
                xml.within("cac:Contact", |xml| {
                    xml.optional("cbc:Telephone", party.phone.as_ref())?;
                    xml.optional("cbc:ElectronicMail", party.email.as_ref())
                })
            })
        })
    }

    /// A transfer within SEPA (58) in euros, any other transfer (30) else.
    fn payment(&mut self) -> Written {
        let document = self.document;
        if let Some(bank) = &document.bank {
            self.within("cac:PaymentMeans", |xml| {
                let code = if document.currency.code() == "EUR" { "58" } else { "30" };
                xml.text("cbc:PaymentMeansCode", code)?;
                xml.text("cbc:PaymentID", document.number.as_deref().unwrap_or_default())?;
                xml.within("cac:PayeeFinancialAccount", |xml| {
                    let iban: String = bank.iban.chars().filter(|c| !c.is_whitespace()).collect();
                    xml.text("cbc:ID", &iban)?;
                    xml.text("cbc:Name", &document.issuer.name)?;
                    let Some(bic) = bank.bic.as_ref().filter(|bic| !clean(bic).is_empty()) else {
                        return Ok(());
                    };
                    xml.within("cac:FinancialInstitutionBranch", |xml| xml.text("cbc:ID", bic))
                })
            })?;
        }
        match document.payment_terms.as_ref().filter(|terms| !clean(terms).is_empty()) {
            Some(terms) => self.within("cac:PaymentTerms", |xml| xml.text("cbc:Note", terms)),
            None => Ok(()),
        }
    }

    fn taxes(&mut self) -> Written {
        let document = self.document;
        self.within("cac:TaxTotal", |xml| {
            xml.amount("cbc:TaxAmount", document.totals.tax)?;
            document.taxes.iter().try_for_each(|group| xml.tax(group))
        })
    }

    fn tax(&mut self, group: &TaxGroup) -> Written {
        self.within("cac:TaxSubtotal", |xml| {
            xml.amount("cbc:TaxableAmount", group.taxable)?;
            xml.amount("cbc:TaxAmount", group.tax)?;
            xml.within("cac:TaxCategory", |xml| {
                xml.text("cbc:ID", group.rate.category.code())?;
                if group.rate.category != Category::OutOfScope {
                    xml.text("cbc:Percent", &group.rate.percent.to_string())?;
                }
                if let Some(code) = group.rate.category.reason_code() {
                    xml.text("cbc:TaxExemptionReasonCode", code)?;
                }
                xml.optional("cbc:TaxExemptionReason", group.reason.as_ref())?;
                xml.vat()
            })
        })
    }

    fn totals(&mut self) -> Written {
        let totals = self.document.totals;
        self.within("cac:LegalMonetaryTotal", |xml| {
            xml.amount("cbc:LineExtensionAmount", totals.net)?;
            xml.amount("cbc:TaxExclusiveAmount", totals.net)?;
            xml.amount("cbc:TaxInclusiveAmount", totals.gross)?;
            xml.amount("cbc:PayableAmount", totals.gross)
        })
    }

    fn line(&mut self, number: usize, line: &Line, credit: bool) -> Written {
        let (quantity, price, base) = pricing(line, self.document);
        let (element, count) = if credit {
            ("cac:CreditNoteLine", "cbc:CreditedQuantity")
        } else {
            ("cac:InvoiceLine", "cbc:InvoicedQuantity")
        };
        self.within(element, |xml| {
            xml.text("cbc:ID", &number.to_string())?;
            // C62: one piece, in UN/ECE Recommendation 20.
            xml.attributed(count, ("unitCode", "C62"), &quantity)?;
            xml.amount("cbc:LineExtensionAmount", line.net)?;
            xml.period(line.period)?;
            xml.within("cac:Item", |xml| {
                xml.text("cbc:Name", &line.description)?;
                xml.within("cac:ClassifiedTaxCategory", |xml| {
                    xml.text("cbc:ID", line.tax.category.code())?;
                    if line.tax.category != Category::OutOfScope {
                        xml.text("cbc:Percent", &line.tax.percent.to_string())?;
                    }
                    xml.vat()
                })
            })?;
            xml.within("cac:Price", |xml| {
                let currency = xml.document.currency.code();
                xml.attributed("cbc:PriceAmount", ("currencyID", currency), &price)?;
                base.map_or(Ok(()), |base| xml.attributed("cbc:BaseQuantity", ("unitCode", "C62"), &base))
            })
        })
    }

    fn vat(&mut self) -> Written {
        self.within("cac:TaxScheme", |xml| xml.text("cbc:ID", "VAT"))
    }

    fn period(&mut self, period: Option<Period>) -> Written {
        let Some(period) = period else { return Ok(()) };
        self.within("cac:InvoicePeriod", |xml| {
            xml.text("cbc:StartDate", &period.from.to_string())?;
            xml.text("cbc:EndDate", &last_day(period).to_string())
        })
    }

    fn amount(&mut self, name: &str, minor: i64) -> Written {
        let text = amount(sign(self.document) * i128::from(minor), self.document);
        self.attributed(name, ("currencyID", self.document.currency.code()), &text)
    }

    fn date(&mut self, name: &str, date: Option<NaiveDate>) -> Written {
        date.map_or(Ok(()), |date| self.text(name, &date.to_string()))
    }

    /// An element that is left out when nothing is left of its text, for UBL has no empty elements.
    fn optional(&mut self, name: &str, text: Option<&String>) -> Written {
        text.map_or(Ok(()), |text| self.text(name, text))
    }

    fn text(&mut self, name: &str, text: &str) -> Written {
        let text = clean(text);
        if text.is_empty() {
            return Ok(());
        }
        self.writer.create_element(name).write_text_content(BytesText::new(&text))?;
        Ok(())
    }

    fn attributed(&mut self, name: &str, attribute: (&str, &str), text: &str) -> Written {
        self.writer
            .create_element(name)
            .with_attribute(attribute)
            .write_text_content(BytesText::new(text))?;
        Ok(())
    }

    fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self) -> Written) -> Written {
        self.writer.write_event(Event::Start(BytesStart::new(name)))?;
        inner(self)?;
        self.writer.write_event(Event::End(BytesEnd::new(name)))
    }
}
