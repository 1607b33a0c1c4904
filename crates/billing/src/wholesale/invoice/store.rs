//! SQL of wholesale documents.

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{InvoiceId, Money, PageRequest, PriceId, ResellerId, TenantId};
use sqlx::types::Json;
use sqlx::types::chrono::NaiveDate;
use uuid::Uuid;

use super::{Named, NewInvoice, WholesaleInvoice, WholesaleLine};
use crate::Error;
use crate::invoice::corrected::{BilledLine, Subject};
use crate::invoice::issued::UNDISCOUNTED;
use crate::invoice::store::{Creditable, group};
use crate::invoice::tax::{OfCycle, Past};
use crate::invoice::{Billing, Customer, DocumentKind, Filter, InvoiceTax, Issuer, Status};
use crate::profile::store::read;
use crate::rating::{Cycle, GroupTotal, Span, TaxLine, UnitPrice};
use crate::receivable::Receivables;
use crate::series::OPERATOR;

/// Writes a document with its number.
pub(in crate::wholesale) async fn insert(tx: &mut SystemTx, new: &NewInvoice<'_>) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_invoices (reseller_id, id, kind, number, issuer_name, customer_name, currency, issued_on,
           due_on, net_minor, tax_minor, total_minor, finalized_at, issuer_profile, customer_profile, tax_rates_known,
           boundary, revision, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)",
        new.reseller_id.uuid(),
        new.id.uuid(),
        new.kind.as_str(),
        new.number,
        new.issuer.name,
        new.customer.name,
        new.currency.code(),
        new.issued_on,
        new.due_on,
        new.net_minor,
        new.tax_minor,
        new.total_minor,
        new.finalized_at,
        new.issuer.profile.as_ref().map(Json) as _,
        new.customer.profile.as_ref().map(Json) as _,
        new.tax_rates_known,
        new.billing.map(|of| of.boundary),
        new.billing.map(|of| of.revision),
        new.reason,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes all lines of a document in one statement: there is at least one for each tenant.
pub(in crate::wholesale) async fn insert_lines(
    tx: &mut SystemTx,
    new: &NewInvoice<'_>,
    lines: &[(WholesaleLine, Cycle)],
) -> Result<(), db::Error> {
    let tenant = |line: &WholesaleLine| line.tenant.as_ref().map(|tenant| tenant.id.uuid());
    let name = |line: &WholesaleLine| line.tenant.as_ref().map(|tenant| tenant.name.clone());
    let tenants: Vec<_> = lines.iter().map(|(line, _)| tenant(line)).collect();
    let names: Vec<_> = lines.iter().map(|(line, _)| name(line)).collect();
    let items: Vec<_> = lines.iter().map(|(line, _)| line.item.clone()).collect();
    let kinds: Vec<_> = lines.iter().map(|(line, _)| line.kind.as_str().to_owned()).collect();
    let descriptions: Vec<_> = lines.iter().map(|(line, _)| line.description.clone()).collect();
    let starts: Vec<_> = lines.iter().map(|(line, _)| line.period.start()).collect();
    let ends: Vec<_> = lines.iter().map(|(line, _)| line.period.end()).collect();
    let cycle_starts: Vec<_> = lines.iter().map(|(_, cycle)| cycle.charged.start()).collect();
    let cycle_ends: Vec<_> = lines.iter().map(|(_, cycle)| cycle.charged.end()).collect();
    let quantities: Vec<_> = lines.iter().map(|(line, _)| line.quantity).collect();
    let seat_days: Vec<_> = lines.iter().map(|(line, _)| line.seat_days).collect();
    let prices: Vec<_> = lines.iter().map(|(line, _)| line.price_id.uuid()).collect();
    let unit_prices: Vec<_> =
        lines.iter().map(|(line, _)| line.unit_price.map(|price| price.to_string())).collect();
    let rated: Vec<_> = lines.iter().map(|(line, _)| line.rated_position).collect();
    let categories: Vec<_> = lines.iter().map(|(line, _)| line.tax.category().code().to_owned()).collect();
    let rates: Vec<_> = lines.iter().map(|(line, _)| line.tax.rate().to_string()).collect();
    let amounts: Vec<_> = lines.iter().map(|(line, _)| line.amount.amount_minor).collect();
    sqlx::query!(
        "insert into wholesale_invoice_lines (reseller_id, invoice_id, position, tenant_id, tenant_name, item, kind, description,
           period, cycle, quantity, seat_days, price_id, unit_price, amount_minor, rated_position, tax_category, tax_rate)
         select $1, $2, l.position, l.tenant_id, l.tenant_name, l.item, l.kind, l.description, daterange(l.starts, l.ends),
           daterange(l.cycle_starts, l.cycle_ends), l.quantity, l.seat_days, l.price_id, l.unit_price::numeric, l.amount_minor,
           l.rated_position, l.tax_category, l.tax_rate::numeric
         from unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::date[], $9::date[], $10::date[], $11::date[],
             $12::bigint[], $13::bigint[], $14::uuid[], $15::text[], $16::bigint[], $17::integer[], $18::text[], $19::text[])
           with ordinality
           l (tenant_id, tenant_name, item, kind, description, starts, ends, cycle_starts, cycle_ends, quantity, seat_days, price_id,
             unit_price, amount_minor, rated_position, tax_category, tax_rate, position)",
        new.reseller_id.uuid(),
        new.id.uuid(),
        &tenants as _,
        &names as _,
        &items,
        &kinds,
        &descriptions,
        &starts,
        &ends,
        &cycle_starts,
        &cycle_ends,
        &quantities,
        &seat_days,
        &prices,
        &unit_prices as _,
        &amounts,
        &rated,
        &categories,
        &rates,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(in crate::wholesale) async fn insert_tax(
    tx: &mut SystemTx,
    new: &NewInvoice<'_>,
    total: &GroupTotal,
    reason: Option<&str>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_invoice_taxes (reseller_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
         values ($1, $2, $3, $4::text::numeric, $5, $6, $7)",
        new.reseller_id.uuid(),
        new.id.uuid(),
        total.group.category().code(),
        total.group.rate().to_string(),
        total.taxable_minor,
        total.tax_minor,
        reason,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// How some cycles were taxed so far, and what the documents come to by group: of those that count as billed.
pub(in crate::wholesale) async fn past(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    cycles: &[NaiveDate],
) -> Result<Past, Error> {
    let mut past = Past::default();
    let lines = sqlx::query!(
        r#"select l.item, lower(l.cycle) as "cycle!", l.tax_category, l.tax_rate::text as "tax_rate!", l.amount_minor
           from wholesale_invoice_lines l
           join wholesale_invoices i on i.reseller_id = l.reseller_id and i.id = l.invoice_id
           where l.reseller_id = $1 and lower(l.cycle) = any ($2)
             and not exists (select from wholesale_unbilled_documents u where u.reseller_id = i.reseller_id and u.invoice_id = i.id)
           order by i.boundary, i.revision, l.position"#,
        reseller_id.uuid(),
        cycles
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let line =
            TaxLine { group: group(&row.tax_category, &row.tax_rate)?, amount_minor: row.amount_minor };
        past.history.cycles.entry(OfCycle { item: row.item, starts_on: row.cycle }).or_default().push(line);
    }
    let groups = sqlx::query!(
        r#"select t.category, t.rate::text as "rate!", sum(t.taxable_minor)::bigint as "taxable!", sum(t.tax_minor)::bigint as "tax!",
             (array_agg(t.reason order by i.boundary desc, i.revision desc))[1] as reason
           from wholesale_invoice_taxes t
           join wholesale_invoices i on i.reseller_id = t.reseller_id and i.id = t.invoice_id
           where t.reseller_id = $1
             and not exists (select from wholesale_unbilled_documents u where u.reseller_id = i.reseller_id and u.invoice_id = i.id)
           group by t.category, t.rate order by max(i.boundary)"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in groups {
        let group = group(&row.category, &row.rate)?;
        past.add(GroupTotal { group, taxable_minor: row.taxable, tax_minor: row.tax }, row.reason);
    }
    Ok(past)
}

/// The invoices of which something has not been credited yet, the newest first.
pub(in crate::wholesale) async fn creditable(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
) -> Result<Vec<Creditable>, db::Error> {
    let rows = sqlx::query!(
        r#"select id, issued_on, "left" as "left!" from (
             select i.id, i.issued_on, i.total_minor - coalesce((
               select sum(r.amount_minor) from wholesale_credit_note_references r
               where r.reseller_id = i.reseller_id and r.invoice_id = i.id), 0)::bigint as "left"
             from wholesale_invoices i where i.reseller_id = $1 and i.kind = 'invoice') open
           where "left" > 0 order by issued_on desc, id desc"#,
        reseller_id.uuid()
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = rows.into_iter().map(|row| Creditable {
        invoice: InvoiceId::from_uuid(row.id),
        issuer: OPERATOR,
        issued_on: row.issued_on,
        left_minor: row.left,
    });
    Ok(rows.collect())
}

/// What documents that count as billed charge and take back of the cycles of which a credit note takes something back, in the order of
/// the documents.
pub(in crate::wholesale) async fn billed_lines(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    credit_note: InvoiceId,
) -> Result<Vec<BilledLine>, Error> {
    let rows = sqlx::query!(
        // What is asked for is hidden from the planner, as in docs/decisions/lookups.md: it goes from cycle to cycle by `wholesale_invoice_lines_cycle`,
        // also where nearly all lines are of one reseller. The operator's number series is locked meanwhile.
        r#"with taken as materialized (
             select distinct c.reseller_id, c.item, lower(c.cycle) as starts_on from wholesale_invoice_lines c
             where c.reseller_id = (select $1::uuid) and c.invoice_id = (select $2::uuid) and c.amount_minor < 0)
           select l.invoice_id, l.tenant_id, l.item, lower(l.cycle) as "cycle!", lower(l.period) as "starts_on!",
             upper(l.period) as "ends_on!", l.price_id, l.tax_category, l.tax_rate::text as "tax_rate!", l.amount_minor
           from taken
           join wholesale_invoice_lines l on l.reseller_id = taken.reseller_id and l.item = taken.item
             and lower(l.cycle) = taken.starts_on
           join wholesale_invoices i on i.reseller_id = l.reseller_id and i.id = l.invoice_id
           where not exists (select from wholesale_unbilled_documents u where u.reseller_id = i.reseller_id and u.invoice_id = i.id)
           order by i.boundary, i.revision, l.invoice_id, l.position"#,
        reseller_id.uuid(),
        credit_note.uuid()
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let subject = Subject {
                issuer: OPERATOR,
                tenant_id: row.tenant_id.map(TenantId::from_uuid),
                cycle: OfCycle { item: row.item, starts_on: row.cycle },
                group: group(&row.tax_category, &row.tax_rate)?.beside_others(),
            };
            Ok(BilledLine {
                document: InvoiceId::from_uuid(row.invoice_id),
                subject,
                rate: (Some(PriceId::from_uuid(row.price_id)), UNDISCOUNTED),
                period: Span::new(row.starts_on, row.ends_on).ok_or(Error::Stored("period"))?,
                net_minor: row.amount_minor,
            })
        })
        .collect()
}

pub(in crate::wholesale) async fn insert_reference(
    tx: &mut SystemTx,
    credit_note: &NewInvoice<'_>,
    invoice: InvoiceId,
    amount_minor: i64,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into wholesale_credit_note_references (reseller_id, credit_note_id, invoice_id, amount_minor, by_lines)
         values ($1, $2, $3, $4, true)",
        credit_note.reseller_id.uuid(),
        credit_note.id.uuid(),
        invoice.uuid(),
        amount_minor,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Numbers and days of invoices.
pub(super) async fn names(tx: &mut SystemTx, ids: &[InvoiceId]) -> Result<Vec<(String, NaiveDate)>, Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select number, issued_on from wholesale_invoices where id = any ($1) order by id",
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(rows.into_iter().map(|row| (DocumentKind::Invoice.number(row.number), row.issued_on)).collect())
}

pub(in crate::wholesale) async fn reseller_of(
    tx: &mut SystemTx,
    id: InvoiceId,
) -> Result<Option<ResellerId>, db::Error> {
    let found = sqlx::query_scalar!("select reseller_id from wholesale_invoices where id = $1", id.uuid())
        .fetch_optional(tx.conn())
        .await?;
    Ok(found.map(ResellerId::from_uuid))
}

struct Row {
    id: Uuid,
    kind: String,
    number: i64,
    issuer_name: String,
    customer_name: String,
    currency: String,
    issued_on: NaiveDate,
    due_on: NaiveDate,
    net_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    issuer_profile: Option<serde_json::Value>,
    customer_profile: Option<serde_json::Value>,
    tax_rates_known: i64,
    boundary: Option<NaiveDate>,
    revision: Option<i32>,
    reason: Option<String>,
    is_unbilled: bool,
}

pub(in crate::wholesale) async fn find(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    id: InvoiceId,
) -> Result<Option<WholesaleInvoice>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, kind, number, issuer_name, customer_name, currency, issued_on, due_on, net_minor, tax_minor,
             total_minor, issuer_profile, customer_profile, tax_rates_known, boundary, revision, reason,
             exists (select from wholesale_unbilled_documents u
               where u.reseller_id = i.reseller_id and u.invoice_id = i.id) as "is_unbilled!"
           from wholesale_invoices i where reseller_id = $1 and id = $2"#,
        reseller_id.uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    Ok(with_lines(tx, reseller_id, vec![row]).await?.pop())
}

/// The reseller's documents that the filter leaves.
pub(crate) async fn list(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    filter: Filter,
    page: &PageRequest,
) -> Result<Vec<WholesaleInvoice>, Error> {
    // Which invoices are paid no row says.
    let settled: Vec<Uuid> = match filter.status {
        Some(Status::Final | Status::Paid) => {
            let receivables = Receivables::of_reseller(tx, reseller_id).await?;
            receivables.iter().filter(|one| one.due_minor == 0).map(|one| one.invoice.uuid()).collect()
        }
        _ => Vec::new(),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"select id, kind, number, issuer_name, customer_name, currency, issued_on, due_on, net_minor, tax_minor,
             total_minor, issuer_profile, customer_profile, tax_rates_known, boundary, revision, reason,
             u.is_unbilled as "is_unbilled!"
           from wholesale_invoices i cross join lateral (
             select exists (select from wholesale_unbilled_documents o
               where o.reseller_id = i.reseller_id and o.invoice_id = i.id) as is_unbilled) u
           where reseller_id = $1 and id > $2
             and case $4::text
               when 'draft' then false
               when 'void' then kind = 'invoice' and u.is_unbilled
               when 'paid' then kind = 'invoice' and not u.is_unbilled and id = any ($5)
               when 'final' then kind <> 'invoice' or (not u.is_unbilled and id <> all ($5))
               else true end
             and ($6::text is null or kind = $6) and ($7::date is null or issued_on >= $7) and ($8::date is null or issued_on < $8)
           order by id limit $3"#,
        reseller_id.uuid(),
        page.after(),
        page.fetch(),
        filter.status.map(Status::as_str),
        &settled,
        filter.kind.map(DocumentKind::as_str),
        filter.from,
        filter.until
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_lines(tx, reseller_id, rows).await
}

async fn with_lines(
    tx: &mut SystemTx,
    reseller_id: ResellerId,
    rows: Vec<Row>,
) -> Result<Vec<WholesaleInvoice>, Error> {
    let ids = rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let receivables = Receivables::of_reseller(tx, reseller_id).await?;
    let mut invoices = BTreeMap::new();
    for row in rows {
        invoices.insert(row.id, invoice(reseller_id, row, &receivables)?);
    }
    let lines = sqlx::query!(
        r#"select invoice_id, tenant_id, tenant_name, item, kind, description, lower(period) as "start!", upper(period) as "end!",
             quantity, seat_days, price_id, unit_price::text, amount_minor, rated_position, tax_category,
             tax_rate::text as "tax_rate!", lower(cycle) as "cycle!"
           from wholesale_invoice_lines where reseller_id = $1 and invoice_id = any ($2) order by invoice_id, position"#,
        reseller_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let Some(invoice) = invoices.get_mut(&row.invoice_id) else { continue };
        let tenant = row.tenant_id.zip(row.tenant_name);
        invoice.lines.push(WholesaleLine {
            tenant: tenant.map(|(id, name)| Named { id: TenantId::from_uuid(id), name }),
            description: row.description,
            item: row.item,
            kind: row.kind.parse().map_err(|_| Error::Stored("line kind"))?,
            period: Span::new(row.start, row.end).ok_or(Error::Stored("period"))?,
            quantity: row.quantity,
            seat_days: row.seat_days,
            price_id: PriceId::from_uuid(row.price_id),
            unit_price: unit_price(row.unit_price.as_deref())?,
            amount: Money::new(row.amount_minor, invoice.currency),
            tax: group(&row.tax_category, &row.tax_rate)?,
            rated_position: row.rated_position,
            cycle_starts_on: row.cycle,
        });
    }
    let taxes = sqlx::query!(
        r#"select invoice_id, category, rate::text as "rate!", taxable_minor, tax_minor, reason from wholesale_invoice_taxes
           where reseller_id = $1 and invoice_id = any ($2) order by invoice_id, category, rate"#,
        reseller_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in taxes {
        let Some(invoice) = invoices.get_mut(&row.invoice_id) else { continue };
        invoice.taxes.push(InvoiceTax {
            group: group(&row.category, &row.rate)?,
            taxable: Money::new(row.taxable_minor, invoice.currency),
            tax: Money::new(row.tax_minor, invoice.currency),
            reason: row.reason,
        });
    }
    let references = sqlx::query!(
        "select credit_note_id, invoice_id from wholesale_credit_note_references
         where reseller_id = $1 and credit_note_id = any ($2) order by credit_note_id, invoice_id",
        reseller_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in references {
        if let Some(credit_note) = invoices.get_mut(&row.credit_note_id) {
            credit_note.corrects.push(InvoiceId::from_uuid(row.invoice_id));
        }
    }
    Ok(invoices.into_values().collect())
}

fn unit_price(text: Option<&str>) -> Result<Option<UnitPrice>, Error> {
    text.map(|text| text.parse().map_err(|_| Error::Stored("unit price"))).transpose()
}

fn invoice(reseller_id: ResellerId, row: Row, receivables: &Receivables) -> Result<WholesaleInvoice, Error> {
    let kind: DocumentKind = row.kind.parse().map_err(|_| Error::Stored("document kind"))?;
    let id = InvoiceId::from_uuid(row.id);
    let is_owed = kind == DocumentKind::Invoice;
    let [paid_minor, credited_minor, due_minor] =
        if is_owed { receivables.parts_minor(id, row.total_minor) } else { [0; 3] };
    let status = Status::of_final(kind, row.is_unbilled, due_minor).as_str().to_owned();
    let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    Ok(WholesaleInvoice {
        id,
        number: kind.number(row.number),
        kind,
        issuer: Issuer {
            id: OPERATOR,
            name: row.issuer_name,
            profile: row.issuer_profile.map(read).transpose()?,
        },
        customer: Customer {
            id: reseller_id,
            name: row.customer_name,
            profile: row.customer_profile.map(read).transpose()?,
        },
        currency,
        issued_on: row.issued_on,
        due_on: row.due_on,
        status,
        reason: row.reason,
        billing: row.boundary.zip(row.revision).map(|(boundary, revision)| Billing { boundary, revision }),
        corrects: Vec::new(),
        lines: Vec::new(),
        taxes: Vec::new(),
        tax_rates_known: row.tax_rates_known,
        net: Money::new(row.net_minor, currency),
        tax: Money::new(row.tax_minor, currency),
        total: Money::new(row.total_minor, currency),
        paid: Money::new(paid_minor, currency),
        credited: Money::new(credited_minor, currency),
        due: Money::new(due_minor, currency),
    })
}
