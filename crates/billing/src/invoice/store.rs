//! SQL of documents.

pub(crate) mod unbilled;

use std::collections::BTreeMap;

use db::SystemTx;
use kernel::{Currency, InvoiceId, Money, OneOffItemId, PageRequest, PriceId, ResellerId, TenantId};
use sqlx::types::Json;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::TenantTx;
use uuid::Uuid;

use super::tax::Past;
use super::{Billing, Customer, DocumentKind, Invoice, InvoiceLine, InvoiceLineKind, InvoiceTax, Issuer};
use crate::Error;
use crate::ledger::Posting;
use crate::price_book::store::tax_behavior;
use crate::profile::store::read;
use crate::rating::{
    Cycle, GroupTotal, Percentage, PriceBasis, Span, TaxCategory, TaxGroup, TaxLine, Totals, UnitPrice,
};
use crate::receivable::Receivables;

/// A document to be written.
#[derive(Debug)]
pub(crate) struct NewInvoice<'a> {
    pub(crate) id: InvoiceId,
    pub(crate) kind: DocumentKind,
    pub(crate) issuer: &'a Issuer,
    pub(crate) customer: &'a Customer,
    pub(crate) currency: Currency,
    pub(crate) billing: Option<Billing>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) issued_on: NaiveDate,
    pub(crate) due_on: NaiveDate,
    pub(crate) totals: &'a Totals,
    pub(crate) tax_behavior: PriceBasis,
    pub(crate) tax_rates_known: i64,
    /// Its number and the moment; `None`: it is a draft.
    pub(crate) finalized: Option<(i64, DateTime<Utc>)>,
}

impl NewInvoice<'_> {
    /// What is posted of it when it is final.
    pub(crate) fn posting(&self, posted_at: DateTime<Utc>) -> Posting {
        Posting {
            document: self.id,
            kind: self.kind,
            issuer: self.issuer.id,
            currency: self.currency,
            net_minor: self.totals.net_minor,
            tax_minor: self.totals.tax_minor,
            effective_on: self.issued_on,
            posted_at,
        }
    }
}

pub(crate) async fn insert(tx: &mut TenantTx, new: &NewInvoice<'_>) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let (number, finalized_at) = new.finalized.unzip();
    sqlx::query!(
        "insert into invoices (tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on,
           due_on, net_minor, tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known,
           finalized_at, status, boundary, revision, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
        tenant_id,
        new.id.uuid(),
        new.kind.as_str(),
        new.issuer.id.uuid(),
        number,
        new.issuer.name,
        new.customer.name,
        new.currency.code(),
        new.issued_on,
        new.due_on,
        new.totals.net_minor,
        new.totals.tax_minor,
        new.totals.total_minor,
        new.issuer.profile.as_ref().map(Json) as _,
        new.customer.profile.as_ref().map(Json) as _,
        new.tax_behavior.as_str(),
        new.tax_rates_known,
        finalized_at,
        if new.finalized.is_some() { "final" } else { "draft" },
        new.billing.map(|billing| billing.boundary),
        new.billing.map(|billing| billing.revision),
        new.reason,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn insert_line(
    tx: &mut TenantTx,
    invoice_id: InvoiceId,
    position: i32,
    line: &InvoiceLine,
    cycle: Cycle,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into invoice_lines (tenant_id, invoice_id, position, item, kind, description, period, cycle, whole, quantity,
           seat_days, price_id, unit_price, amount_minor, rated_position, rated_minor, tax_category, tax_rate,
           one_off_item_id, discount_percentage, discount_off)
         values ($1, $2, $3, $4, $5, $6, daterange($7, $8), daterange($9, $10), daterange($11, $12), $13, $14, $15,
           $16::text::numeric, $17, $18, $19, $20, $21::text::numeric, $22, $23::text::numeric, $24::text::numeric)",
        tenant_id,
        invoice_id.uuid(),
        position,
        line.item,
        line.kind.as_str(),
        line.description,
        line.period.start(),
        line.period.end(),
        cycle.charged.start(),
        cycle.charged.end(),
        cycle.whole.start(),
        cycle.whole.end(),
        line.quantity,
        line.seat_days,
        line.price_id.map(PriceId::uuid),
        line.unit_price.map(|unit_price| unit_price.to_string()),
        line.amount.amount_minor,
        line.rated_position,
        line.rated.amount_minor,
        line.tax.category().code(),
        line.tax.rate().to_string(),
        line.one_off_item_id.map(OneOffItemId::uuid),
        line.discount.0.to_string(),
        line.discount.1.to_string(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn insert_tax(
    tx: &mut TenantTx,
    invoice_id: InvoiceId,
    total: &GroupTotal,
    reason: Option<&str>,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into invoice_taxes (tenant_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
         values ($1, $2, $3, $4::text::numeric, $5, $6, $7)",
        tenant_id,
        invoice_id.uuid(),
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
pub(crate) async fn past(tx: &mut TenantTx, cycles: &[NaiveDate]) -> Result<Past, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let mut past = Past::default();
    let lines = sqlx::query!(
        r#"select lower(l.cycle) as "cycle!", l.tax_category, l.tax_rate::text as "tax_rate!", l.rated_minor
           from invoice_lines l join invoices i on i.tenant_id = l.tenant_id and i.id = l.invoice_id
           where l.tenant_id = $1 and lower(l.cycle) = any ($2)
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           order by i.boundary, i.revision, l.position"#,
        tenant_id,
        cycles
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in lines {
        let line = TaxLine { group: group(&row.tax_category, &row.tax_rate)?, amount_minor: row.rated_minor };
        past.history.cycles.entry(row.cycle).or_default().push(line);
    }
    let groups = sqlx::query!(
        r#"select t.category, t.rate::text as "rate!", sum(t.taxable_minor)::bigint as "taxable!", sum(t.tax_minor)::bigint as "tax!",
             (array_agg(t.reason order by i.boundary desc, i.revision desc))[1] as reason
           from invoice_taxes t join invoices i on i.tenant_id = t.tenant_id and i.id = t.invoice_id
           where t.tenant_id = $1
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           group by t.category, t.rate order by max(i.boundary)"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    for row in groups {
        let group = group(&row.category, &row.rate)?;
        past.history.groups.push(GroupTotal { group, taxable_minor: row.taxable, tax_minor: row.tax });
        if let Some(reason) = row.reason {
            past.reasons.insert(group.beside_others(), reason);
        }
    }
    Ok(past)
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

/// The final invoices of which something has not been credited yet, the newest first, with how much.
pub(crate) async fn creditable(tx: &mut TenantTx) -> Result<Vec<(InvoiceId, i64)>, db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query!(
        r#"select id, "left" as "left!" from (
             select i.id, i.issued_on, i.total_minor - coalesce((
               select sum(r.amount_minor) from credit_note_references r
               where r.tenant_id = i.tenant_id and r.invoice_id = i.id), 0)::bigint as "left"
             from invoices i where i.tenant_id = $1 and i.kind = 'invoice' and i.status = 'final') open
           where "left" > 0 order by issued_on desc"#,
        tenant_id
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (InvoiceId::from_uuid(row.id), row.left)).collect())
}

pub(crate) async fn insert_reference(
    tx: &mut TenantTx,
    credit_note: InvoiceId,
    invoice: InvoiceId,
    amount_minor: i64,
) -> Result<(), db::Error> {
    let tenant_id = tx.tenant_id().uuid();
    sqlx::query!(
        "insert into credit_note_references (tenant_id, credit_note_id, invoice_id, amount_minor) values ($1, $2, $3, $4)",
        tenant_id,
        credit_note.uuid(),
        invoice.uuid(),
        amount_minor,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
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

pub(super) async fn tenant_of(tx: &mut SystemTx, id: InvoiceId) -> Result<Option<TenantId>, db::Error> {
    // A draft that was discarded is kept for verifying, and found no more.
    let found = sqlx::query_scalar!(
        "select tenant_id from invoices i where id = $1 and (status = 'final' or not exists (
           select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id))",
        id.uuid()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.map(TenantId::from_uuid))
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

/// The tenant's documents, with the drafts that were discarded or without.
pub(crate) async fn list(
    tx: &mut TenantTx,
    page: &PageRequest,
    discarded_too: bool,
) -> Result<Vec<Invoice>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let rows = sqlx::query_as!(
        Row,
        r#"select id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, status, net_minor,
             tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known, boundary, revision, reason,
             u.invoice_id is not null as "is_unbilled!"
           from invoices i left join unbilled_documents u on u.tenant_id = i.tenant_id and u.invoice_id = i.id
           where i.tenant_id = $1 and id > $2 and (status = 'final' or u.invoice_id is null or $4) order by id limit $3"#,
        tenant_id,
        page.after(),
        page.fetch(),
        discarded_too
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
    let kind = DocumentKind::from_name(&row.kind).ok_or(Error::Stored("document kind"))?;
    let id = InvoiceId::from_uuid(row.id);
    let is_owed = kind == DocumentKind::Invoice && row.status == "final";
    let due_minor = if is_owed { receivables.due_minor(id) } else { 0 };
    let paid_minor = if is_owed { row.total_minor - due_minor } else { 0 };
    let status = match is_owed {
        true if row.is_unbilled => "void".to_owned(),
        true if due_minor == 0 => "paid".to_owned(),
        // Kept for verifying, and found by nobody else.
        false if row.number.is_none() && row.is_unbilled => "discarded".to_owned(),
        _ => row.status,
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
        due: Money::new(due_minor, currency),
    })
}
