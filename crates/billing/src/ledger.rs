//! The ledger: double entry. Each transfer moves an amount from one account to another and is never changed, so that
//! debits and credits are equal by the shape of a row; a balance is a sum of transfers and stored nowhere.
//!
//! An account is one issuer's, for one customer, in one currency. What happened is in two times: the local day that it
//! counts for, and the moment it was written.

pub(crate) mod store;

use chrono::{DateTime, NaiveDate, Utc};
use db::SystemTx;
use kernel::{
    Currency, DisputeFeeId, DisputeId, InvoiceId, Money, PaymentId, RefundId, ResellerId, TenantId, named,
};
use tenancy::{Action, Caller, OfTenants, Scope, TenantTx};
use uuid::Uuid;

use crate::Error;
use crate::invoice::DocumentKind;
use crate::series::OPERATOR;

named! {
    /// What an account is for.
    Account {
        /// What the customer owes the issuer.
        Receivable = "receivable",
        /// What the issuer has earned.
        Revenue = "revenue",
        /// What the issuer owes the tax office.
        TaxPayable = "tax_payable",
        /// What the issuer has been paid.
        Cash = "cash",
        /// What the issuer's payment provider has charged it, in the currency in which it did.
        ProviderFees = "provider_fees",
    }
}

/// What of a final document is posted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Posting {
    pub(crate) document: InvoiceId,
    pub(crate) kind: DocumentKind,
    pub(crate) issuer: ResellerId,
    pub(crate) currency: Currency,
    pub(crate) net_minor: i64,
    pub(crate) tax_minor: i64,
    /// The day that the document is issued on.
    pub(crate) effective_on: NaiveDate,
    /// When the document was finalised.
    pub(crate) posted_at: DateTime<Utc>,
}

impl Posting {
    /// Net and tax.
    pub(crate) fn total_minor(&self) -> i64 {
        self.net_minor.saturating_add(self.tax_minor)
    }
}

/// One row of the ledger; issuer, currency and times are the posting's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) code: &'static str,
    pub(crate) debit: Account,
    pub(crate) credit: Account,
    pub(crate) amount_minor: i64,
}

impl Posting {
    fn transfers(&self) -> impl Iterator<Item = Transfer> {
        let Self { document, issuer, currency, effective_on, posted_at, .. } = *self;
        let reference = document.uuid();
        self.legs().map(move |leg| Transfer { reference, leg, issuer, currency, effective_on, posted_at })
    }

    /// One leg for the net and one for the tax, to receivable or out of it by the sign; none for what is nothing.
    fn legs(&self) -> impl Iterator<Item = Leg> {
        let [net, tax] = match self.kind {
            DocumentKind::Invoice => ["invoice_net", "invoice_tax"],
            DocumentKind::CreditNote => ["credit_note_net", "credit_note_tax"],
        };
        [(net, Account::Revenue, self.net_minor), (tax, Account::TaxPayable, self.tax_minor)]
            .into_iter()
            .filter(|(_, _, amount_minor)| *amount_minor != 0)
            .map(|(code, account, amount_minor)| {
                let (debit, credit) = if amount_minor > 0 {
                    (Account::Receivable, account)
                } else {
                    (account, Account::Receivable)
                };
                Leg { code, debit, credit, amount_minor: amount_minor.saturating_abs() }
            })
    }
}

/// Money that came in or went out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Movement {
    pub(crate) what: Moved,
    pub(crate) issuer: ResellerId,
    pub(crate) amount: Money,
    /// The local day that it counts for.
    pub(crate) effective_on: NaiveDate,
    pub(crate) posted_at: DateTime<Utc>,
}

/// Which way it went.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moved {
    Payment(PaymentId),
    Refund(RefundId),
    /// A refund that came back.
    RefundReturned(RefundId),
    /// What a dispute took.
    Dispute(DisputeId),
    /// What it gave back.
    DisputeReinstated(DisputeId),
    /// What the provider charged the issuer for one.
    DisputeFee(DisputeFeeId),
    /// What the provider gave back of that.
    DisputeFeeReturned(DisputeFeeId),
}

/// A row of the ledger, whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    pub(crate) reference: Uuid,
    pub(crate) leg: Leg,
    pub(crate) issuer: ResellerId,
    pub(crate) currency: Currency,
    pub(crate) effective_on: NaiveDate,
    pub(crate) posted_at: DateTime<Utc>,
}

impl Movement {
    fn transfer(&self) -> Transfer {
        let Self { what, issuer, amount, effective_on, posted_at } = *self;
        let (reference, code, debit, credit) = match what {
            Moved::Payment(id) => (id.uuid(), "payment", Account::Cash, Account::Receivable),
            Moved::Refund(id) => (id.uuid(), "refund", Account::Receivable, Account::Cash),
            Moved::RefundReturned(id) => (id.uuid(), "refund_returned", Account::Cash, Account::Receivable),
            Moved::Dispute(id) => (id.uuid(), "dispute", Account::Receivable, Account::Cash),
            Moved::DisputeReinstated(id) => {
                (id.uuid(), "dispute_reinstated", Account::Cash, Account::Receivable)
            }
            Moved::DisputeFee(id) => (id.uuid(), "dispute_fee", Account::ProviderFees, Account::Cash),
            Moved::DisputeFeeReturned(id) => {
                (id.uuid(), "dispute_fee_returned", Account::Cash, Account::ProviderFees)
            }
        };
        let leg = Leg { code, debit, credit, amount_minor: amount.amount_minor };
        Transfer { reference, leg, issuer, currency: amount.currency, effective_on, posted_at }
    }
}

/// Posts a payment or refund in the transaction that settles it. A second time is refused by the database.
pub(crate) async fn post_movement(tx: &mut TenantTx, movement: &Movement) -> Result<(), Error> {
    let tenant_id = tx.tenant_id();
    Ok(store::insert(tx, &[(tenant_id, movement.transfer())]).await?)
}

/// Posts what a reseller paid the operator or was paid back, likewise.
pub(crate) async fn post_wholesale_movement(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    movement: &Movement,
) -> Result<(), Error> {
    Ok(store::insert_wholesale(tx, reseller_id, &movement.transfer()).await?)
}

/// Posts final documents of tenants.
pub(crate) async fn post(tx: &mut impl OfTenants, postings: &[(TenantId, Posting)]) -> Result<(), db::Error> {
    let transfers = postings
        .iter()
        .flat_map(|(tenant_id, posting)| posting.transfers().map(|transfer| (*tenant_id, transfer)));
    store::insert(tx, &transfers.collect::<Vec<_>>()).await
}

/// Posts a wholesale document, likewise.
pub(crate) async fn post_wholesale(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    posting: &Posting,
) -> Result<(), Error> {
    for transfer in posting.transfers() {
        store::insert_wholesale(tx, reseller_id, &transfer).await?;
    }
    Ok(())
}

/// Up to when a balance counts: in either of the two times, in both, or with neither up to the last that was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AsOf {
    /// What counts for this local day or an earlier one.
    pub day: Option<NaiveDate>,
    /// What had been written at this moment.
    pub moment: Option<DateTime<Utc>>,
}

impl AsOf {
    /// Everything that counts for a local day or an earlier one, whenever it was written.
    pub fn day(day: NaiveDate) -> Self {
        Self { day: Some(day), moment: None }
    }

    /// Everything that had been written at a moment, whichever day it counts for.
    pub fn moment(moment: DateTime<Utc>) -> Self {
        Self { day: None, moment: Some(moment) }
    }
}

/// One account's sums, over all customers of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What the account is for.
    pub account: Account,
    /// What went into it.
    pub debits: Money,
    /// What went out of it, in the same currency.
    pub credits: Money,
    /// Debits less credits: positive is owed to the issuer, negative is earned or owed by it.
    pub balance: Money,
}

/// The accounts of an issuer, a reseller or [`OPERATOR`], by currency: in each currency the debits of all of them are the credits of all of them.
///
/// # Errors
/// [`Error::Tenancy`] without the right to see invoices; not found for an issuer out of scope.
pub async fn trial_balance(caller: &Caller, issuer: ResellerId, as_of: AsOf) -> Result<Vec<Balance>, Error> {
    caller.require(Action::InvoiceRead)?;
    match (issuer, caller.scope()) {
        (OPERATOR, Scope::Operator) => {}
        (OPERATOR, _) => return Err(Error::NotFound),
        _ => drop(caller.enter_reseller_deleted_too(issuer).await?),
    }
    let mut tx = system(caller).await?;
    let sums = store::of_issuer(&mut tx, issuer, as_of).await?;
    sums.into_iter().map(Balance::try_from).collect()
}

/// The sums of an account as they are stored.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) account: Account,
    pub(crate) currency: Currency,
    pub(crate) debits_minor: i64,
    pub(crate) credits_minor: i64,
}

impl TryFrom<Sums> for Balance {
    type Error = Error;
    fn try_from(sums: Sums) -> Result<Self, Error> {
        let Sums { account, currency, debits_minor, credits_minor } = sums;
        let balance_minor = debits_minor.checked_sub(credits_minor).ok_or(Error::Stored("balance"))?;
        let [debits, credits, balance] =
            [debits_minor, credits_minor, balance_minor].map(|minor| Money::new(minor, currency));
        Ok(Self { account, debits, credits, balance })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an issuer's accounts are of all its customers; its caller has entered it"
)]
async fn system(caller: &Caller) -> Result<SystemTx, db::Error> {
    SystemTx::begin(caller.db()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legs(kind: DocumentKind, net_minor: i64, tax_minor: i64) -> Vec<String> {
        let posting = Posting {
            document: InvoiceId::from_uuid(uuid::Uuid::nil()),
            kind,
            issuer: ResellerId::from_uuid(uuid::Uuid::nil()),
            currency: "EUR".parse().unwrap(),
            net_minor,
            tax_minor,
            effective_on: NaiveDate::default(),
            posted_at: DateTime::default(),
        };
        let shown = |leg: Leg| {
            format!("{} {}/{} {}", leg.code, leg.debit.as_str(), leg.credit.as_str(), leg.amount_minor)
        };
        posting.legs().map(shown).collect()
    }

    #[test]
    fn net_and_tax_are_legs_of_their_own_and_nothing_is_no_leg() {
        let expected = ["invoice_net receivable/revenue 100", "invoice_tax receivable/tax_payable 19"];
        assert_eq!(legs(DocumentKind::Invoice, 100, 19), expected);
        let expected =
            ["credit_note_net revenue/receivable 100", "credit_note_tax tax_payable/receivable 19"];
        assert_eq!(legs(DocumentKind::CreditNote, -100, -19), expected);
        // Taxed less and untaxed more: each leg goes its own way.
        let expected = ["invoice_net receivable/revenue 50", "invoice_tax tax_payable/receivable 10"];
        assert_eq!(legs(DocumentKind::Invoice, 50, -10), expected);
        assert_eq!(legs(DocumentKind::Invoice, 0, 0), [""; 0]);
    }
}
