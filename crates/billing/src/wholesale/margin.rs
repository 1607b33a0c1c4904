//! Margins: what a reseller has charged its tenants for, less what the operator has charged it for them.

mod store;

use std::collections::BTreeMap;

use kernel::{Currency, Money, TenantId};
use tenancy::{Action, ResellerCtx, Scope};

use super::{must_be_party, system};
use crate::Error;
use crate::export::Window;

/// What one item of one tenant brought in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Margin {
    /// The tenant; `None`: what was committed and not used.
    pub tenant_id: Option<TenantId>,
    /// How it was called last on a document of the time.
    pub tenant_name: Option<String>,
    /// What was sold: an item of price books, or of a retail document `setup` or `one_off`.
    pub item: String,
    /// The net of the retail lines that the reseller issued in the time, credits off.
    pub retail: Money,
    /// The net of the wholesale lines that the operator issued in the time, credits off.
    pub wholesale: Money,
    /// Retail less wholesale.
    pub margin: Money,
}

/// A tenant, an item and a currency.
type Key = (Option<TenantId>, String, &'static str);

/// The sums of both levels.
#[derive(Debug, Default)]
struct Sums {
    tenant_name: Option<String>,
    retail_minor: i64,
    wholesale_minor: i64,
}

/// The reseller's margins by tenant, item and currency, of the documents that were issued on some days, in the calendars of their
/// customers.
///
/// # Errors
/// [`Error::NotFound`] for other resellers; [`Error::Tenancy`] forbidden for the operator, whose business they are not.
pub async fn list(ctx: &ResellerCtx, days: Window) -> Result<Vec<Margin>, Error> {
    must_be_party(ctx)?;
    ctx.require(Action::WholesaleRead)?;
    if ctx.caller().scope() == Scope::Operator {
        return Err(tenancy::Error::Forbidden("seeing a reseller's margins").into());
    }
    let mut tx = system(ctx.db()).await?;
    let mut sums = BTreeMap::<Key, Sums>::new();
    for line in store::wholesale(&mut tx, ctx.reseller_id(), days).await? {
        let of = sums.entry(line.key()?).or_default();
        of.wholesale_minor = line.amount_minor;
        of.tenant_name = line.tenant_name;
    }
    for line in store::retail(&mut tx, ctx.reseller_id(), days).await? {
        let of = sums.entry(line.key()?).or_default();
        of.retail_minor = line.amount_minor;
        of.tenant_name = line.tenant_name;
    }
    sums.into_iter().map(|(key, sums)| margin(key, sums)).collect()
}

fn margin((tenant_id, item, currency): Key, sums: Sums) -> Result<Margin, Error> {
    let currency = currency.parse().map_err(|_| Error::Stored("currency"))?;
    let Sums { tenant_name, retail_minor, wholesale_minor } = sums;
    let margin_minor = retail_minor.checked_sub(wholesale_minor).ok_or(Error::Stored("amount"))?;
    let [retail, wholesale, margin] =
        [retail_minor, wholesale_minor, margin_minor].map(|minor| Money::new(minor, currency));
    Ok(Margin { tenant_id, tenant_name, item, retail, wholesale, margin })
}

/// The sum of some lines.
struct LineSum {
    tenant_id: Option<uuid::Uuid>,
    tenant_name: Option<String>,
    item: String,
    currency: String,
    amount_minor: i64,
}

impl LineSum {
    fn key(&self) -> Result<Key, Error> {
        let currency: Currency = self.currency.parse().map_err(|_| Error::Stored("currency"))?;
        Ok((self.tenant_id.map(TenantId::from_uuid), self.item.clone(), currency.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_margin_is_what_is_left() {
        let key = (None, "mailbox".to_owned(), "EUR");
        let sums = Sums { tenant_name: None, retail_minor: 500, wholesale_minor: 700 };
        assert_eq!(margin(key.clone(), sums).unwrap().margin.amount_minor, -200);
        let sums = Sums { tenant_name: None, retail_minor: i64::MIN, wholesale_minor: 1 };
        assert!(margin(key, sums).is_err());
    }
}
