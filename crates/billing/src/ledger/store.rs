//! SQL of the ledger.

use db::SystemTx;
use kernel::{ResellerId, TenantId};
use tenancy::OfTenants;

use super::{AsOf, Sums, Transfer};
use crate::Error;

pub(super) async fn insert(
    tx: &mut impl OfTenants,
    transfers: &[(TenantId, Transfer)],
) -> Result<(), db::Error> {
    let texts = |text: fn(&Transfer) -> &'static str| {
        transfers.iter().map(|(_, transfer)| text(transfer).to_owned()).collect::<Vec<_>>()
    };
    sqlx::query!(
        "insert into transfers (tenant_id, reference, code, issuer_id, debit_account, credit_account, currency,
           amount_minor, effective_on, posted_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[],
           $8::bigint[], $9::date[], $10::timestamptz[])",
        &transfers.iter().map(|(tenant_id, _)| tenant_id.uuid()).collect::<Vec<_>>(),
        &transfers.iter().map(|(_, transfer)| transfer.reference).collect::<Vec<_>>(),
        &texts(|transfer| transfer.leg.code),
        &transfers.iter().map(|(_, transfer)| transfer.issuer.uuid()).collect::<Vec<_>>(),
        &texts(|transfer| transfer.leg.debit.as_str()),
        &texts(|transfer| transfer.leg.credit.as_str()),
        &transfers.iter().map(|(_, transfer)| transfer.currency.code().to_owned()).collect::<Vec<_>>(),
        &transfers.iter().map(|(_, transfer)| transfer.leg.amount_minor).collect::<Vec<_>>(),
        &transfers.iter().map(|(_, transfer)| transfer.effective_on).collect::<Vec<_>>(),
        &transfers.iter().map(|(_, transfer)| transfer.posted_at).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(super) async fn insert_wholesale(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    transfer: &Transfer,
) -> Result<(), db::Error> {
    let leg = &transfer.leg;
    sqlx::query!(
        "insert into wholesale_transfers (reseller_id, reference, code, debit_account, credit_account, currency, amount_minor,
           effective_on, posted_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        reseller_id.uuid(),
        transfer.reference,
        leg.code,
        leg.debit.as_str(),
        leg.credit.as_str(),
        transfer.currency.code(),
        leg.amount_minor,
        transfer.effective_on,
        transfer.posted_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// An issuer's accounts over all its customers, by currency and name.
pub(super) async fn of_issuer(
    tx: &mut SystemTx,
    issuer: ResellerId,
    as_of: AsOf,
) -> Result<Vec<Sums>, Error> {
    let rows = sqlx::query!(
        r#"select side.account as "account!", t.currency as "currency!", sum(side.debit_minor)::bigint as "debits!",
             sum(side.credit_minor)::bigint as "credits!"
           from (
             select issuer_id, debit_account, credit_account, currency, amount_minor, effective_on, posted_at from transfers
             union all
             select '00000000-0000-0000-0000-000000000000'::uuid, debit_account, credit_account, currency, amount_minor,
               effective_on, posted_at from wholesale_transfers) t
           cross join lateral (values (t.debit_account, t.amount_minor, 0), (t.credit_account, 0, t.amount_minor))
             side (account, debit_minor, credit_minor)
           where t.issuer_id = $1 and ($2::date is null or t.effective_on <= $2)
             and ($3::timestamptz is null or t.posted_at <= $3)
           group by side.account, t.currency order by t.currency, side.account"#,
        issuer.uuid(),
        as_of.day,
        as_of.moment
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter().map(|row| sums(&row.account, &row.currency, row.debits, row.credits)).collect()
}

fn sums(account: &str, currency: &str, debits_minor: i64, credits_minor: i64) -> Result<Sums, Error> {
    Ok(Sums {
        account: account.parse().map_err(|_| Error::Stored("account"))?,
        currency: currency.parse().map_err(|_| Error::Stored("currency"))?,
        debits_minor,
        credits_minor,
    })
}
