//! What is due of each invoice. The ledger knows what a customer owes as a whole; which invoices that is, is decided
//! here and stored nowhere: what is meant for an invoice settles it first, all else the oldest. What is left over is the
//! customer's credit, and settles the next invoice by being there.

mod store;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use db::SystemTx;
use kernel::{Currency, InvoiceId, ResellerId, TenantId};
use tenancy::TenantTx;

use crate::Error;
use crate::by_tenant::by_tenant;

/// An invoice, for [`allocate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Which.
    pub invoice: InvoiceId,
    /// Its total, not negative.
    pub total_minor: i64,
}

/// What settles invoices: a payment less what was paid back or taken back of it, or a part of a credit note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// What it is meant for; `None`: for the oldest.
    pub meant_for: Option<InvoiceId>,
    /// How much, not negative.
    pub amount_minor: i64,
}

/// What is due, and what is left over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// What is due of each invoice, in the order given.
    pub due_minor: Vec<i64>,
    /// The customer's credit.
    pub credit_minor: i64,
}

/// Settles invoices, the oldest first in the order given, all of one issuer, customer and currency. `None` for sums that
/// are no 64-bit numbers.
pub fn allocate(invoices: &[Owed], means: &[Means]) -> Option<Allocation> {
    let mut earmarked = BTreeMap::<InvoiceId, i128>::new();
    let mut pool = 0_i128;
    for means in means {
        let amount = i128::from(means.amount_minor);
        match means.meant_for {
            Some(invoice) => *earmarked.entry(invoice).or_default() += amount,
            None => pool += amount,
        }
    }
    let mut due = Vec::with_capacity(invoices.len());
    for owed in invoices {
        let meant = earmarked.remove(&owed.invoice).unwrap_or(0);
        let total = i128::from(owed.total_minor);
        pool += (meant - total).max(0);
        due.push((total - meant).max(0));
    }
    // Meant for what is not here.
    pool += earmarked.into_values().sum::<i128>();
    for due in &mut due {
        let settled = pool.min(*due);
        *due -= settled;
        pool -= settled;
    }
    Some(Allocation {
        due_minor: due.into_iter().map(|due| i64::try_from(due).ok()).collect::<Option<_>>()?,
        credit_minor: i64::try_from(pool).ok()?,
    })
}

/// An invoice of a customer's, with what is due of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receivable {
    pub(crate) invoice: InvoiceId,
    pub(crate) issuer: ResellerId,
    pub(crate) currency: Currency,
    /// As the document shows it.
    pub(crate) number: String,
    /// The last day on which it is paid in time.
    pub(crate) due_on: NaiveDate,
    pub(crate) due_minor: i64,
    /// What credit notes have taken of it; never more than its total.
    pub(crate) credited_minor: i64,
}

/// What settles invoices of an account.
#[derive(Debug)]
struct Settling {
    issuer: ResellerId,
    currency: Currency,
    means: Means,
    /// Whether it is a credit note's, and no money.
    is_credit: bool,
}

/// All invoices of a customer, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Receivables(BTreeMap<InvoiceId, Receivable>, Vec<InvoiceId>);

impl Receivables {
    /// A tenant's.
    pub(crate) async fn read(tx: &mut TenantTx) -> Result<Self, Error> {
        let tenants = [tx.tenant_id()];
        let invoices = store::invoices(tx.conn(), &tenants, None).await?;
        let means = store::means(tx.conn(), &tenants, None).await?;
        Ok(Self::of_each(invoices, means)?.into_values().next().unwrap_or_default())
    }

    /// Those of tenants that an issuer issued; none of a tenant that has no account with it.
    pub(crate) async fn of_issuer(
        tx: &mut SystemTx,
        issuer: ResellerId,
        tenants: &[TenantId],
    ) -> Result<BTreeMap<TenantId, Self>, Error> {
        let invoices = store::invoices(tx.conn(), tenants, Some(issuer)).await?;
        let means = store::means(tx.conn(), tenants, Some(issuer)).await?;
        Self::of_each(invoices, means)
    }

    /// Of each tenant by itself.
    fn of_each(
        invoices: Vec<(TenantId, (Receivable, i64))>,
        means: Vec<(TenantId, Settling)>,
    ) -> Result<BTreeMap<TenantId, Self>, Error> {
        let (mut invoices, mut means) = (by_tenant(invoices), by_tenant(means));
        let tenants: BTreeSet<TenantId> = invoices.keys().chain(means.keys()).copied().collect();
        let of = |id: TenantId| {
            let (invoices, means) = (invoices.remove(&id), means.remove(&id));
            Ok((id, Self::settled(invoices.unwrap_or_default(), means.unwrap_or_default())?))
        };
        tenants.into_iter().map(of).collect()
    }

    /// A reseller's, which the operator issued.
    pub(crate) async fn of_reseller(tx: &mut SystemTx, reseller_id: ResellerId) -> Result<Self, Error> {
        let invoices = store::wholesale_invoices(tx, reseller_id).await?;
        Self::settled(invoices, store::wholesale_means(tx, reseller_id).await?)
    }

    /// Invoices with their totals, the oldest first, and what settles them.
    fn settled(invoices: Vec<(Receivable, i64)>, means: Vec<Settling>) -> Result<Self, Error> {
        let mut accounts = BTreeMap::<(ResellerId, &'static str), (Vec<Owed>, Vec<Means>)>::new();
        let mut all = Self::default();
        for (receivable, total_minor) in invoices {
            let invoice = receivable.invoice;
            let account = (receivable.issuer, receivable.currency.code());
            accounts.entry(account).or_default().0.push(Owed { invoice, total_minor });
            all.1.push(invoice);
            all.0.insert(invoice, receivable);
        }
        for Settling { issuer, currency, means, is_credit } in means {
            let credited = means.meant_for.filter(|_| is_credit).and_then(|invoice| all.0.get_mut(&invoice));
            if let Some(receivable) = credited {
                let sum = receivable.credited_minor.checked_add(means.amount_minor);
                receivable.credited_minor = sum.ok_or(Error::Stored("amount"))?;
            }
            accounts.entry((issuer, currency.code())).or_default().1.push(means);
        }
        for (invoices, means) in accounts.into_values() {
            let allocation = allocate(&invoices, &means).ok_or(Error::Stored("amount"))?;
            for (owed, due_minor) in invoices.iter().zip(allocation.due_minor) {
                if let Some(receivable) = all.0.get_mut(&owed.invoice) {
                    receivable.due_minor = due_minor;
                }
            }
        }
        Ok(all)
    }

    /// What was paid of an invoice, credited and is due: together its total. Money for what was credited has gone to others, or is credit.
    pub(crate) fn parts_minor(&self, invoice: InvoiceId, total_minor: i64) -> [i64; 3] {
        let (due, credited) = self.get(invoice).map_or((0, 0), |one| (one.due_minor, one.credited_minor));
        [total_minor.saturating_sub(due).saturating_sub(credited), credited, due]
    }

    /// What is due of an invoice.
    pub(crate) fn due_minor(&self, invoice: InvoiceId) -> i64 {
        self.0.get(&invoice).map_or(0, |receivable| receivable.due_minor)
    }

    pub(crate) fn get(&self, invoice: InvoiceId) -> Option<&Receivable> {
        self.0.get(&invoice)
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Receivable> {
        self.1.iter().filter_map(|invoice| self.0.get(invoice))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn invoice(n: usize) -> InvoiceId {
        InvoiceId::from_uuid(Uuid::from_u128(n as u128))
    }

    fn settled(totals: &[i64], means: &[(Option<usize>, i64)]) -> (Vec<i64>, i64) {
        let owed: Vec<_> = totals
            .iter()
            .enumerate()
            .map(|(n, &total_minor)| Owed { invoice: invoice(n), total_minor })
            .collect();
        let means: Vec<_> = means
            .iter()
            .map(|&(n, amount_minor)| Means { meant_for: n.map(invoice), amount_minor })
            .collect();
        let Allocation { due_minor, credit_minor } = allocate(&owed, &means).unwrap();
        (due_minor, credit_minor)
    }

    #[test]
    fn the_oldest_first_unless_it_is_meant_for_another() {
        assert_eq!(settled(&[100, 200], &[]), (vec![100, 200], 0));
        assert_eq!(settled(&[100, 200], &[(None, 150)]), (vec![0, 150], 0));
        assert_eq!(settled(&[100, 200], &[(Some(1), 150)]), (vec![100, 50], 0));
        // What is too much for what it was meant for goes to the oldest, and then is credit.
        assert_eq!(settled(&[100, 200], &[(Some(1), 250)]), (vec![50, 0], 0));
        assert_eq!(settled(&[100, 200], &[(Some(1), 250), (None, 60)]), (vec![0, 0], 10));
        // A credit note on an invoice that was paid is there for the next.
        assert_eq!(settled(&[100], &[(Some(0), 100), (Some(0), 30)]), (vec![0], 30));
        assert_eq!(settled(&[100, 80], &[(Some(0), 100), (Some(0), 30)]), (vec![0, 50], 0));
        assert_eq!(settled(&[], &[(Some(7), 5)]), (vec![], 5));
        let huge = [Owed { invoice: invoice(0), total_minor: 0 }];
        let twice = [Means { meant_for: None, amount_minor: i64::MAX }; 2];
        assert_eq!(allocate(&huge, &twice), None);
    }

    type Scene = (Vec<i64>, Vec<(Option<usize>, i64)>);

    fn scene() -> impl Strategy<Value = Scene> {
        let means = prop::collection::vec((prop::option::of(0_usize..8), 0_i64..1_000), 0..12);
        (prop::collection::vec(0_i64..1_000, 0..6), means)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2_000)))]

        #[test]
        fn what_is_due_less_the_credit_is_the_receivable((totals, means) in scene()) {
            let (due, credit) = settled(&totals, &means);
            let receivable = totals.iter().sum::<i64>() - means.iter().map(|(_, amount)| amount).sum::<i64>();
            prop_assert_eq!(due.iter().sum::<i64>() - credit, receivable);
            prop_assert!(due.iter().zip(&totals).all(|(due, total)| (0..=*total).contains(due)));
            // There is no credit while something is due.
            prop_assert!(credit == 0 || due.iter().all(|&due| due == 0));
            // What is meant for an invoice is never spent on another that is younger or older.
            for (n, total) in totals.iter().enumerate() {
                let meant: i64 = means.iter().filter(|(m, _)| *m == Some(n)).map(|(_, amount)| amount).sum();
                prop_assert!(due[n] <= (total - meant).max(0));
            }
        }

        #[test]
        fn the_order_in_which_money_comes_does_not_matter((totals, means) in scene(), seed in any::<u64>()) {
            let mut shuffled = means.clone();
            shuffled.sort_by_key(|means| (means.1 as u64).wrapping_mul(seed | 1));
            prop_assert_eq!(settled(&totals, &means), settled(&totals, &shuffled));
        }

        #[test]
        fn more_money_never_makes_more_due((totals, mut means) in scene(), more in (prop::option::of(0_usize..8), 0_i64..1_000)) {
            let (before, _) = settled(&totals, &means);
            means.push(more);
            let (after, _) = settled(&totals, &means);
            prop_assert!(after.iter().sum::<i64>() <= before.iter().sum::<i64>());
        }
    }
}
