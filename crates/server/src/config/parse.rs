//! What the texts of settings mean, and what is wrong with those that mean nothing.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;
use secrecy::SecretString;
use smtp::codec::mark::SpamMark;
use tracing_subscriber::EnvFilter;

/// Never says what the text is.
pub(super) fn parse_key_encryption_keys(text: &str) -> Result<SecretString, String> {
    let secret = SecretString::from(text);
    match pack::LocalKeys::parse(&kernel::Env::system(), &secret) {
        Ok(_) => Ok(secret),
        Err(error) => Err(error.to_string()),
    }
}

/// An empty variable is an unset one, so that there is a word for no field.
pub(super) fn parse_spam_header(text: &str) -> Result<Option<SpamMark>, String> {
    if text == "none" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn parse_path(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn parse_hostname(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a host name"))
    }
}

/// The parts of a list, each read by `parse`.
fn parse_list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(parse).collect()
}

/// Zero would refuse everything, also the call that mends it.
pub(super) fn parse_count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 1 to {}", u32::MAX))
}

/// A whole number from 1 on, and not above the limit of its setting.
pub(super) fn parse_up_to(most: u32) -> impl Fn(&str) -> Result<NonZeroU32, String> {
    parse_between(1, most)
}

/// A whole number within the limits of its setting, of which the lower is not below 1.
pub(super) fn parse_between(least: u32, most: u32) -> impl Fn(&str) -> Result<NonZeroU32, String> {
    move |text: &str| {
        let number = text.parse::<NonZeroU32>().ok().filter(|number| (least..=most).contains(&number.get()));
        number.ok_or_else(|| format!("{text:?} is not a whole number from {least} to {most}"))
    }
}

pub(super) fn parse_provider(text: &str) -> Result<String, String> {
    billing::payment::provider_at(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn parse_register(text: &str) -> Result<String, String> {
    billing::vat_id::register_at(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn parse_networks(text: &str) -> Result<Vec<IpNet>, String> {
    parse_list(text, |part| {
        let address = part.parse::<IpAddr>().map(IpNet::from);
        part.parse().or(address).map_err(|_| format!("{part:?} is not a network, such as 10.0.0.0/8"))
    })
}

pub(super) fn parse_addresses(text: &str) -> Result<Vec<SocketAddr>, String> {
    parse_list(text, |part| {
        let address = part.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
        part.parse().or(address).map_err(|_| format!("{part:?} is not an address, such as 127.0.0.1:53"))
    })
}

pub(super) fn parse_hosts(text: &str) -> Result<Vec<String>, String> {
    parse_list(text, |part| parse_hostname(part).map(|host| host.to_lowercase()))
}

/// Repeats nothing of the text, which may hold a password.
pub(super) fn parse_database_url(text: &str) -> Result<SecretString, String> {
    let url = url::Url::parse(text)
        .map_err(|error| format!("not a URL ({error}): write postgres://user:password@host/database"))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err("must begin with postgres://".into());
    }
    // A part of the password would be taken for the host then.
    if url.path().contains('@')
        || url.query().is_some_and(|query| query.contains('@'))
        || url.fragment().is_some()
    {
        return Err(
            "has a /, ? or # before its last @: in a user's name or a password write @ as %40, / as %2F, ? as %3F, # as %23".into(),
        );
    }
    Ok(SecretString::from(text))
}

pub(super) fn parse_log(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is not a log filter: {error}"))
}
