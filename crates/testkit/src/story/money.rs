//! Prices, sandbox time, seats that come and go, and invoices checked against what is computed here by hand.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Months, NaiveDate, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Story;
use super::portal::{Customer, Request, SEATS, list_all, number, text};

/// A mailbox for a month: 4.99 EUR.
const MONTH_MINOR: i64 = 499;
/// A mailbox for a year: 47.90 EUR.
const YEAR_MINOR: i64 = 4_790;
/// Users of the annual tenant from the first day on.
const ANNUAL_SEATS: i64 = 2;
/// On this day of the month the monthly tenant gets a sixth seat, and the annual one a third.
const ADDED_ON_DAY: i64 = 10;
/// On this day the monthly tenant loses one; the day itself is still charged.
const REMOVED_ON_DAY: i64 = 20;
const RUN_PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// `amount × part ÷ whole`, rounded once, half away from zero.
fn share(amount_minor: i64, part: i64, whole: i64) -> i64 {
    (2 * amount_minor * part + whole) / (2 * whole)
}

impl Story {
    pub(super) async fn publish_prices(&mut self) -> Result<()> {
        let price = |interval: &str, unit_price: &str| {
            json!({
                "item": "mailbox", "interval": interval, "model": "flat", "unit_price": unit_price,
                "currency": "EUR", "removal_policy": "credit_to_balance",
            })
        };
        let book = json!({ "prices": [price("month", "4.99000000"), price("year", "47.90000000")] });
        let book = self.portal()?.post("/v1/price-books", &book).await?.expect(201)?;
        self.price_book = text(&book, "id")?;
        let prices = "a mailbox is 4.99 EUR a month or 47.90 EUR a year, removals are credited";
        self.teller.step(
            &format!("price book version {}", book["version"]),
            format_args!("{}: {prices}", self.price_book),
        );
        Ok(())
    }

    pub(super) async fn set_clock(&self, tenant_id: &str, now: DateTime<Utc>) -> Result<()> {
        let path = format!("/v1/tenants/{tenant_id}/test-clock");
        let tenant = self.portal()?.put(&path, &json!({ "now": now })).await?.expect(200)?;
        let clock = text(&tenant, "test_clock")?.parse::<DateTime<Utc>>()?;
        ensure!(clock == now, "the clock stands at {clock} and not at {now}");
        Ok(())
    }

    pub(super) async fn subscribe(&self, tenant_id: &str, interval: &str) -> Result<()> {
        let path = format!("/v1/tenants/{tenant_id}/subscription");
        let body = json!({ "price_book_id": self.price_book, "interval": interval });
        let subscription = self.portal()?.put(&path, &body).await?.expect(200)?;
        let anchor = text(&subscription, "anchor_date")?;
        ensure!(anchor == self.begin.date_naive().to_string(), "anchored at {anchor}: {subscription}");
        Ok(())
    }

    pub(super) async fn bill_a_month(&mut self) -> Result<()> {
        self.teller.chapter(&format!("A month of seats on the test clock, from {}", self.begin.date_naive()));
        self.change_seats().await?;
        let next = self.begin + Months::new(1);
        for tenant in [self.monthly.id.clone(), self.annual.id.clone()] {
            self.set_clock(&tenant, next).await?;
        }
        let as_of = next.date_naive();
        let summary = self.run_billing(as_of).await?;
        self.teller.step(&format!("billing run as of {as_of}, both tenants"), made(&summary));
        let monthly = self.check_monthly(as_of).await?;
        let annual = self.check_annual(as_of).await?;
        for invoice in monthly.iter().chain(&annual) {
            let path = format!("/v1/invoices/{}", text(invoice, "id")?);
            self.refused_to_the_outsider(&Request { method: Method::GET, path, body: None }).await?;
        }
        let again = self.run_billing(as_of).await?;
        let unchanged =
            self.invoices(&self.monthly).await? == monthly && self.invoices(&self.annual).await? == annual;
        ensure!(unchanged, "the second run changed the invoices");
        ensure!(
            number(&again, "/invoices")? + number(&again, "/credit_notes")? == 0,
            "the second run billed: {again}"
        );
        self.teller.step("a second run: nothing new", made(&again));
        Ok(())
    }

    async fn change_seats(&mut self) -> Result<()> {
        let (monthly, annual) = (self.monthly.clone(), self.annual.clone());
        let tenant = format!("/v1/tenants/{}", monthly.id);
        for id in [&monthly.id, &annual.id] {
            self.set_clock(id, self.day(ADDED_ON_DAY)).await?;
        }
        let patch = json!({ "seats": { "limit": SEATS + 1 } });
        let seats = self.portal()?.patch(&tenant, &patch).await?.expect(200)?["seats"].take();
        // The address that was refused before: nothing of it had been left behind.
        self.hire("donald", None).await?;
        self.teller
            .step(&format!("day {ADDED_ON_DAY}: the limit becomes 6 and the sixth user is added"), seats);
        self.create_user(&annual, "carl", None).await?;
        self.teller.step(&format!("day {ADDED_ON_DAY}: a third user of the annual tenant"), "carl");

        self.set_clock(&monthly.id, self.day(REMOVED_ON_DAY)).await?;
        let leaver = self.people.pop().context("nobody to remove")?;
        self.portal()?.delete(&format!("{tenant}/users/{}", leaver.id)).await?.expect_bytes(204)?;
        let now = self.portal()?.get(&tenant).await?.expect(200)?;
        ensure!(number(&now, "/seats/used")? == SEATS, "the seat was not freed: {now}");
        self.teller.step(&format!("day {REMOVED_ON_DAY}: {} is removed", leaver.address), &now["seats"]);
        Ok(())
    }

    /// One run for all tenants of the reseller, waited for.
    async fn run_billing(&self, as_of: NaiveDate) -> Result<Value> {
        let portal = self.portal()?;
        let run =
            portal.post("/v1/billing/runs", &json!({ "as_of": as_of.to_string() })).await?.expect(202)?;
        let path = format!("/v1/billing/runs/{}", text(&run, "id")?);
        let deadline = Instant::now() + RUN_PATIENCE;
        loop {
            let mut run = portal.get(&path).await?.expect(200)?;
            match run["status"].as_str() {
                Some("succeeded") => return Ok(run["summary"].take()),
                Some("queued" | "running") => {
                    ensure!(Instant::now() < deadline, "the run does not end: {run}")
                }
                _ => anyhow::bail!("the run did not succeed: {run}"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn invoices(&self, customer: &Customer) -> Result<Vec<Value>> {
        let portal = self.portal()?;
        let mut invoices = Vec::new();
        for listed in list_all(&portal, &format!("/v1/tenants/{}/invoices", customer.id), 200).await? {
            invoices.push(portal.get(&format!("/v1/invoices/{}", text(&listed, "id")?)).await?.expect(200)?);
        }
        Ok(invoices)
    }

    /// Five seats for the month in advance; then the next month in advance, and what the sixth seat came to.
    async fn check_monthly(&mut self, as_of: NaiveDate) -> Result<Vec<Value>> {
        let invoices = self.invoices(&self.monthly).await?;
        let begin = self.begin.date_naive();
        let seats = i64::try_from(SEATS)?;
        let (days, next_days) = (days_between(begin, as_of), days_between(as_of, as_of + Months::new(1)));
        let sixth = REMOVED_ON_DAY - ADDED_ON_DAY + 1;
        let advance = MONTH_MINOR * seats;
        let sixth_minor = share(MONTH_MINOR, seats * days + sixth, days) - advance;
        let [first, second] = &invoices[..] else {
            anyhow::bail!("{} invoices and not 2: {invoices:?}", invoices.len())
        };
        check_invoice(
            first,
            begin,
            &[Expected { kind: "recurring", minor: advance, seat_days: seats * days }],
        )?;
        check_invoice(
            second,
            as_of,
            &[
                Expected { kind: "recurring", minor: advance, seat_days: seats * next_days },
                Expected { kind: "changes", minor: sixth_minor, seat_days: sixth },
            ],
        )?;
        self.print_invoices("the monthly tenant", &invoices)?;
        let formula =
            format!("5 × 4.99, then 5 × 4.99 and 4.99 × (5 × {days} + {sixth}) ÷ {days} − 5 × 4.99");
        self.teller.step(
            "computed by hand",
            format_args!("{formula} = {} then {} + {}", euros(advance), euros(advance), euros(sixth_minor)),
        );
        Ok(invoices)
    }

    /// Two seats for the year in advance; at the next monthly boundary the third seat's share of the year.
    async fn check_annual(&mut self, as_of: NaiveDate) -> Result<Vec<Value>> {
        let invoices = self.invoices(&self.annual).await?;
        let begin = self.begin.date_naive();
        let days = days_between(begin, begin + Months::new(12));
        let third = days - (ADDED_ON_DAY - 1);
        let advance = YEAR_MINOR * ANNUAL_SEATS;
        let third_minor = share(YEAR_MINOR, ANNUAL_SEATS * days + third, days) - advance;
        let [first, second] = &invoices[..] else {
            anyhow::bail!("{} invoices and not 2: {invoices:?}", invoices.len())
        };
        check_invoice(
            first,
            begin,
            &[Expected { kind: "recurring", minor: advance, seat_days: ANNUAL_SEATS * days }],
        )?;
        check_invoice(second, as_of, &[Expected { kind: "changes", minor: third_minor, seat_days: third }])?;
        self.print_invoices("the annual tenant", &invoices)?;
        let formula = format!("2 × 47.90, then 47.90 × (2 × {days} + {third}) ÷ {days} − 2 × 47.90");
        self.teller.step(
            "computed by hand",
            format_args!("{formula} = {} then {}", euros(advance), euros(third_minor)),
        );
        Ok(invoices)
    }

    fn print_invoices(&mut self, whose: &str, invoices: &[Value]) -> Result<()> {
        self.teller.step(&format!("invoices of {whose}"), invoices.len());
        for invoice in invoices {
            let (number, issued) = (text(invoice, "number")?, text(invoice, "issued_on")?);
            self.teller
                .detail(format_args!("{number} of {issued}, total {}", euros(minor(invoice, "/total")?)));
            for line in lines(invoice)? {
                let (description, amount) = (text(line, "description")?, euros(minor(line, "/amount")?));
                let (start, end) = (text(&line["period"], "start")?, text(&line["period"], "end")?);
                let (quantity, seat_days) = (&line["quantity"], &line["seat_days"]);
                self.teller.detail(format_args!(
                    "  {description} [{start}, {end}): quantity {quantity}, seat-days {seat_days}, {amount}"
                ));
            }
        }
        Ok(())
    }
}

/// A run's summary in words.
fn made(summary: &Value) -> String {
    let (due, billed) = (&summary["accounts_due"], &summary["accounts_billed"]);
    let (invoices, credit_notes) = (&summary["invoices"], &summary["credit_notes"]);
    format!("{due} accounts due, {billed} billed, {invoices} invoices, {credit_notes} credit notes")
}

/// What the lines of one kind have to add up to.
struct Expected {
    /// `recurring`, or `changes` for all others: charges for what was added and credits for what was removed.
    kind: &'static str,
    minor: i64,
    seat_days: i64,
}

fn check_invoice(invoice: &Value, issued_on: NaiveDate, expected: &[Expected]) -> Result<()> {
    ensure!(invoice["issued_on"] == json!(issued_on), "not issued on {issued_on}: {invoice}");
    let mut total = 0;
    for Expected { kind, minor: amount, seat_days } in expected {
        let (mut sum, mut days) = (0, 0);
        for line in
            lines(invoice)?.iter().filter(|line| (line["kind"] == "recurring") == (*kind == "recurring"))
        {
            sum += minor(line, "/amount")?;
            days += line["seat_days"].as_i64().with_context(|| format!("seat_days of {line}"))?;
        }
        ensure!(sum == *amount, "{kind} lines come to {sum} and not {amount}: {invoice}");
        ensure!(days == *seat_days, "{kind} lines have {days} seat-days and not {seat_days}: {invoice}");
        total += amount;
    }
    let (net, stated) = (minor(invoice, "/net")?, minor(invoice, "/total")?);
    ensure!(net == total && stated == total, "net {net}, total {stated} and not {total}: {invoice}");
    Ok(())
}

fn lines(invoice: &Value) -> Result<&Vec<Value>> {
    invoice["lines"].as_array().with_context(|| format!("no lines in {invoice}"))
}

/// The minor units of the money at a pointer, which must be euros.
fn minor(value: &Value, pointer: &str) -> Result<i64> {
    let money = value.pointer(pointer).with_context(|| format!("no {pointer} in {value}"))?;
    ensure!(money["currency"] == "EUR", "{pointer} is not in EUR: {value}");
    money["amount_minor"].as_i64().with_context(|| format!("no amount_minor at {pointer} in {value}"))
}

fn euros(minor: i64) -> String {
    let (sign, minor) = (if minor < 0 { "-" } else { "" }, minor.abs());
    format!("{sign}{}.{:02} EUR", minor / 100, minor % 100)
}

fn days_between(from: NaiveDate, to: NaiveDate) -> i64 {
    (to - from).num_days()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_once_half_away_from_zero() {
        assert_eq!(share(499, 166, 31), 2672, "2672.06…");
        assert_eq!((share(1, 1, 2), share(3, 1, 2), share(1, 49, 100)), (1, 2, 0));
        assert_eq!(share(499, 31, 31), 499);
    }

    #[test]
    fn a_wrong_invoice_is_seen() {
        let line = |kind: &str, amount: i64| json!({ "kind": kind, "seat_days": 31, "amount": { "amount_minor": amount, "currency": "EUR" } });
        let money = |amount: i64| json!({ "amount_minor": amount, "currency": "EUR" });
        let invoice = |amount: i64, total: i64| json!({ "issued_on": "2027-01-01", "net": money(total), "total": money(total), "lines": [line("recurring", amount)] });
        let day = NaiveDate::from_ymd_opt(2027, 1, 1).unwrap();
        let expected = [Expected { kind: "recurring", minor: 499, seat_days: 31 }];
        check_invoice(&invoice(499, 499), day, &expected).unwrap();
        check_invoice(&invoice(500, 499), day, &expected).unwrap_err();
        check_invoice(&invoice(499, 500), day, &expected).unwrap_err();
        check_invoice(&invoice(499, 499), day.succ_opt().unwrap(), &expected).unwrap_err();
    }
}
