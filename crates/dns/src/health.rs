//! Whether a domain's records let its mail come to us and go out from us.
//!
//! Each kind of record has a pure function from what was found to a verdict; [`check`] looks up and puts together.

mod dkim;
mod dmarc;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod mx;
mod spf;
mod tags;

use std::fmt;

use futures::future::join_all;
use kernel::{DomainName, named};

use crate::{Error, Resolver};

/// What a domain's records should say. What is left empty is not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Every host that should be an MX; no other should.
    pub mx: Vec<String>,
    /// The SPF mechanism that lets our hosts send, such as `include:spf.host.example`.
    pub spf: String,
    /// The keys that our signatures are checked with.
    pub dkim: Vec<Dkim>,
    /// Whether there should be a DMARC policy.
    pub dmarc: bool,
}

/// A DKIM key as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dkim {
    /// The first part of the name: `<selector>._domainkey.<domain>`.
    pub selector: String,
    /// The TXT record, such as `v=DKIM1; k=rsa; p=…`.
    pub record: String,
}

/// What [`check`] found out, in the order MX, SPF, DKIM, DMARC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// One for each record that is expected, of DKIM one for each key.
    pub checks: Vec<Check>,
}

impl Health {
    /// Whether every check is ok.
    pub fn is_ok(&self) -> bool {
        self.checks.iter().all(|check| check.status == Status::Ok)
    }
}

/// One kind of record, as it should be and as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Which kind.
    pub record: RecordKind,
    /// The name that was looked up, without a final dot.
    pub name: String,
    /// What should be there, for a person to copy: host names with commas between them, or a TXT record.
    pub expected: String,
    /// What is there: MX records as `10 mx.example.org`; of the domain's TXT records, only those that are SPF.
    pub found: Vec<String>,
    /// The verdict.
    pub status: Status,
    /// Why, for a person; a warning if the status is ok; may be empty.
    pub detail: String,
}

named! {
    /// A kind of record that is checked.
    RecordKind {
        /// Where mail to the domain goes (RFC 5321 §5).
        Mx = "mx",
        /// Who may send for the domain (RFC 7208).
        Spf = "spf",
        /// The key of the domain's signatures (RFC 6376).
        Dkim = "dkim",
        /// What receivers do with mail that neither covers (RFC 7489).
        Dmarc = "dmarc",
    }
}

named! {
    /// How what is there compares with what should be.
    Status {
        /// As it should be.
        Ok = "ok",
        /// There is no such record.
        Missing = "missing",
        /// There is one, and it says something else.
        Different = "different",
        /// There are several where the standard allows one; receivers then use none.
        Conflicting = "conflicting",
        /// The domain name system did not answer: nothing is known.
        Unavailable = "unavailable",
    }
}

/// Looks up, all at once, and compares. What cannot be looked up is [`Status::Unavailable`].
pub async fn check(resolver: &Resolver, domain: &DomainName, expected: &Expected) -> Health {
    let (mx, spf, dkim, dmarc) = tokio::join!(
        check_mx(resolver, domain, &expected.mx),
        check_spf(resolver, domain, &expected.spf),
        join_all(expected.dkim.iter().map(|key| check_dkim(resolver, domain, key))),
        check_dmarc(resolver, domain, expected.dmarc),
    );
    Health { checks: mx.into_iter().chain(spf).chain(dkim).chain(dmarc).collect() }
}

async fn check_mx(resolver: &Resolver, domain: &DomainName, hosts: &[String]) -> Option<Check> {
    if hosts.is_empty() {
        return None;
    }
    let question = Question { record: RecordKind::Mx, name: domain.to_string(), expected: hosts.join(", ") };
    let found = resolver.mx(&question.name).await;
    Some(question.answered(found, |found| mx::evaluate(found, hosts)))
}

async fn check_spf(resolver: &Resolver, domain: &DomainName, mechanism: &str) -> Option<Check> {
    if mechanism.is_empty() {
        return None;
    }
    let expected = format!("v=spf1 {mechanism} ~all");
    let question = Question { record: RecordKind::Spf, name: domain.to_string(), expected };
    // The domain's name has all sorts of TXT records.
    let found = resolver.txt(&question.name).await.map(spf::only);
    Some(question.answered(found, |found| spf::evaluate(found, mechanism)))
}

async fn check_dkim(resolver: &Resolver, domain: &DomainName, key: &Dkim) -> Check {
    let name = format!("{}._domainkey.{domain}", key.selector);
    let question = Question { record: RecordKind::Dkim, name, expected: key.record.clone() };
    let found = resolver.txt(&question.name).await;
    question.answered(found, |found| dkim::evaluate(found, &key.record))
}

async fn check_dmarc(resolver: &Resolver, domain: &DomainName, is_expected: bool) -> Option<Check> {
    if !is_expected {
        return None;
    }
    let name = format!("_dmarc.{domain}");
    let question = Question { record: RecordKind::Dmarc, name, expected: dmarc::EXAMPLE.to_owned() };
    let found = resolver.txt(&question.name).await;
    Some(question.answered(found, dmarc::evaluate))
}

/// A check before the lookup.
struct Question {
    record: RecordKind,
    name: String,
    expected: String,
}

impl Question {
    fn answered<T: fmt::Display>(
        self,
        found: Result<Vec<T>, Error>,
        evaluate: impl FnOnce(&[T]) -> Verdict,
    ) -> Check {
        let (found, verdict) = match found {
            Ok(found) => (found.iter().map(T::to_string).collect(), evaluate(&found)),
            Err(error @ Error::Unavailable(_)) => {
                (Vec::new(), Verdict::new(Status::Unavailable, error.to_string()))
            }
        };
        let Self { record, name, expected } = self;
        Check { record, name, expected, found, status: verdict.status, detail: verdict.detail }
    }
}

/// What the rules say of the records that were found.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    status: Status,
    detail: String,
}

impl Verdict {
    fn new(status: Status, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    fn ok() -> Self {
        Self::new(Status::Ok, "")
    }
}
