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
        let domain_id = text(&made, "id")?;
        ensure!(text(&made, "status")? == "pending", "the domain works before it is verified: {made}");
        // The customer would publish the record; names under .example are in no DNS, so the operator vouches.
        let verify = format!("/v1/tenants/{id}/domains/{domain_id}/verify");
        let operator = self.http(&self.operator)?;
        let verified = operator.post(&verify, &json!({ "vouch": true })).await?.expect(200)?;
        let status = text(&verified, "status")?;
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
        self.open_for_support(&person).await?;
        self.people.push(person);
        Ok(())
    }

    /// The portal's key reads no mail of a tenant's before it has said why.
    async fn open_for_support(&mut self, person: &Person) -> Result<()> {
        let mailbox = format!("/v1/tenants/{}/mailboxes/{}", self.monthly.id, person.mailbox_id);
        let messages = self.portal()?.get(&format!("{mailbox}/messages")).await?;
        messages.expect_problem(403, "support_access_required")?;
        let reason = json!({"reason": "the story reads the mail back and compares"});
        let access =
            self.portal()?.post(&format!("{mailbox}/support-accesses"), &reason).await?.expect(201)?;
        self.teller.step("opened for support, which the tenant's trail says", &access["id"]);
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
        let reads = self.paths_to_read().await?;
        let writes = self.requests_that_write(&reads.message)?;
        for path in &reads.paths {
            self.refused_to_the_outsider(&Request { method: Method::GET, path: path.clone(), body: None })
                .await?;
        }
        for request in &writes {
            self.refused_to_the_outsider(request).await?;
        }
        let outsider = self.http(&self.outsider.key)?;
        for list in ["/v1/tenants", "/v1/price-books"] {
            let seen = list_all(&outsider, list, 200).await?;
            ensure!(seen.is_empty(), "{list} shows {seen:?}");
        }
        let (reads, writes) = (reads.paths.len(), writes.len());
        self.teller.step(
            "gets 404 on everything above",
            format_args!("{reads} GETs, {writes} POSTs, PUTs, PATCHes and DELETEs"),
        );
        Ok(())
    }

    pub(super) async fn refused_to_the_outsider(&self, request: &Request) -> Result<()> {
        let mut sent = self.http(&self.outsider.key)?.request(request.method.clone(), &request.path);
        if let Some((media_type, body)) = &request.body {
            sent = sent.header("content-type", *media_type).body(body.clone());
        }
        Http::send(sent).await?.expect_problem(404, "not_found")?;
        Ok(())
    }

    async fn paths_to_read(&self) -> Result<Reads> {
        let (tenant, person) = (format!("/v1/tenants/{}", self.monthly.id), &self.people[0]);
        let mailbox = format!("{tenant}/mailboxes/{}", person.mailbox_id);
        let messages = self.portal()?.get(&format!("{mailbox}/messages?limit=1")).await?.expect(200)?;
        let message = format!("{mailbox}/messages/{}", text(&messages["data"][0], "id")?);
        let paths = [
            format!("/v1/resellers/{}", self.reseller.id),
            format!("/v1/resellers/{}/api-keys", self.reseller.id),
            format!("/v1/price-books/{}", self.price_book),
            format!("/v1/price-books/{}/prices", self.price_book),
            tenant.clone(),
            format!("{tenant}/api-keys"),
            format!("{tenant}/domains"),
            format!("{tenant}/domains/{}", self.monthly.domain_id),
            format!("{tenant}/users"),
            format!("{tenant}/users/{}", person.id),
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
        // Each of them exists, so that a 404 says something.
        for path in &paths {
            self.portal()?.get(path).await?.expect_bytes(200)?;
        }
        Ok(Reads { paths: paths.to_vec(), message })
    }

    fn requests_that_write(&self, message: &str) -> Result<Vec<Request>> {
        let (tenant, person) = (format!("/v1/tenants/{}", self.monthly.id), &self.people[0]);
        let (reseller, mailbox) = (
            format!("/v1/resellers/{}", self.reseller.id),
            format!("{tenant}/mailboxes/{}", person.mailbox_id),
        );
        let tenant_of_ours = json!({
            "reseller_id": self.reseller.id, "name": "Smuggled in", "country": "DE", "currency": "EUR",
        });
        let subscription = json!({ "price_book_id": self.price_book, "interval": "year" });
        let with_json = [
            (Method::PATCH, reseller.clone(), json!({ "name": "Taken over" })),
            (Method::POST, format!("{reseller}/api-keys"), json!({ "role": "reseller_admin" })),
            (Method::POST, "/v1/tenants".to_owned(), tenant_of_ours),
            (Method::PATCH, tenant.clone(), json!({ "name": "Taken over" })),
            (Method::POST, format!("{tenant}/api-keys"), json!({ "role": "tenant_admin" })),
            (Method::PUT, format!("{tenant}/test-clock"), json!({ "now": self.day(2) })),
            (Method::PUT, format!("{tenant}/subscription"), subscription),
            (
                Method::POST,
                format!("{tenant}/users"),
                json!({ "address": format!("eve@{}", self.monthly.domain) }),
            ),
            (Method::POST, format!("{tenant}/domains"), json!({ "name": "taken-over.example" })),
            (Method::PUT, format!("{mailbox}/quota"), json!({ "quota_bytes": 1 })),
        ];
        let mut requests = Vec::new();
        for (method, path, body) in with_json {
            let media_type =
                if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
            requests.push(Request { method, path, body: Some((media_type, serde_json::to_vec(&body)?)) });
        }
        let forged = Some(("message/rfc822", b"Subject: forged\r\n\r\n".to_vec()));
        requests.push(Request { method: Method::POST, path: format!("{mailbox}/messages"), body: forged });
        for path in [
            message.to_owned(),
            format!("{tenant}/users/{}", person.id),
            format!("{tenant}/domains/{}", self.monthly.domain_id),
        ] {
            requests.push(Request { method: Method::DELETE, path, body: None });
        }
        Ok(requests)
    }
}

/// A request that somebody tries who may not.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    /// Media type and bytes.
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

/// What can be read, and one message of it.
struct Reads {
    paths: Vec<String>,
    message: String,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.address, self.id, self.mailbox_id)
    }
}
