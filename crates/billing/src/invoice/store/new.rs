//! SQL of making documents: of one, or of hundreds of customers at once.

use std::collections::BTreeMap;

use kernel::{Currency, InvoiceId, OneOffItemId, PriceId, ResellerId, TenantId};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, NaiveDate, Utc};
use tenancy::OfTenants;
use uuid::Uuid;

use super::{discount, group};
use crate::Error;
use crate::by_tenant::by_tenant;
use crate::invoice::corrected::{BilledLine, Subject};
use crate::invoice::tax::OfCycle;
use crate::invoice::{Billing, Customer, DocumentKind, InvoiceLine, Issuer};
use crate::ledger::Posting;
use crate::rating::{Cycle, GroupTotal, PriceBasis, Span, Totals};

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

/// Documents; each customer is one of the transaction's tenants.
pub(crate) async fn insert(tx: &mut impl OfTenants, new: &[NewInvoice<'_>]) -> Result<(), Error> {
    let issuers = new.iter().map(|one| column(one.issuer.profile.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let customers =
        new.iter().map(|one| column(one.customer.profile.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let texts = |text: for<'a> fn(&'a NewInvoice<'a>) -> &'a str| {
        new.iter().map(|one| text(one).to_owned()).collect::<Vec<_>>()
    };
    let minor = |minor: fn(&NewInvoice<'_>) -> i64| new.iter().map(minor).collect::<Vec<_>>();
    let ids = |id: fn(&NewInvoice<'_>) -> Uuid| new.iter().map(id).collect::<Vec<_>>();
    let days = |day: fn(&NewInvoice<'_>) -> NaiveDate| new.iter().map(day).collect::<Vec<_>>();
    sqlx::query!(
        "insert into invoices (tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on,
           due_on, net_minor, tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known,
           finalized_at, status, boundary, revision, reason)
         select tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, net_minor,
           tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known, finalized_at,
           case when finalized_at is null then 'draft' else 'final' end, boundary, revision, reason
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::text[],
           $9::date[], $10::date[], $11::bigint[], $12::bigint[], $13::bigint[], $14::jsonb[], $15::jsonb[], $16::text[],
           $17::bigint[], $18::timestamptz[], $19::date[], $20::integer[], $21::text[])
           new (tenant_id, id, kind, issuer_id, number, issuer_name, customer_name, currency, issued_on, due_on, net_minor,
             tax_minor, total_minor, issuer_profile, customer_profile, tax_behavior, tax_rates_known, finalized_at, boundary,
             revision, reason)",
        &ids(|one| one.customer.id.uuid()),
        &ids(|one| one.id.uuid()),
        &texts(|one| one.kind.as_str()),
        &ids(|one| one.issuer.id.uuid()),
        &new.iter().map(|one| one.finalized.map(|(number, _)| number)).collect::<Vec<_>>() as &[Option<i64>],
        &texts(|one| &one.issuer.name),
        &texts(|one| &one.customer.name),
        &texts(|one| one.currency.code()),
        &days(|one| one.issued_on),
        &days(|one| one.due_on),
        &minor(|one| one.totals.net_minor),
        &minor(|one| one.totals.tax_minor),
        &minor(|one| one.totals.total_minor),
        &issuers as &[Option<serde_json::Value>],
        &customers as &[Option<serde_json::Value>],
        &texts(|one| one.tax_behavior.as_str()),
        &minor(|one| one.tax_rates_known),
        &new.iter().map(|one| one.finalized.map(|(_, at)| at)).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &new.iter().map(|one| one.billing.map(|of| of.boundary)).collect::<Vec<_>>() as &[Option<NaiveDate>],
        &new.iter().map(|one| one.billing.map(|of| of.revision)).collect::<Vec<_>>() as &[Option<i32>],
        &new.iter().map(|one| one.reason.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(())
}

/// A profile as it is stored with a document.
fn column(profile: Option<&impl Serialize>) -> Result<Option<serde_json::Value>, Error> {
    profile.map(serde_json::to_value).transpose().map_err(|_| Error::Stored("billing profile"))
}

/// A line to be written.
#[derive(Debug)]
pub(crate) struct NewLine {
    pub(crate) tenant_id: TenantId,
    pub(crate) invoice_id: InvoiceId,
    pub(crate) position: i32,
    pub(crate) line: InvoiceLine,
    pub(crate) cycle: Cycle,
}

pub(crate) async fn insert_lines(tx: &mut impl OfTenants, new: &[NewLine]) -> Result<(), db::Error> {
    let ids = |id: fn(&NewLine) -> Uuid| new.iter().map(id).collect::<Vec<_>>();
    let days = |day: fn(&NewLine) -> NaiveDate| new.iter().map(day).collect::<Vec<_>>();
    let texts = |text: fn(&NewLine) -> String| new.iter().map(text).collect::<Vec<_>>();
    let counts = |count: fn(&NewLine) -> i64| new.iter().map(count).collect::<Vec<_>>();
    let unit_price = |one: &NewLine| one.line.unit_price.map(|unit_price| unit_price.to_string());
    sqlx::query!(
        "insert into invoice_lines (tenant_id, invoice_id, position, item, kind, description, period, cycle, whole, quantity,
           seat_days, price_id, unit_price, amount_minor, rated_position, rated_minor, tax_category, tax_rate,
           one_off_item_id, discount_percentage, discount_off)
         select tenant_id, invoice_id, position, item, kind, description, daterange(period_start, period_end),
           daterange(cycle_start, cycle_end), daterange(whole_start, whole_end), quantity, seat_days, price_id,
           unit_price::numeric, amount_minor, rated_position, rated_minor, tax_category, tax_rate::numeric, one_off_item_id,
           discount_percentage::numeric, discount_off::numeric
         from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::date[], $8::date[],
           $9::date[], $10::date[], $11::date[], $12::date[], $13::bigint[], $14::bigint[], $15::uuid[], $16::text[],
           $17::bigint[], $18::integer[], $19::bigint[], $20::text[], $21::text[], $22::uuid[], $23::text[], $24::text[])
           new (tenant_id, invoice_id, position, item, kind, description, period_start, period_end, cycle_start, cycle_end,
             whole_start, whole_end, quantity, seat_days, price_id, unit_price, amount_minor, rated_position, rated_minor,
             tax_category, tax_rate, one_off_item_id, discount_percentage, discount_off)",
        &ids(|one| one.tenant_id.uuid()),
        &ids(|one| one.invoice_id.uuid()),
        &new.iter().map(|one| one.position).collect::<Vec<_>>(),
        &texts(|one| one.line.item.clone()),
        &texts(|one| one.line.kind.as_str().to_owned()),
        &texts(|one| one.line.description.clone()),
        &days(|one| one.line.period.start()),
        &days(|one| one.line.period.end()),
        &days(|one| one.cycle.charged.start()),
        &days(|one| one.cycle.charged.end()),
        &days(|one| one.cycle.whole.start()),
        &days(|one| one.cycle.whole.end()),
        &counts(|one| one.line.quantity),
        &counts(|one| one.line.seat_days),
        &new.iter().map(|one| one.line.price_id.map(PriceId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &new.iter().map(unit_price).collect::<Vec<_>>() as &[Option<String>],
        &counts(|one| one.line.amount.amount_minor),
        &new.iter().map(|one| one.line.rated_position).collect::<Vec<_>>(),
        &counts(|one| one.line.rated.amount_minor),
        &texts(|one| one.line.tax.category().code().to_owned()),
        &texts(|one| one.line.tax.rate().to_string()),
        &new.iter().map(|one| one.line.one_off_item_id.map(OneOffItemId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &texts(|one| one.line.discount.0.to_string()),
        &texts(|one| one.line.discount.1.to_string()),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The tax of a group of a document, to be written.
#[derive(Debug)]
pub(crate) struct NewTax<'a> {
    pub(crate) tenant_id: TenantId,
    pub(crate) invoice_id: InvoiceId,
    pub(crate) total: &'a GroupTotal,
    pub(crate) reason: Option<&'a str>,
}

pub(crate) async fn insert_taxes(tx: &mut impl OfTenants, new: &[NewTax<'_>]) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into invoice_taxes (tenant_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)
         select tenant_id, invoice_id, category, rate::numeric, taxable_minor, tax_minor, reason
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
           new (tenant_id, invoice_id, category, rate, taxable_minor, tax_minor, reason)",
        &new.iter().map(|one| one.tenant_id.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.invoice_id.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.total.group.category().code().to_owned()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.total.group.rate().to_string()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.total.taxable_minor).collect::<Vec<_>>(),
        &new.iter().map(|one| one.total.tax_minor).collect::<Vec<_>>(),
        &new.iter().map(|one| one.reason.map(str::to_owned)).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A final invoice of which something has not been credited yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Creditable {
    pub(crate) invoice: InvoiceId,
    pub(crate) issuer: ResellerId,
    pub(crate) issued_on: NaiveDate,
    pub(crate) left_minor: i64,
}

/// Those of each tenant, the newest first.
pub(crate) async fn creditable(
    tx: &mut impl OfTenants,
    of: &[TenantId],
) -> Result<BTreeMap<TenantId, Vec<Creditable>>, db::Error> {
    let asked: Vec<Uuid> = of.iter().map(|id| id.uuid()).collect();
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        r#"select tenant_id, id, issuer_id, issued_on, "left" as "left!" from (
             select i.tenant_id, i.id, i.issuer_id, i.issued_on, i.total_minor - coalesce((
               select sum(r.amount_minor) from credit_note_references r
               where r.tenant_id = i.tenant_id and r.invoice_id = i.id), 0)::bigint as "left"
             from invoices i
             where i.tenant_id = any ($1) and i.tenant_id = any ($2) and i.kind = 'invoice' and i.status = 'final') open
           where "left" > 0 order by tenant_id, issued_on desc, id desc"#,
        &tenants,
        &asked
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(by_tenant(rows.into_iter().map(|row| {
        let (invoice, issuer) = (InvoiceId::from_uuid(row.id), ResellerId::from_uuid(row.issuer_id));
        let (issued_on, left_minor) = (row.issued_on, row.left);
        (TenantId::from_uuid(row.tenant_id), Creditable { invoice, issuer, issued_on, left_minor })
    })))
}

/// What final documents that count as billed charge and take back of the cycles of which these credit notes of tenants take something back, each
/// line with what is off it; in the order of the documents.
pub(crate) async fn billed_lines(
    tx: &mut impl OfTenants,
    credit_notes: &[(TenantId, InvoiceId)],
) -> Result<Vec<BilledLine>, Error> {
    let of: Vec<Uuid> = credit_notes.iter().map(|(tenant, _)| tenant.uuid()).collect();
    let notes: Vec<Uuid> = credit_notes.iter().map(|(_, note)| note.uuid()).collect();
    let tenants = tx.tenant_ids();
    let rows = sqlx::query!(
        // What is asked for is hidden from the planner, as in docs/decisions/lookups.md: it goes from cycle to cycle by `invoice_lines_cycle`, in which
        // those that begin on a day stand together, and not through all lines of a tenant.
        r#"with notes as materialized (
             select * from unnest((select $2::uuid[]), (select $3::uuid[])) as notes (tenant_id, invoice_id)
             where notes.tenant_id = any ($1)),
           taken as materialized (
             select distinct c.tenant_id, c.item, lower(c.cycle) as starts_on
             from notes join invoice_lines c on c.tenant_id = notes.tenant_id and c.invoice_id = notes.invoice_id
             where c.amount_minor < 0)
           select l.tenant_id, l.invoice_id, i.issuer_id, l.item, lower(l.cycle) as "cycle!", lower(l.period) as "starts_on!",
             upper(l.period) as "ends_on!", l.price_id, l.discount_percentage::text as "discount_percentage!",
             l.discount_off::text as "discount_off!", l.tax_category, l.tax_rate::text as "tax_rate!",
             sum(l.amount_minor)::bigint as "net_minor!"
           from taken
           join invoice_lines l on l.tenant_id = taken.tenant_id and l.item = taken.item
             and l.cycle between daterange(taken.starts_on, taken.starts_on + 1) and daterange(taken.starts_on, null)
           join invoices i on i.tenant_id = l.tenant_id and i.id = l.invoice_id
           where i.status = 'final'
             and not exists (select from unbilled_documents u where u.tenant_id = i.tenant_id and u.invoice_id = i.id)
           group by l.tenant_id, i.boundary, i.revision, i.issuer_id, l.invoice_id, l.rated_position, l.item, l.cycle, l.period,
             l.price_id, l.discount_percentage, l.discount_off, l.tax_category, l.tax_rate
           order by l.tenant_id, i.boundary, i.revision, i.issuer_id, l.invoice_id, l.rated_position"#,
        &tenants,
        &of,
        &notes
    )
    .fetch_all(tx.conn())
    .await
    .map_err(db::Error::from)?;
    rows.into_iter()
        .map(|row| {
            let subject = Subject {
                issuer: ResellerId::from_uuid(row.issuer_id),
                tenant_id: Some(TenantId::from_uuid(row.tenant_id)),
                cycle: OfCycle { item: row.item, starts_on: row.cycle },
                group: group(&row.tax_category, &row.tax_rate)?.beside_others(),
            };
            let off = discount(&row.discount_percentage, &row.discount_off)?;
            Ok(BilledLine {
                document: InvoiceId::from_uuid(row.invoice_id),
                subject,
                rate: (row.price_id.map(PriceId::from_uuid), off),
                period: Span::new(row.starts_on, row.ends_on).ok_or(Error::Stored("period"))?,
                net_minor: row.net_minor,
            })
        })
        .collect()
}

/// How much of an invoice a credit note takes back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) tenant_id: TenantId,
    pub(crate) credit_note: InvoiceId,
    pub(crate) invoice: InvoiceId,
    pub(crate) amount_minor: i64,
}

pub(crate) async fn insert_references(tx: &mut impl OfTenants, new: &[Reference]) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into credit_note_references (tenant_id, credit_note_id, invoice_id, amount_minor, by_lines)
         select *, true from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[])",
        &new.iter().map(|one| one.tenant_id.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.credit_note.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.invoice.uuid()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.amount_minor).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
