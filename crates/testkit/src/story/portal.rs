//! Resellers, tenants, domains and users, by REST.

use std::fmt;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::Story;
use crate::client::http::Http;

/// The zone that both customers live in.
pub(super) const TIME_ZONE: &str = "Europe/Berlin";
/// The quota of the small mailbox.
pub(super) const SMALL_QUOTA_BYTES: u64 = 1 << 20;
/// Seats of the monthly customer, to begin with.
pub(super) const SEATS: u64 = 5;

/// A reseller and its API key.
#[derive(Debug, Clone, Default)]
pub(super) struct Partner {
    pub(super) id: String,
    pub(super) key: String,
}

/// A tenant.
#[derive(Debug, Clone, Default)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) domain: String,
    pub(super) domain_id: String,
}

/// A user with a mailbox.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) mailbox_id: String,
    pub(super) password: String,
}

/// A member of a JSON object that must be a string.
pub(super) fn text(value: &Value, member: &str) -> Result<String> {
    value[member].as_str().map(str::to_owned).with_context(|| format!("no {member} in {value}"))
}

/// A number at a JSON pointer.
pub(super) fn number(value: &Value, pointer: &str) -> Result<u64> {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .with_context(|| format!("no number at {pointer} in {value}"))
}

/// Every element of a list, page by page.
pub(super) async fn list_all(http: &Http, path: &str, limit: u32) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = http.get(&format!("{path}?limit={limit}{cursor}")).await?.expect(200)?;
        let Value::Array(data) = page["data"].take() else { anyhow::bail!("{path} answered no data") };
        all.extend(data);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

impl Story {
    pub(super) async fn provision(&mut self) -> Result<()> {
        self.teller.chapter("Provisioning, by REST");
        self.reseller = self.found_reseller("Northwind Hosting").await?;
        self.outsider = self.found_reseller("Another Partner").await?;
        self.publish_prices().await?;
        self.monthly = self.open_tenant("Customer & Sons", "month", Some(SEATS)).await?;
        self.annual = self.open_tenant("Yearly Ltd", "year", None).await?;
        for (name, quota) in [("ada", None), ("grace", None), ("tiny", Some(SMALL_QUOTA_BYTES))] {
            self.hire(name, quota).await?;
        }
        let annual = self.annual.clone();
        for name in ["kurt", "emmy"] {
            self.create_user(&annual, name, None).await?;
        }
        self.teller
            .step("two users of the annual tenant", format_args!("kurt and emmy at {}", annual.domain));
        Ok(())
    }

    async fn found_reseller(&mut self, name: &str) -> Result<Partner> {
        let operator = self.http(&self.operator)?;
        let id = text(&operator.post("/v1/resellers", &json!({ "name": name })).await?.expect(201)?, "id")?;
        let keys = format!("/v1/resellers/{id}/api-keys");
        let key = operator.post(&keys, &json!({ "role": "reseller_admin" })).await?.expect(201)?;
        let secret = text(&key, "secret")?;
        self.teller
            .step(&format!("reseller {name:?} and its API key"), format_args!("{id}, {}", text(&key, "id")?));
        Ok(Partner { id, key: secret })
    }

    async fn open_tenant(&mut self, name: &str, interval: &str, seats: Option<u64>) -> Result<Customer> {
        let portal = self.portal()?;
        let tenant = json!({
            "name": name, "country": "DE", "currency": "EUR", "time_zone": TIME_ZONE,
            "seats": { "limit": seats }, "test_clock": true,
        });
        let tenant = portal.post("/v1/tenants", &tenant).await?.expect(201)?;
        let id = text(&tenant, "id")?;
        self.set_clock(&id, self.begin).await?;
        self.subscribe(&id, interval).await?;
        let domain = format!("{interval}-{}.example", self.suffix);
        let made = portal
            .post(&format!("/v1/tenants/{id}/domains"), &json!({ "name": domain }))
            .await?
            .expect(201)?;
        let (domain_id, status) = (text(&made, "id")?, text(&made, "status")?);
        self.teller.step(
            &format!("tenant {name:?}, billed by the {interval}, with a domain"),
            format_args!("{id}, seats {}, {domain} is {status}", tenant["seats"]),
        );
        Ok(Customer { id, domain, domain_id })
    }

    /// Creates a user of the monthly tenant and remembers them.
    pub(super) async fn hire(&mut self, name: &str, quota: Option<u64>) -> Result<()> {
        let monthly = self.monthly.clone();
        let person = self.create_user(&monthly, name, quota).await?;
        let quota = quota.map_or_else(|| "no quota".to_owned(), |bytes| format!("a quota of {bytes} bytes"));
        self.teller.step(&format!("user {name} with {quota}"), &person);
        self.people.push(person);
        Ok(())
    }

    pub(super) async fn create_user(
        &self,
        customer: &Customer,
        name: &str,
        quota: Option<u64>,
    ) -> Result<Person> {
        let (address, password) =
            (format!("{name}@{}", customer.domain), format!("correct horse {name} staple"));
        let body =
            json!({ "address": address, "display_name": name, "password": password, "quota_bytes": quota });
        let user =
            self.portal()?.post(&format!("/v1/tenants/{}/users", customer.id), &body).await?.expect(201)?;
        ensure!(text(&user, "address")? == address, "the user has another address: {user}");
        ensure!(user.get("password").is_none(), "a password came back");
        Ok(Person { id: text(&user, "id")?, address, mailbox_id: text(&user, "mailbox_id")?, password })
    }

    pub(super) async fn fill_the_seats(&mut self) -> Result<()> {
        self.teller.chapter("The pool of seats");
        for name in ["edsger", "barbara"] {
            self.hire(name, None).await?;
        }
        let users = format!("/v1/tenants/{}/users", self.monthly.id);
        let portal = self.portal()?;
        let before = list_all(&portal, &users, 2).await?;
        let body =
            json!({ "address": format!("donald@{}", self.monthly.domain), "password": "one seat too many" });
        let problem = portal.post(&users, &body).await?.expect_problem(409, "seats_exhausted")?;
        ensure!(list_all(&portal, &users, 2).await? == before, "the refused user changed the list of users");
        let mailboxes = list_all(&portal, &format!("/v1/tenants/{}/mailboxes", self.monthly.id), 200).await?;
        ensure!(mailboxes.len() == before.len(), "{} mailboxes for {} users", mailboxes.len(), before.len());
        let tenant = portal.get(&format!("/v1/tenants/{}", self.monthly.id)).await?.expect(200)?;
        ensure!(number(&tenant, "/seats/used")? == SEATS, "seats are not all taken: {tenant}");
        self.teller.step(
            "a sixth user is refused and nothing is half made",
            format_args!("409 {}: {}", problem.code, problem.detail),
        );
        Ok(())
    }

    /// Another reseller's key sees nothing of ours, whatever it asks for.
    pub(super) async fn ask_as_an_outsider(&mut self) -> Result<()> {
        self.teller.chapter("Another reseller's key");
        let outsider = self.http(&self.outsider.key)?;
        let requests = self.requests_for_everything().await?;
        for (method, path, body) in &requests {
            let mut request = outsider.request(method.clone(), path);
            if let Some(body) = body {
                let media_type = if *method == Method::PATCH {
                    "application/merge-patch+json"
                } else {
                    "application/json"
                };
                request = request.header("content-type", media_type).body(serde_json::to_vec(body)?);
            }
            Http::send(request).await?.expect_problem(404, "not_found")?;
        }
        let tenants = list_all(&outsider, "/v1/tenants", 200).await?;
        ensure!(tenants.is_empty(), "it lists tenants: {tenants:?}");
        self.teller
            .step("gets 404 on everything above", format_args!("{} requests, GET to DELETE", requests.len()));
        Ok(())
    }

    async fn requests_for_everything(&self) -> Result<Vec<(Method, String, Option<Value>)>> {
        let (tenant, person) = (format!("/v1/tenants/{}", self.monthly.id), &self.people[0]);
        let (user, mailbox) =
            (format!("{tenant}/users/{}", person.id), format!("{tenant}/mailboxes/{}", person.mailbox_id));
        let messages = self.portal()?.get(&format!("{mailbox}/messages?limit=1")).await?.expect(200)?;
        let message = format!("{mailbox}/messages/{}", text(&messages["data"][0], "id")?);
        let domain = format!("{tenant}/domains/{}", self.monthly.domain_id);
        let reseller = format!("/v1/resellers/{}", self.reseller.id);
        let gets = [
            reseller.clone(),
            format!("{reseller}/api-keys"),
            tenant.clone(),
            format!("{tenant}/domains"),
            domain.clone(),
            format!("{tenant}/users"),
            user.clone(),
            format!("{tenant}/mailboxes"),
            mailbox.clone(),
            format!("{mailbox}/quota"),
            format!("{mailbox}/folders"),
            format!("{mailbox}/messages"),
            message.clone(),
            format!("{message}/raw"),
            format!("{tenant}/subscription"),
            format!("{tenant}/invoices"),
        ];
        let new_user = json!({ "address": format!("eve@{}", self.monthly.domain) });
        let mut requests = gets.map(|path| (Method::GET, path, None)).to_vec();
        requests.extend([
            (Method::PATCH, tenant.clone(), Some(json!({ "name": "Taken over" }))),
            (Method::PUT, format!("{tenant}/test-clock"), Some(json!({ "now": self.day(2) }))),
            (Method::POST, format!("{tenant}/users"), Some(new_user)),
            (Method::POST, format!("{tenant}/domains"), Some(json!({ "name": "taken-over.example" }))),
            (Method::DELETE, user, None),
            (Method::DELETE, message, None),
            (Method::DELETE, domain, None),
        ]);
        Ok(requests)
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.address, self.id, self.mailbox_id)
    }
}
