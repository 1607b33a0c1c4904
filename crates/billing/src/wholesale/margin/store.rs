//! SQL of margins.

use db::SystemTx;
use kernel::ResellerId;

use super::LineSum;
use crate::export::Window;

/// What the operator has charged the reseller, by tenant.
pub(super) async fn wholesale(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    days: Window,
) -> Result<Vec<LineSum>, db::Error> {
    let sums = sqlx::query_as!(
        LineSum,
        r#"select l.tenant_id, (array_agg(l.tenant_name order by i.issued_on desc))[1] as tenant_name, l.item, i.currency,
             sum(l.amount_minor)::bigint as "amount_minor!"
           from wholesale_invoices i
           join wholesale_invoice_lines l on l.reseller_id = i.reseller_id and l.invoice_id = i.id
           where i.reseller_id = $1 and i.issued_on >= $2 and i.issued_on < $3
           group by l.tenant_id, l.item, i.currency"#,
        reseller_id.uuid(),
        days.from(),
        days.until()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(sums)
}

/// What the reseller has charged its tenants.
pub(super) async fn retail(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    days: Window,
) -> Result<Vec<LineSum>, db::Error> {
    let sums = sqlx::query_as!(
        LineSum,
        r#"select i.tenant_id as "tenant_id: Option<uuid::Uuid>",
             (array_agg(i.customer_name order by i.issued_on desc))[1] as tenant_name, l.item, i.currency,
             sum(l.amount_minor)::bigint as "amount_minor!"
           from invoices i join invoice_lines l on l.tenant_id = i.tenant_id and l.invoice_id = i.id
           where i.issuer_id = $1 and i.status = 'final' and i.issued_on >= $2 and i.issued_on < $3
           group by i.tenant_id, l.item, i.currency"#,
        reseller_id.uuid(),
        days.from(),
        days.until()
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(sums)
}
