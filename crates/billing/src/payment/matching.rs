//! Which invoice a bank transfer is meant for, by what it says and how much it is.

use kernel::Money;

use crate::receivable::Receivable;

/// The invoice whose number the reference has; of several that it has, or that have one number with different issuers,
/// the oldest that is not paid. Without a number, the oldest of which exactly this amount is due.
pub(super) fn find<'a>(
    reference: &str,
    amount: Money,
    invoices: &[&'a Receivable],
) -> Option<&'a Receivable> {
    let said = reference.to_ascii_uppercase();
    let of_the_currency = || invoices.iter().filter(|invoice| invoice.currency == amount.currency);
    let named = || of_the_currency().filter(|invoice| has_word(&said, &invoice.number));
    named()
        .find(|invoice| invoice.due_minor > 0)
        .or_else(|| named().next())
        .or_else(|| of_the_currency().find(|invoice| invoice.due_minor == amount.amount_minor))
        .copied()
}

/// Whether a text has a word, not as a part of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use kernel::{InvoiceId, ResellerId};
    use uuid::Uuid;

    use super::*;

    fn invoice(n: u128, due_minor: i64) -> Receivable {
        Receivable {
            invoice: InvoiceId::from_uuid(Uuid::from_u128(n)),
            issuer: ResellerId::from_uuid(Uuid::nil()),
            currency: "EUR".parse().unwrap(),
            number: format!("INV-{n:06}"),
            due_on: chrono::NaiveDate::default(),
            due_minor,
            credited_minor: 0,
        }
    }

    #[test]
    fn the_number_counts_first_and_then_the_amount() {
        let all = [invoice(1, 0), invoice(2, 500), invoice(3, 500), invoice(4, 700)];
        let refs: Vec<_> = all.iter().collect();
        let found = |reference: &str, minor| {
            let amount = Money::new(minor, "EUR".parse().unwrap());
            find(reference, amount, &refs).map(|invoice| invoice.number.as_str())
        };
        assert_eq!(found("Invoice INV-000003, thanks", 1), Some("INV-000003"));
        assert_eq!(found("inv-000003", 500), Some("INV-000003"));
        assert_eq!(found("INV-000001", 500), Some("INV-000001"), "paid, and yet it is what was meant");
        assert_eq!(found("INV-000001 INV-000004", 1200), Some("INV-000004"));
        assert_eq!(found("thanks", 500), Some("INV-000002"));
        assert_eq!(found("XINV-000003 INV-0000031 é", 700), Some("INV-000004"));
        assert_eq!(found("thanks", 499), None);
        let dollars = Money::new(500, "USD".parse().unwrap());
        assert_eq!(find("INV-000003", dollars, &refs), None);
    }
}
