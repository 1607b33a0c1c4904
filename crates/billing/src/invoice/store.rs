//! SQL of documents.

mod new;
pub(crate) mod unbilled;

use std::collections::BTreeMap;

use db::SystemRead;
use kernel::{InvoiceId, Money, OneOffItemId, PageRequest, PriceId, ResellerId, TenantId};
use sqlx::types::chrono::NaiveDate;
use tenancy::{OfTenants, TenantTx};
use uuid::Uuid;

use super::issued::{Issued, IssuedLine};
use super::tax::OfCycle;
use super::{
    Billing, Customer, DocumentKind, Filter, Invoice, InvoiceLine, InvoiceLineKind, InvoiceTax, Issuer,
    Status,
};
use crate::Error;
use crate::price_book::store::tax_behavior;
use crate::profile::store::read;
use crate::rating::{GroupTotal, Percentage, Span, TaxCategory, TaxGroup, TaxLine, UnitPrice};
use crate::receivable::Receivables;

pub(crate) use new::{
    Creditable, NewInvoice, NewLine, NewTax, Reference, billed_lines, creditable, insert, insert_lines,
    insert_references, insert_taxes,
};

/// What was billed of some cycles of tenants so far and how each issuer taxed it, and what the documents of each of these come to by
/// group: of those that count as billed.
pub(crate) async fn past(
    tx: &mut impl OfTenants,
    cycles: &[(TenantId, NaiveDate)],
) -> Result<BTreeMap<TenantId, Issued>, Error> {
    let mut all = BTreeMap::<TenantId, Issued>::new();
    let (tenants, days): (Vec<Uuid>, Vec<NaiveDate>) =
        cycles.iter().map(|(id, day)| (id.uuid(), *day)).unzip();
    let lines = sqlx::query!(
        r#"select l.tenant_id, l.item, lower(l.cycle) as "cycle!", l.tax_category, l.tax_rate::text as "tax_rate!", l.rated_minor,
             lower(l.period) as "starts_on!", upper(l.period) as "ends_on!", l.quantity, l.price_id,
             l.discount_percentage::text as "discount_percentage!", l.discount_off::text as "discount_off!", i.issuer_id
           from invoice_lines l join invoices i on i.tenant_id = l.tenant_id and i.id = l.invoice_id
           where l.tenant_id = any ($1) and exists (
               select from unnest($1::uuid[], $2::date[]) asked (tenant_id, day)
               where asked.tenant_id = l.tenant_id and asked.day = lower(l.cycle))
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           order by i.tenant_id, i.boundary, i.revision, i.id, l.position"#,
        &tenants,
        &days
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let line = TaxLine { group: group(&row.tax_category, &row.tax_rate)?, amount_minor: row.rated_minor };
        let issued = all.entry(TenantId::from_uuid(row.tenant_id)).or_default();
        let (issuer, cycle) =
            (ResellerId::from_uuid(row.issuer_id), OfCycle { item: row.item, starts_on: row.cycle });
        let issued_line = IssuedLine {
            issuer,
            rate: (
                row.price_id.map(PriceId::from_uuid),
                discount(&row.discount_percentage, &row.discount_off)?,
            ),
            period: Span::new(row.starts_on, row.ends_on).ok_or(Error::Stored("period"))?,
            quantity: row.quantity,
            rated_minor: row.rated_minor,
        };
        issued.take(cycle.clone(), issued_line);
        issued.pasts.entry(issuer).or_default().history.cycles.entry(cycle).or_default().push(line);
    }
    let groups = sqlx::query!(
        r#"select t.tenant_id, i.issuer_id, t.category, t.rate::text as "rate!", sum(t.taxable_minor)::bigint as "taxable!",
             sum(t.tax_minor)::bigint as "tax!",
             (array_agg(t.reason order by i.boundary desc, i.revision desc))[1] as reason
           from invoice_taxes t join invoices i on i.tenant_id = t.tenant_id and i.id = t.invoice_id
           where t.tenant_id = any ($1)
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           group by t.tenant_id, i.issuer_id, t.category, t.rate order by t.tenant_id, max(i.boundary)"#,
        &tenants
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in groups {
        let group = group(&row.category, &row.rate)?;
        let issued = all.entry(TenantId::from_uuid(row.tenant_id)).or_default();
        let past = issued.pasts.entry(ResellerId::from_uuid(row.issuer_id)).or_default();
        past.add(GroupTotal { group, taxable_minor: row.taxable, tax_minor: row.tax }, row.reason);
    }
    Ok(all)
}

/// The discount that a line was rated at, as its columns hold it.
pub(crate) fn discount(percentage: &str, off: &str) -> Result<(Percentage, UnitPrice), Error> {
    let percentage = percentage.parse().map_err(|_| Error::Stored("discount"))?;
    Ok((percentage, off.parse().map_err(|_| Error::Stored("discount"))?))
}

pub(crate) fn group(category: &str, rate: &str) -> Result<TaxGroup, Error> {
    let category = TaxCategory::from_code(category).ok_or(Error::Stored("category of tax"))?;
    let rate = rate.parse().map_err(|_| Error::Stored("rate of tax"))?;
    TaxGroup::new(category, rate).map_err(|_| Error::Stored("rate of tax"))
}

/// Numbers and days of invoices.
pub(super) async fn names(tx: &mut TenantTx, ids: &[InvoiceId]) -> Result<Vec<(String, NaiveDate)>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select number as "number!", issued_on from invoices where tenant_id = $1 and id = any ($2) and status = 'final'
           order by id"#,
        tenant_id,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(rows.into_iter().map(|row| (DocumentKind::Invoice.number(row.number), row.issued_on)).collect())
}

/// The tenant of a document, and who issued it.
pub(crate) async fn place_of(
    read: &mut SystemRead,
    id: InvoiceId,
) -> Result<Option<(TenantId, ResellerId)>, db::Error> {
    // A draft that was discarded is kept for verifying, and found no more.
    let row = sqlx::query!(
        "select tenant_id, issuer_id from invoices i where id = $1 and (status = 'final' or not exists (
           select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id))",
        id.uuid()
    )
    .fetch_optional(read.conn())
    .await?;
    Ok(row.map(|row| (TenantId::from_uuid(row.tenant_id), ResellerId::from_uuid(row.issuer_id))))
}

/// An issuer as it was on its last document for the tenant.
pub(crate) async fn last_issuer(
    tx: &mut impl OfTenants,
    tenant_id: TenantId,
    id: ResellerId,
) -> Result<Option<Issuer>, Error> {
    let row = sqlx::query!(
        "select issuer_name, issuer_profile from invoices where tenant_id = $1 and issuer_id = $2
         order by id desc limit 1",
        tenant_id.uuid(),
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some(row) = row else { return Ok(None) };
    let profile = row.issuer_profile.map(read).transpose()?;
    Ok(Some(Issuer { id, name: row.issuer_name, profile }))
}

struct Row {
    id: Uuid,
    kind: String,
    issuer_id: Uuid,
    number: Option<i64>,
    issuer_name: String,
    customer_name: String,
    currency: String,
    issued_on: NaiveDate,
    due_on: NaiveDate,
    status: String,
    net_minor: i64,
    tax_minor: i64,
    total_minor: i64,
    issuer_profile: Option<serde_json::Value>,
    customer_profile: Option<serde_json::Value>,
    tax_behavior: String,
    tax_rates_known: i64,
    boundary: Option<NaiveDate>,
    revision: Option<i32>,
    reason: Option<String>,
    is_unbilled: bool,
}

pub(crate) async fn find(tx: &mut TenantTx, id: InvoiceId) -> Result<Option<Invoice>, Error> {
    Ok(of_ids(tx, &[id]).await?.pop())
}

/// Those of the tenant's documents, by id.
pub(crate) async fn of_ids(tx: &mut TenantTx, ids: &[InvoiceId]) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, status, net_minor,
             tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known, boundary, revision, reason,
             exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id) as "is_unbilled!"
           from invoices i where tenant_id = $1 and id = any ($2) order by id"#,
        tenant_id,
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_lines(tx, rows).await
}

/// The tenant's documents that the filter leaves, with the drafts that were discarded or without.
pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: Filter,
    page: &PageRequest,
    discarded_too: bool,
) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    // Which invoices are paid no row says.
    let settled: Vec<Uuid> = match filter.status {
        Some(Status::Final | Status::Paid) => {
            let receivables = Receivables::read(tx).await?;
            receivables.iter().filter(|one| one.due_minor == 0).map(|one| one.invoice.uuid()).collect()
        }
        _ => Vec::new(),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"select id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, status, net_minor,
             tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known, boundary, revision, reason,
             u.invoice_id is not null as "is_unbilled!"
           from invoices i left join unbilled_documents u on u.tenant_id = i.tenant_id and u.invoice_id = i.id
           where i.tenant_id = $1 and id > $2 and (status = 'final' or u.invoice_id is null or $4)
             and case $5::text
               when 'draft' then status = 'draft'
               when 'void' then kind = 'invoice' and status = 'final' and u.invoice_id is not null
               when 'paid' then kind = 'invoice' and status = 'final' and u.invoice_id is null and id = any ($6)
               when 'final' then status = 'final' and (kind <> 'invoice' or (u.invoice_id is null and id <> all ($6)))
               else true end
             and ($7::text is null or kind = $7) and ($8::date is null or issued_on >= $8) and ($9::date is null or issued_on < $9)
           order by id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        discarded_too,
        filter.status.map(Status::as_str),
        &settled,
        filter.kind.map(DocumentKind::as_str),
        filter.from,
        filter.until
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    with_lines(tx, rows).await
}

async fn with_lines(tx: &mut TenantTx, rows: Vec<Row>) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id();
    let ids = rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let receivables = Receivables::read(tx).await?;
    let mut invoices = BTreeMap::new();
    for row in rows {
        invoices.insert(row.id, invoice(tenant_id, row, &receivables)?);
    }
    let lines = sqlx::query!(
        r#"select invoice_id, item, kind, description, lower(period) as "start!", upper(period) as "end!", quantity,
             seat_days, price_id, unit_price::text, amount_minor, rated_position, rated_minor, tax_category,
             tax_rate::text as "tax_rate!", lower(cycle) as "cycle!", one_off_item_id,
             discount_percentage::text as "discount_percentage!", discount_off::text as "discount_off!"
           from invoice_lines where tenant_id = $1 and invoice_id = any ($2) order by invoice_id, position"#,
        tenant_id.uuid(),
        &ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let Some(invoice) = invoices.get_mut(&row.invoice_id) else { continue };
        let unit_price = row.unit_price.as_deref().map(str::parse).transpose();
        invoice.lines.push(InvoiceLine {
            description: row.description,
            item: row.item,
            kind: InvoiceLineKind::from_name(&row.kind).ok_or(Error::Stored("line kind"))?,
            period: Span::new(row.start, row.end).ok_or(Error::Stored("period"))?,
            quantity: row.quantity,
            seat_days: row.seat_days,
            price_id: row.price_id.map(PriceId::from_uuid),
            unit_price: unit_price.map_err(|_| Error::Stored("unit price"))?,
            amount: Money::new(row.amount_minor, invoice.currency),
            tax: group(&row.tax_category, &row.tax_rate)?,
            rated_position: row.rated_position,
            rated: Money::new(row.rated_minor, invoice.currency),
            cycle_starts_on: row.cycle,
            one_off_item_id: row.one_off_item_id.map(OneOffItemId::from_uuid),
            discount: discount(&row.discount_percentage, &row.discount_off)?,
        });
    }
    add_taxes(tx, &ids, &mut invoices).await?;
    add_references(tx, &ids, &mut invoices).await?;
    Ok(invoices.into_values().collect())
}

async fn add_taxes(
    tx: &mut TenantTx,
    ids: &[Uuid],
    invoices: &mut BTreeMap<Uuid, Invoice>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let taxes = sqlx::query!(
        r#"select invoice_id, category, rate::text as "rate!", taxable_minor, tax_minor, reason from invoice_taxes
           where tenant_id = $1 and invoice_id = any ($2) order by invoice_id, rate desc, category"#,
        tenant_id,
        ids
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
    Ok(())
}

async fn add_references(
    tx: &mut TenantTx,
    ids: &[Uuid],
    invoices: &mut BTreeMap<Uuid, Invoice>,
) -> Result<(), Error> {
    let tenant_id = tx.tenant_id().uuid();
    let references = sqlx::query!(
        "select credit_note_id, invoice_id from credit_note_references
         where tenant_id = $1 and credit_note_id = any ($2) order by credit_note_id, invoice_id",
        tenant_id,
        ids
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in references {
        if let Some(credit_note) = invoices.get_mut(&row.credit_note_id) {
            credit_note.corrects.push(InvoiceId::from_uuid(row.invoice_id));
        }
    }
    Ok(())
}

fn invoice(tenant_id: TenantId, row: Row, receivables: &Receivables) -> Result<Invoice, Error> {
    let kind: DocumentKind = row.kind.parse().map_err(|_| Error::Stored("document kind"))?;
    let id = InvoiceId::from_uuid(row.id);
    let is_owed = kind == DocumentKind::Invoice && row.number.is_some();
    let [paid_minor, credited_minor, due_minor] =
        if is_owed { receivables.parts_minor(id, row.total_minor) } else { [0; 3] };
    let status = match row.number {
        Some(_) => Status::of_final(kind, row.is_unbilled, due_minor).as_str().to_owned(),
        // Kept for verifying, and found by nobody else.
        None if row.is_unbilled => "discarded".to_owned(),
        None => row.status,
    };
    let currency = row.currency.parse().map_err(|_| Error::Stored("currency"))?;
    Ok(Invoice {
        id,
        number: row.number.map(|number| kind.number(number)),
        kind,
        issuer: Issuer {
            id: ResellerId::from_uuid(row.issuer_id),
            name: row.issuer_name,
            profile: row.issuer_profile.map(read).transpose()?,
        },
        customer: Customer {
            id: tenant_id,
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
        tax_behavior: tax_behavior(&row.tax_behavior)?,
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
