//! Statements of account: what moved a customer's account with one issuer on some days, and what of it is open at their end.
//! A customer is a tenant, or of the operator a reseller.
//!
//! All of one is computed from the rows of one query over the ledger, so it is of one moment and agrees with itself: the
//! opening balance and the movements come to the closing balance, which is the receivable of the last day, and so do the
//! open amounts less the credit. What is open is allocated as [`crate::receivable`] does it, by what counted on that day.

mod store;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use db::{Db, SystemRead};
use kernel::{Currency, InvoiceId, Money, PaymentId, ResellerId, TenantId, named};
use tenancy::{Action, Caller, ResellerCtx};

use crate::Error;
use crate::export::Window;
use crate::invoice::{Customer, DocumentKind, Issuer};
use crate::profile;
use crate::reader::Reader;
use crate::receivable::{Means, Owed, allocate};
use crate::series::OPERATOR;
use crate::wholesale::{self, agreement, must_be_party};

/// What a customer's account with an issuer came to.
#[derive(Debug, Clone)]
pub struct Statement<Id = TenantId> {
    /// Whom the customer owes, as it is called today.
    pub issuer: Issuer,
    /// The customer, as it is called today.
    pub customer: Customer<Id>,
    /// An account for each currency, at least one.
    pub accounts: Vec<Account>,
}

/// The account in one currency, which all its amounts are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What it is in.
    pub currency: Currency,
    /// What the customer owed before the first day; negative is its credit.
    pub opening: Money,
    /// What changed that, in the order of days and then in that of posting.
    pub entries: Vec<Entry>,
    /// What the customer owed at the end of the last day.
    pub closing: Money,
    /// What of that is how old.
    pub open: Open,
}

/// A movement of the account: a document, or money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The day that it counts for.
    pub effective_on: NaiveDate,
    /// What it is.
    pub kind: EntryKind,
    /// The document, of a document.
    pub invoice_id: Option<InvoiceId>,
    /// The payment, of one and of what was paid or taken back of it.
    pub payment_id: Option<PaymentId>,
    /// Of a document its number, of a payment what the transfer or charge says, of a refund or dispute the reason.
    pub reference: Option<String>,
    /// By when an invoice is to be paid.
    pub due_on: Option<NaiveDate>,
    /// What the customer owes more by it; 0 where it owes less.
    pub debit: Money,
    /// What it owes less by it; 0 where it owes more.
    pub credit: Money,
    /// What it owes after it.
    pub balance: Money,
}

named! {
    /// What a movement is. Its name begins the codes of its transfers.
    EntryKind {
        /// An invoice.
        Invoice = "invoice",
        /// A credit note.
        CreditNote = "credit_note",
        /// Money that came.
        Payment = "payment",
        /// Money that was paid back.
        Refund = "refund",
        /// A refund that came back.
        RefundReturned = "refund_returned",
        /// Money that the customer's bank took back.
        Dispute = "dispute",
        /// What it gave back of that.
        DisputeReinstated = "dispute_reinstated",
    }
}

impl EntryKind {
    fn document(self) -> Option<DocumentKind> {
        match self {
            Self::Invoice => Some(DocumentKind::Invoice),
            Self::CreditNote => Some(DocumentKind::CreditNote),
            _ => None,
        }
    }
}

/// What is due of the invoices at the end of the last day, by how long it is overdue then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// Not overdue: the last day to pay has not passed.
    pub current: Money,
    /// For 1 to 30 days.
    pub days_1_30: Money,
    /// For 31 to 60 days.
    pub days_31_60: Money,
    /// For 61 to 90 days.
    pub days_61_90: Money,
    /// For longer.
    pub days_over_90: Money,
    /// What the customer has paid or been credited and no invoice has taken. The amounts above less this are the closing balance.
    pub credit: Money,
}

/// A row of the query.
#[derive(Debug, Clone)]
struct Movement {
    kind: EntryKind,
    effective_on: NaiveDate,
    /// Positive is owed more.
    amount_minor: i64,
    invoice_id: Option<InvoiceId>,
    number: Option<i64>,
    due_on: Option<NaiveDate>,
    payment_id: Option<PaymentId>,
    /// What its payment is meant for.
    meant_for: Option<InvoiceId>,
    reference: Option<String>,
    /// Of a credit note: by how much it corrects which.
    corrects: Vec<(InvoiceId, i64)>,
}

/// The statement of a tenant's account with an issuer: with the reseller that it belongs to, or with a former one. Whoever
/// sees the tenant's documents sees those of a former issuer, and so its statement; so does whoever sees that issuer, and is
/// shown the customer as it is on the last document.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see invoices; [`Error::NotFound`] for a tenant out of scope, and for an issuer that it
/// has no account with.
pub async fn of_tenant(
    caller: &Caller,
    tenant_id: TenantId,
    issuer_id: Option<ResellerId>,
    days: Window,
) -> Result<Statement, Error> {
    let issuer_id = match issuer_id {
        Some(named) => named,
        None => caller.enter_deleted_too(tenant_id).await?.reseller_id(),
    };
    let reader = Reader::enter(caller, (tenant_id, issuer_id), Action::InvoiceRead).await?;
    let mut tx = reader.read().await?;
    let is_present = reader.sees_tenant() && issuer_id == reader.reseller_id();
    if !is_present && !store::is_issuer(&mut tx, issuer_id).await? {
        return Err(Error::NotFound);
    }
    let movements = store::movements(&mut tx, issuer_id, days.until()).await?;
    let store::Tenant { name, currency } = store::tenant(&mut tx).await?;
    let customer = if reader.sees_tenant() {
        let profile = profile::store::customer(&mut tx).await?.map(|versioned| versioned.profile);
        Customer::now(tenant_id, name, profile)
    } else {
        // How it is called since is the present reseller's affair; one without a document has but its id.
        let last = store::last_customer(&mut tx, issuer_id).await?;
        last.unwrap_or_else(|| Customer::now(tenant_id, tenant_id.to_string(), None))
    };
    drop(tx);
    Ok(Statement {
        issuer: issuer(caller.db(), issuer_id).await?,
        customer,
        accounts: accounts(currency, movements, days)?,
    })
}

/// The statement of a reseller's account with the operator.
///
/// # Errors
/// [`Error::NotFound`] for a reseller that has no agreement, and for whoever is neither the operator nor the reseller itself;
/// [`Error::Tenancy`] without the right to see its wholesale.
pub async fn of_reseller(ctx: &ResellerCtx, days: Window) -> Result<Statement<ResellerId>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    let reseller_id = ctx.reseller_id();
    let mut tx = wholesale::system(ctx.db()).await?;
    let agreement = agreement::store::find(&mut tx, reseller_id).await?.ok_or(Error::NotFound)?;
    let movements = store::wholesale_movements(&mut tx, reseller_id, days.until()).await?;
    let operator = profile::store::issuer(tx.conn(), OPERATOR).await?.map(|versioned| versioned.profile);
    let name = profile::store::reseller_name(tx.conn(), reseller_id).await?.ok_or(Error::NotFound)?;
    let profile = profile::store::reseller(&mut tx, reseller_id).await?.map(|versioned| versioned.profile);
    Ok(Statement {
        issuer: Issuer::now(OPERATOR, agreement.operator_name, operator),
        customer: Customer::now(reseller_id, name, profile),
        accounts: accounts(agreement.currency, movements, days)?,
    })
}

/// An account for each currency of some movements, of which there may be none; then one in this currency.
fn accounts(
    currency: Currency,
    movements: Vec<(Currency, Movement)>,
    days: Window,
) -> Result<Vec<Account>, Error> {
    let mut by_currency = BTreeMap::<&str, (Currency, Vec<Movement>)>::new();
    for (currency, movement) in movements {
        by_currency.entry(currency.code()).or_insert((currency, Vec::new())).1.push(movement);
    }
    if by_currency.is_empty() {
        by_currency.insert(currency.code(), (currency, Vec::new()));
    }
    by_currency.into_values().map(|(currency, movements)| account(currency, movements, days)).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a tenant sees who issues its documents, a former issuer too: its documents name it"
)]
async fn issuer(db: &Db, id: ResellerId) -> Result<Issuer, Error> {
    let mut read = SystemRead::open(db).await?;
    let name = profile::store::reseller_name(read.conn(), id).await?.ok_or(Error::NotFound)?;
    let profile = profile::store::issuer(read.conn(), id).await?.map(|versioned| versioned.profile);
    Ok(Issuer::now(id, name, profile))
}

/// The account that movements, in their order, come to.
fn account(currency: Currency, movements: Vec<Movement>, days: Window) -> Result<Account, Error> {
    let money = |minor| Money::new(minor, currency);
    let open = open(currency, &movements, days)?;
    let (mut opening_minor, mut balance_minor, mut entries) = (0_i64, 0_i64, Vec::new());
    for movement in movements {
        let Movement { kind, effective_on, amount_minor, invoice_id, payment_id, due_on, .. } = movement;
        balance_minor = balance_minor.checked_add(amount_minor).ok_or(Error::Stored("balance"))?;
        if effective_on < days.from() {
            opening_minor = balance_minor;
            continue;
        }
        let number = kind.document().zip(movement.number).map(|(kind, number)| kind.number(number));
        entries.push(Entry {
            effective_on,
            kind,
            invoice_id,
            payment_id,
            reference: number.or(movement.reference).filter(|text| !text.is_empty()),
            due_on: due_on.filter(|_| kind == EntryKind::Invoice),
            debit: money(amount_minor.max(0)),
            credit: money(amount_minor.min(0).saturating_neg()),
            balance: money(balance_minor),
        });
    }
    Ok(Account { currency, opening: money(opening_minor), entries, closing: money(balance_minor), open })
}

/// What is open of the invoices among movements, which count for the last day or an earlier one.
fn open(currency: Currency, movements: &[Movement], days: Window) -> Result<Open, Error> {
    let (mut invoices, mut means) = (Vec::new(), BTreeMap::<Option<InvoiceId>, i64>::new());
    let mut add = |meant_for, amount_minor: i64| {
        let sum = means.entry(meant_for).or_default();
        *sum = sum.checked_add(amount_minor).ok_or(Error::Stored("amount"))?;
        Ok::<_, Error>(())
    };
    for movement in movements {
        match (movement.kind, movement.invoice_id) {
            (EntryKind::Invoice, Some(invoice)) => {
                invoices.push((movement, Owed { invoice, total_minor: movement.amount_minor }));
            }
            (EntryKind::CreditNote, _) => {
                for &(invoice, amount_minor) in &movement.corrects {
                    add(Some(invoice), amount_minor)?;
                }
            }
            _ => add(movement.meant_for, movement.amount_minor.saturating_neg())?,
        }
    }
    invoices.sort_by_key(|(movement, owed)| (movement.effective_on, owed.invoice));
    let owed: Vec<Owed> = invoices.iter().map(|(_, owed)| *owed).collect();
    let means: Vec<Means> =
        means.into_iter().map(|(meant_for, amount_minor)| Means { meant_for, amount_minor }).collect();
    let allocation = allocate(&owed, &means).ok_or(Error::Stored("amount"))?;
    let last_day = days.until().pred_opt().ok_or(Error::Stored("day"))?;
    let mut sums = [0_i64; 5];
    for ((movement, _), due_minor) in invoices.iter().zip(allocation.due_minor) {
        let age = movement.due_on.map_or(0, |due_on| (last_day - due_on).num_days());
        let [current, days_1_30, days_31_60, days_61_90, days_over_90] = &mut sums;
        let sum = match age {
            ..=0 => current,
            1..=30 => days_1_30,
            31..=60 => days_31_60,
            61..=90 => days_61_90,
            _ => days_over_90,
        };
        *sum = sum.checked_add(due_minor).ok_or(Error::Stored("amount"))?;
    }
    let [current, days_1_30, days_31_60, days_61_90, days_over_90] =
        sums.map(|minor| Money::new(minor, currency));
    let credit = Money::new(allocation.credit_minor, currency);
    Ok(Open { current, days_1_30, days_31_60, days_61_90, days_over_90, credit })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn id(n: u128) -> InvoiceId {
        InvoiceId::from_uuid(Uuid::from_u128(n))
    }

    fn invoice(n: u128, on: &str, amount_minor: i64) -> Movement {
        Movement {
            kind: EntryKind::Invoice,
            effective_on: date(on),
            amount_minor,
            invoice_id: Some(id(n)),
            number: Some(i64::try_from(n).unwrap()),
            due_on: Some(date(on) + chrono::Days::new(14)),
            payment_id: None,
            meant_for: None,
            reference: None,
            corrects: Vec::new(),
        }
    }

    fn money(kind: EntryKind, on: &str, amount_minor: i64, meant_for: Option<u128>) -> Movement {
        let meant_for = meant_for.map(id);
        let payment_id = Some(PaymentId::from_uuid(Uuid::nil()));
        let reference = Some(String::new());
        Movement {
            kind,
            meant_for,
            payment_id,
            invoice_id: None,
            number: None,
            due_on: None,
            reference,
            ..invoice(9, on, amount_minor)
        }
    }

    fn shown(movements: Vec<Movement>, from: &str, until: &str) -> (String, [i64; 6]) {
        let days = Window::new(date(from), date(until)).unwrap();
        let account = account("EUR".parse().unwrap(), movements, days).unwrap();
        let mut text = account.opening.amount_minor.to_string();
        for entry in &account.entries {
            let [debit, credit, balance] =
                [entry.debit, entry.credit, entry.balance].map(|money| money.amount_minor);
            let reference = entry.reference.as_deref().unwrap_or("-");
            text += &format!("; {} {reference} +{debit} -{credit} = {balance}", entry.kind.as_str());
        }
        text += &format!("; {}", account.closing.amount_minor);
        let Open { current, days_1_30, days_31_60, days_61_90, days_over_90, credit } = account.open;
        let open = [current, days_1_30, days_31_60, days_61_90, days_over_90, credit];
        (text, open.map(|money| money.amount_minor))
    }

    /// Three invoices, of which the second is paid, a part of that paid back, and the third credited in part.
    fn story() -> Vec<Movement> {
        let mut note = invoice(4, "2026-03-05", -300);
        (note.kind, note.corrects) = (EntryKind::CreditNote, vec![(id(3), 300)]);
        vec![
            invoice(1, "2026-01-01", 1000),
            invoice(2, "2026-02-01", 1000),
            money(EntryKind::Payment, "2026-02-03", -1000, Some(2)),
            invoice(3, "2026-03-01", 1000),
            note,
            money(EntryKind::Refund, "2026-03-06", 200, Some(2)),
        ]
    }

    #[test]
    fn what_went_before_is_the_opening_and_each_day_is_in_one_statement() {
        let all = story();
        let until =
            |day: &str| all.iter().filter(|one| one.effective_on < date(day)).cloned().collect::<Vec<_>>();
        let (text, open) = shown(until("2026-03-01"), "2026-02-01", "2026-03-01");
        assert_eq!(text, "1000; invoice INV-000002 +1000 -0 = 2000; payment - +0 -1000 = 1000; 1000");
        // Due on 15 January: 44 days before the last of February.
        assert_eq!(open, [0, 0, 1000, 0, 0, 0]);
        let (text, open) = shown(until("2026-04-01"), "2026-03-01", "2026-04-01");
        let expected = "1000; invoice INV-000003 +1000 -0 = 2000; credit_note CRN-000004 +0 -300 = 1700; \
                        refund - +200 -0 = 1900; 1900";
        assert_eq!(text, expected);
        // Of the second 200 since 15 February, of the third 700 since the 15th of March.
        assert_eq!(open, [0, 700, 200, 1000, 0, 0]);
        let (text, open) = shown(Vec::new(), "2026-03-01", "2026-04-01");
        assert_eq!((text.as_str(), open), ("0; 0", [0; 6]));
    }

    #[test]
    fn ages_turn_on_the_day_after_the_due_day() {
        let on = |until: &str| shown(vec![invoice(1, "2026-01-01", 7)], "2026-01-01", until).1;
        // Due on the 15th; the last day is the one before `until`.
        for (until, at) in [
            ("2026-01-16", 0),
            ("2026-01-17", 1),
            ("2026-02-15", 1),
            ("2026-02-16", 2),
            ("2026-03-17", 2),
            ("2026-03-18", 3),
            ("2026-04-16", 3),
            ("2026-04-17", 4),
        ] {
            let mut expected = [0; 6];
            expected[at] = 7;
            assert_eq!(on(until), expected, "{until}");
        }
    }

    #[test]
    fn what_is_meant_for_a_later_invoice_settles_the_oldest_until_then() {
        let movements =
            || vec![invoice(1, "2026-01-01", 500), money(EntryKind::Payment, "2026-01-02", -800, Some(2))];
        assert_eq!(shown(movements(), "2026-01-01", "2026-02-01").1, [0, 0, 0, 0, 0, 300]);
        let mut later = movements();
        later.push(invoice(2, "2026-02-01", 800));
        assert_eq!(shown(later, "2026-01-01", "2026-02-02").1, [0, 500, 0, 0, 0, 0]);
    }
}
