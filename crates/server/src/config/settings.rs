//! What can be set.

use std::num::NonZeroU32;

/// A day.
pub(super) const COMPACTION_LAG_HOURS: NonZeroU32 = NonZeroU32::new(24).expect("is not zero");
/// Six days: what was purged is to be rewritten away within seven.
pub(super) const MAX_COMPACTION_LAG_HOURS: u32 = 144;
pub(super) const COMPACTION_MIB_PER_SECOND: NonZeroU32 = NonZeroU32::new(8).expect("is not zero");
/// As long as the journal is kept.
pub(super) const BACKUP_DAYS: NonZeroU32 = NonZeroU32::new(30).expect("is not zero");
/// Ten years.
pub(super) const MAX_BACKUP_DAYS: u32 = 3650;
pub(super) const BODY_CACHE_MIB: NonZeroU32 = NonZeroU32::new(64).expect("is not zero");
/// What `api::Limits` has, in KiB, as a test sees to.
pub(super) const API_BODY_KIB: NonZeroU32 = NonZeroU32::new(1024).expect("is not zero");
pub(super) const API_HEADER_KIB: NonZeroU32 = NonZeroU32::new(64).expect("is not zero");
/// Bodies are in memory while they are read.
pub(super) const MAX_API_BODY_KIB: u32 = 65_536;
/// What hyper buffers at least.
pub(super) const LEAST_API_HEADER_KIB: u32 = 8;
/// Each connection may have so much in memory before anybody is proven to be calling.
pub(super) const MAX_API_HEADER_KIB: u32 = 256;
/// As rspamd marks it by default.
pub(super) const DEFAULT_SPAM_HEADER: &str = "X-Spam: Yes";
pub(super) const DEFAULT_STRIPE_URL: &str = "https://api.stripe.com";

/// Every setting: its key in the file (in the environment `PILLARBOX_` and the key in capitals), its default, its meaning.
pub(super) const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "data_dir",
        "/var/lib/pillarbox as root, else $XDG_DATA_HOME/pillarbox",
        "where keys and embedded data live",
    ),
    ("hostname", "localhost", "the name given in greetings and Received fields"),
    ("http_listen", "127.0.0.1:8080", "address and port of the REST API; port 0 takes a free one"),
    ("lmtp_listen", "127.0.0.1:2424", "address and port of LMTP"),
    (
        "lookup_listen",
        "127.0.0.1:2425",
        "address and port where Postfix looks domains and recipients up, by socketmap",
    ),
    (
        "spam_header",
        DEFAULT_SPAM_HEADER,
        "the header field of mail that came by LMTP which makes it go into Junk; none: all goes into the Inbox",
    ),
    ("imap_listen", "127.0.0.1:2143", "address and port of IMAP with STARTTLS"),
    ("imaps_listen", "127.0.0.1:2993", "address and port of IMAP over TLS"),
    ("pop3_listen", "127.0.0.1:2110", "address and port of POP3 with STLS"),
    ("pop3s_listen", "127.0.0.1:2995", "address and port of POP3 over TLS"),
    ("submission_listen", "127.0.0.1:2587", "address and port of submission with STARTTLS"),
    ("submissions_listen", "127.0.0.1:2465", "address and port of submission over TLS"),
    (
        "smarthost_url",
        "none: mail for others than mailboxes of this installation is refused",
        "where mail goes out: smtps://user:password@host, or smtp:// for STARTTLS",
    ),
    ("database_url", "a private Postgres under data_dir", "postgres://user:password@host/database"),
    (
        "blob_url",
        "a directory under data_dir",
        "file:///dir or s3://bucket/prefix?endpoint=…&region=…&path_style=true",
    ),
    (
        "key_encryption_keys_file",
        "made under data_dir, unless blob_url is set",
        "file of the keys that wrap tenants' keys, the current one first; without it no mail can be read",
    ),
    ("key_encryption_keys", "see key_encryption_keys_file", "that file's text itself"),
    (
        "compaction_lag_hours",
        "24",
        "how long mail stays in packs that tenants share before it moves into its tenant's own; 1 to 144",
    ),
    ("compaction_mib_per_second", "8", "how many MiB of mail are moved so in a second at most; 1 at least"),
    (
        "journal_seconds",
        "1",
        "how many seconds lie at most between two puts of what was committed into the blob store, where a lost database is made anew; 1 to 60",
    ),
    (
        "backup_days",
        "30",
        "for how many days at most you keep backups of the database, which the records of destroyed tenants name; 1 to 3650",
    ),
    ("body_cache_mib", "64", "how many MiB of mail, sealed, a server keeps in memory; 1 at least"),
    (
        "body_cache_disk_mib",
        "none",
        "how many MiB of mail, sealed, a server keeps on its own disk besides, under data_dir: where bodies are in a bucket",
    ),
    ("tls_certificate", "self-signed, made under data_dir", "PEM file of the certificate chain"),
    ("tls_key", "self-signed, made under data_dir", "PEM file of its key"),
    (
        "tls_directory",
        "none",
        "directory with a directory for each further certificate: fullchain.pem and privkey.pem, as certbot leaves them",
    ),
    (
        "api_requests_per_minute",
        "6000",
        "requests that one credential may make of the REST API in a minute; 1 at least",
    ),
    (
        "api_body_kib",
        "1024",
        "how many KiB a body of a request to the REST API may have, other than a message; 1 to 65536",
    ),
    ("api_header_kib", "64", "how many KiB the header of a request to the REST API may have; 8 to 256"),
    (
        "trusted_proxies",
        "none",
        "networks of reverse proxies whose X-Forwarded-For is believed, such as 10.0.0.0/8,fd00::/8",
    ),
    (
        "webhook_allowed_networks",
        "none",
        "networks that are not public and that webhooks may be sent to all the same, such as 10.1.0.0/16",
    ),
    ("stripe_url", DEFAULT_STRIPE_URL, "where charges are taken: Stripe, or what speaks its API"),
    ("vies_url", "none, and not checked", "VIES' REST API, which knows the EU's numbers for value-added tax"),
    ("dns_servers", "those of the machine", "resolvers that verify domains, such as 127.0.0.1:53,[::1]:53"),
    (
        "mx_hosts",
        "none, and not checked",
        "hosts that customers' MX records should name, separated by commas",
    ),
    ("spf_include", "none, and not checked", "domain that customers' SPF records should include"),
    ("log", "info for serve, warn for the other commands", "log filter, such as info,pop3=debug"),
];

/// Names that begin like settings and are read elsewhere.
pub(super) const OTHER_VARIABLES: &[&str] =
    &["PILLARBOX_CONFIG", "PILLARBOX_GARAGE", "PILLARBOX_TEST_DATABASE_URL"];

/// The settings as `--help` shows them.
pub(crate) fn describe() -> String {
    let mut text = String::from("Settings, as an environment variable or as a key of the TOML file:\n");
    for (key, default, meaning) in SETTINGS {
        text.push_str(&format!("\n  {} / {key}\n      {meaning} [default: {default}]\n", variable(key)));
    }
    text.push_str(
        "\nCredentials of S3 come from the usual AWS variables (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).",
    );
    text
}

/// The variable of a setting.
pub(super) fn variable(key: &str) -> String {
    format!("PILLARBOX_{}", key.to_uppercase())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{Config, Reader};
    use super::*;

    fn keys() -> BTreeSet<&'static str> {
        SETTINGS.iter().map(|(key, ..)| *key).collect()
    }

    #[test]
    fn the_settings_are_those_that_are_read() {
        let environment = BTreeMap::new();
        let mut reader = Reader::new(None, &environment, Vec::new());
        Config::take(&mut reader, true);
        assert_eq!(reader.asked, keys());
    }

    #[test]
    fn the_example_file_names_every_setting_and_no_other() {
        let lines = include_str!("../../../../deploy/pillarbox.toml").lines();
        let named = lines.filter_map(|line| line.trim_start_matches("# ").split_once(" = \""));
        assert_eq!(named.map(|(key, _)| key).collect::<BTreeSet<_>>(), keys());
    }
}
