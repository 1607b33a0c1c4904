//! The configuration: one TOML file and environment variables, the environment first. Every mistake is reported at once.

mod parse;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ipnet::IpNet;
use secrecy::SecretString;
use smtp::codec::mark::SpamMark;

use parse::{
    parse_addresses, parse_between, parse_count, parse_database_url, parse_hostname, parse_hosts,
    parse_key_encryption_keys, parse_log, parse_networks, parse_path, parse_provider, parse_register,
    parse_spam_header, parse_up_to,
};
use settings::{
    API_BODY_KIB, API_HEADER_KIB, BACKUP_DAYS, BODY_CACHE_MIB, COMPACTION_LAG_HOURS,
    COMPACTION_MIB_PER_SECOND, DEFAULT_SPAM_HEADER, DEFAULT_STRIPE_URL, LEAST_API_HEADER_KIB,
    MAX_API_BODY_KIB, MAX_API_HEADER_KIB, MAX_BACKUP_DAYS, MAX_COMPACTION_LAG_HOURS, OTHER_VARIABLES,
    SETTINGS, variable,
};

use crate::account;

pub(crate) use settings::describe;

/// What `serve` and the commands go by.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Keys, certificates and, on embedded defaults, the database and the bodies.
    pub(crate) data_dir: PathBuf,
    /// The name that greetings and trace fields give.
    pub(crate) hostname: String,
    pub(crate) http_listen: SocketAddr,
    pub(crate) lmtp_listen: SocketAddr,
    pub(crate) lookup_listen: SocketAddr,
    /// What marks spam in mail that comes by LMTP; `None`: nothing does.
    pub(crate) spam_mark: Option<SpamMark>,
    pub(crate) imap_listen: SocketAddr,
    pub(crate) imaps_listen: SocketAddr,
    pub(crate) pop3_listen: SocketAddr,
    pub(crate) pop3s_listen: SocketAddr,
    pub(crate) submission_listen: SocketAddr,
    pub(crate) submissions_listen: SocketAddr,
    /// `None`: mail stays in this installation.
    pub(crate) smarthost: Option<relay::Smarthost>,
    /// `None`: a private cluster under the data directory.
    pub(crate) database_url: Option<SecretString>,
    /// `None`: a directory under the data directory.
    pub(crate) blob_url: Option<blob::Location>,
    /// What wraps tenants' keys, and where that is from.
    pub(crate) key_encryption_keys: KeyEncryptionKeys,
    /// How long mail stays in packs that tenants share, in hours.
    pub(crate) compaction_lag_hours: NonZeroU32,
    /// How fast it is moved out of them, in MiB a second at most.
    pub(crate) compaction_mib_per_second: NonZeroU32,
    /// How many seconds lie between two puts of the journal at most.
    pub(crate) journal_seconds: NonZeroU32,
    /// For how many days the operator keeps backups of the database.
    pub(crate) backup_days: NonZeroU32,
    /// How much of the mail that was read or taken in stays in memory, in MiB.
    pub(crate) body_cache_mib: NonZeroU32,
    pub(crate) body_cache_disk_mib: Option<NonZeroU32>,
    /// `None`: a self-signed certificate under the data directory.
    pub(crate) tls: Option<TlsFiles>,
    /// A directory with more certificates, each in one of its own.
    pub(crate) tls_directory: Option<PathBuf>,
    /// How many requests each credential may make of the REST API in a minute.
    pub(crate) api_requests_per_minute: NonZeroU32,
    /// How long a body of a request to it may be that is no message, in KiB.
    pub(crate) api_body_kib: NonZeroU32,
    /// How long the header of a request to it may be, in KiB.
    pub(crate) api_header_kib: NonZeroU32,
    /// Proxies whose word on a client's address is taken.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Networks that are not public and that webhooks may be sent to all the same.
    pub(crate) webhook_allowed_networks: Vec<IpNet>,
    /// Where resellers' charges are taken: an address that `billing` takes.
    pub(crate) stripe_url: String,
    /// Where numbers for value-added tax are looked up: an address that `billing` takes. `None`: nowhere.
    pub(crate) vies_url: Option<String>,
    /// `None`: those of the machine.
    pub(crate) dns_servers: Option<Vec<SocketAddr>>,
    /// The hosts that a customer's MX records should name.
    pub(crate) mx_hosts: Vec<String>,
    /// What a customer's SPF record should include.
    pub(crate) spf_include: Option<String>,
    /// The log filter, valid; `None`: as much as the command finds fit.
    pub(crate) log: Option<String>,
    /// Variables that begin like ours and mean nothing: most often a slip of the pen.
    pub(crate) unknown_variables: Vec<String>,
}

/// Where the key-encryption keys come from.
#[derive(Debug, Clone)]
pub(crate) enum KeyEncryptionKeys {
    /// The setting itself.
    Text(SecretString),
    /// A file that the operator keeps.
    File(PathBuf),
    /// A file under the data directory, made by the first start.
    Own,
}

/// A certificate chain and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What is wrong with a configuration, each with its place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistakes(pub(crate) Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Reads the file, if one is named, and the environment.
    ///
    /// # Errors
    /// All mistakes of both.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter_map(|(name, value)| match value.into_string() {
                Ok(value) => Some((name, value)),
                Err(_) if name.starts_with("PILLARBOX_") => {
                    mistakes.push(format!("{name}: not UTF-8"));
                    None
                }
                Err(_) => None,
            })
            .collect();
        let text = file.map(|path| (path, std::fs::read_to_string(path)));
        let text = match text {
            Some((path, Ok(text))) => Some((path, text)),
            Some((path, Err(error))) => {
                mistakes.push(format!("{}: {error}", path.display()));
                None
            }
            None => None,
        };
        Self::read(text, &environment, account::is_root(), mistakes)
    }

    fn read(
        file: Option<(&Path, String)>,
        environment: &BTreeMap<String, String>,
        is_root: bool,
        mistakes: Vec<String>,
    ) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(file, environment, mistakes);
        let config = Self::take(&mut reader, is_root);
        if reader.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(reader.mistakes)) }
    }

    /// Asks for every setting. Where there are mistakes, what it returns is not to be used.
    fn take(reader: &mut Reader<'_>, is_root: bool) -> Self {
        let environment = reader.environment;
        let data_dir =
            reader.value("data_dir", parse_path).or_else(|| default_data_dir(environment, is_root));
        if data_dir.is_none() {
            reader
                .mistakes
                .push("PILLARBOX_DATA_DIR: must be set, since neither XDG_DATA_HOME nor HOME is".into());
        }
        let certificate = reader.value("tls_certificate", parse_path);
        let key = reader.value("tls_key", parse_path);
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => {
                reader.mistakes.push("tls_certificate and tls_key: give both or neither".into());
                None
            }
        };
        let tls_directory = reader.value("tls_directory", parse_path);
        let blob_url =
            reader.value("blob_url", |text| blob::Location::from_str(text).map_err(|e| e.to_string()));
        let key_encryption_keys = reader.key_encryption_keys(blob_url.is_some());
        Self {
            data_dir: data_dir.unwrap_or_default(),
            hostname: reader.value("hostname", parse_hostname).unwrap_or_else(|| "localhost".into()),
            http_listen: reader.listen("http_listen", 8080),
            lmtp_listen: reader.listen("lmtp_listen", 2424),
            lookup_listen: reader.listen("lookup_listen", 2425),
            spam_mark: reader
                .value("spam_header", parse_spam_header)
                .unwrap_or_else(|| DEFAULT_SPAM_HEADER.parse().ok()),
            imap_listen: reader.listen("imap_listen", 2143),
            imaps_listen: reader.listen("imaps_listen", 2993),
            pop3_listen: reader.listen("pop3_listen", 2110),
            pop3s_listen: reader.listen("pop3s_listen", 2995),
            submission_listen: reader.listen("submission_listen", 2587),
            submissions_listen: reader.listen("submissions_listen", 2465),
            smarthost: reader.value("smarthost_url", |text| {
                relay::Smarthost::parse(text).map_err(|error| error.to_string())
            }),
            database_url: reader.value("database_url", parse_database_url),
            blob_url,
            key_encryption_keys,
            compaction_lag_hours: reader
                .value("compaction_lag_hours", parse_up_to(MAX_COMPACTION_LAG_HOURS))
                .unwrap_or(COMPACTION_LAG_HOURS),
            compaction_mib_per_second: reader
                .value("compaction_mib_per_second", parse_count)
                .unwrap_or(COMPACTION_MIB_PER_SECOND),
            journal_seconds: reader
                .value("journal_seconds", parse_up_to(recovery::MOST_SECONDS.get()))
                .unwrap_or(recovery::SECONDS),
            backup_days: reader.value("backup_days", parse_up_to(MAX_BACKUP_DAYS)).unwrap_or(BACKUP_DAYS),
            body_cache_mib: reader.value("body_cache_mib", parse_count).unwrap_or(BODY_CACHE_MIB),
            body_cache_disk_mib: reader.value("body_cache_disk_mib", parse_count),
            tls,
            tls_directory,
            api_requests_per_minute: reader
                .value("api_requests_per_minute", parse_count)
                .unwrap_or(api::Limits::default().requests_per_minute),
            api_body_kib: reader.value("api_body_kib", parse_up_to(MAX_API_BODY_KIB)).unwrap_or(API_BODY_KIB),
            api_header_kib: reader
                .value("api_header_kib", parse_between(LEAST_API_HEADER_KIB, MAX_API_HEADER_KIB))
                .unwrap_or(API_HEADER_KIB),
            trusted_proxies: reader.value("trusted_proxies", parse_networks).unwrap_or_default(),
            webhook_allowed_networks: reader
                .value("webhook_allowed_networks", parse_networks)
                .unwrap_or_default(),
            stripe_url: reader
                .value("stripe_url", parse_provider)
                .unwrap_or_else(|| DEFAULT_STRIPE_URL.into()),
            vies_url: reader.value("vies_url", parse_register),
            dns_servers: reader.value("dns_servers", parse_addresses),
            mx_hosts: reader.value("mx_hosts", parse_hosts).unwrap_or_default(),
            spf_include: reader.value("spf_include", parse_hostname),
            log: reader.value("log", parse_log),
            unknown_variables: unknown_variables(environment),
        }
    }
}

/// Takes settings from the environment or the file, and notes what is wrong with them.
struct Reader<'a> {
    file_name: String,
    file: toml::Table,
    environment: &'a BTreeMap<String, String>,
    /// The keys that were asked for.
    asked: BTreeSet<&'static str>,
    mistakes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(
        file: Option<(&Path, String)>,
        environment: &'a BTreeMap<String, String>,
        mut mistakes: Vec<String>,
    ) -> Self {
        let (file_name, text) =
            file.map_or_else(Default::default, |(path, text)| (path.display().to_string(), text));
        let file = text.parse::<toml::Table>().unwrap_or_else(|error| {
            // Not the error's own Display: it quotes the line, which may be the one with a password.
            let before = text.bytes().take(error.span().map_or(0, |span| span.start));
            let line = 1 + before.filter(|byte| *byte == b'\n').count();
            mistakes.push(format!("{file_name}: line {line}: not TOML: {}", error.message()));
            toml::Table::new()
        });
        for key in file.keys().filter(|key| !SETTINGS.iter().any(|(known, ..)| known == key)) {
            let known = SETTINGS.iter().map(|(known, ..)| *known).collect::<Vec<_>>().join(", ");
            mistakes.push(format!("{file_name}: unknown key {key:?}; known are {known}"));
        }
        Self { file_name, file, environment, asked: BTreeSet::new(), mistakes }
    }

    fn value<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.asked.insert(key);
        let name = variable(key);
        // An empty variable is one that a wrapper script passed on unset.
        let (place, text) = match self.environment.get(&name).filter(|value| !value.is_empty()) {
            Some(text) => (name, text.as_str()),
            None => {
                let place = format!("{}: {key}", self.file_name);
                match self.file.get(key)? {
                    toml::Value::String(text) => (place, text.as_str()),
                    other => {
                        self.mistakes
                            .push(format!("{place}: must be a string in quotes, not {}", other.type_str()));
                        return None;
                    }
                }
            }
        };
        parse(text).map_err(|mistake| self.mistakes.push(format!("{place}: {mistake}"))).ok()
    }

    /// Where bodies lie elsewhere, the keys must not lie in a directory that is taken for a cache.
    fn key_encryption_keys(&mut self, must_be_given: bool) -> KeyEncryptionKeys {
        let text = self.value("key_encryption_keys", parse_key_encryption_keys);
        let file = self.value("key_encryption_keys_file", parse_path);
        match (text, file) {
            (Some(text), None) => KeyEncryptionKeys::Text(text),
            (None, Some(file)) => KeyEncryptionKeys::File(file),
            (Some(_), Some(_)) => {
                self.mistakes
                    .push("key_encryption_keys and key_encryption_keys_file: give one of them".into());
                KeyEncryptionKeys::Own
            }
            (None, None) => {
                if must_be_given {
                    self.mistakes.push(
                        "key_encryption_keys_file: must be set, since blob_url is: without these keys nothing that lies there can be \
                         read. `pillarbox new-key-encryption-key` prints one"
                            .into(),
                    );
                }
                KeyEncryptionKeys::Own
            }
        }
    }

    fn listen(&mut self, key: &'static str, port: u16) -> SocketAddr {
        let parse = |text: &str| {
            text.parse()
                .map_err(|_| format!("{text:?} is not an address and a port, such as 127.0.0.1:{port}"))
        };
        self.value(key, parse).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

fn default_data_dir(environment: &BTreeMap<String, String>, is_root: bool) -> Option<PathBuf> {
    if is_root {
        // Nothing under /root can be reached by the account that Postgres runs as.
        return Some("/var/lib/pillarbox".into());
    }
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home =
        absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    data_home.map(|dir| dir.join("pillarbox"))
}

fn unknown_variables(environment: &BTreeMap<String, String>) -> Vec<String> {
    let is_known = |name: &str| {
        OTHER_VARIABLES.contains(&name) || SETTINGS.iter().any(|(key, ..)| variable(key) == name)
    };
    environment.keys().filter(|name| name.starts_with("PILLARBOX_") && !is_known(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::read(Some((Path::new("p.toml"), file.to_owned())), &environment, true, Vec::new())
            .map_err(|m| m.0)
    }

    #[test]
    fn nothing_configured_means_embedded_defaults() {
        let config = read("", &[]).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/pillarbox"));
        assert_eq!(config.http_listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.lmtp_listen.to_string(), "127.0.0.1:2424");
        assert_eq!(config.lookup_listen.to_string(), "127.0.0.1:2425");
        assert_eq!(config.spam_mark, Some("X-Spam: Yes".parse().unwrap()));
        assert_eq!(config.imap_listen.to_string(), "127.0.0.1:2143");
        assert_eq!(config.imaps_listen.to_string(), "127.0.0.1:2993");
        assert_eq!(config.pop3_listen.to_string(), "127.0.0.1:2110");
        assert_eq!(config.pop3s_listen.to_string(), "127.0.0.1:2995");
        assert!(config.database_url.is_none() && config.blob_url.is_none() && config.tls.is_none());
    }

    #[test]
    fn another_account_keeps_its_data_at_home() {
        let home = |pairs: &[(&str, &str)]| {
            let environment = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Config::read(None, &environment, false, Vec::new()).map(|config| config.data_dir)
        };
        assert_eq!(home(&[("HOME", "/home/a")]).unwrap(), Path::new("/home/a/.local/share/pillarbox"));
        assert_eq!(home(&[("HOME", "/home/a"), ("XDG_DATA_HOME", "/d")]).unwrap(), Path::new("/d/pillarbox"));
        assert!(home(&[]).unwrap_err().0[0].starts_with("PILLARBOX_DATA_DIR: must be set"));
    }

    #[test]
    fn the_environment_goes_before_the_file_and_an_empty_variable_is_none() {
        let file = "http_listen = '127.0.0.1:1'\nlmtp_listen = '[::1]:2'\nhostname = 'mx.example.org'";
        let config =
            read(file, &[("PILLARBOX_HTTP_LISTEN", "127.0.0.1:0"), ("PILLARBOX_LMTP_LISTEN", "")]).unwrap();
        assert_eq!(config.http_listen.port(), 0);
        assert_eq!(config.lmtp_listen.to_string(), "[::1]:2");
        assert_eq!(config.hostname, "mx.example.org");
    }

    #[test]
    fn a_number_of_requests_is_taken_and_is_not_zero() {
        let name = "PILLARBOX_API_REQUESTS_PER_MINUTE";
        let requests = |value| read("", &[(name, value)]).map(|config| config.api_requests_per_minute.get());
        assert_eq!(requests("120"), Ok(120));
        let (key, default, _) = SETTINGS.iter().find(|(key, ..)| variable(key) == name).unwrap();
        assert_eq!(requests("").map(|count| count.to_string()).as_deref(), Ok(*default), "{key}");
        for value in ["0", "-1", "many", "4294967296"] {
            let mistake = format!("{name}: {value:?} is not a whole number from 1 to 4294967295");
            assert_eq!(requests(value), Err(vec![mistake]));
        }
    }

    #[test]
    fn the_api_s_limits_of_body_and_header_have_bounds() {
        let both = |body, header| {
            let named = [("PILLARBOX_API_BODY_KIB", body), ("PILLARBOX_API_HEADER_KIB", header)];
            read("", &named).map(|config| (config.api_body_kib.get(), config.api_header_kib.get()))
        };
        assert_eq!(
            [both("", ""), both("1", "8"), both("65536", "256")],
            [Ok((1024, 64)), Ok((1, 8)), Ok((65536, 256))]
        );
        let limits = api::Limits::default();
        assert_eq!((limits.body_bytes, limits.header_bytes), (1024 << 10, 64 << 10));
        for (body, header) in [("0", "7"), ("65537", "257"), ("a lot", "64 KiB")] {
            let mistakes = [
                format!("PILLARBOX_API_BODY_KIB: {body:?} is not a whole number from 1 to 65536"),
                format!("PILLARBOX_API_HEADER_KIB: {header:?} is not a whole number from 8 to 256"),
            ];
            assert_eq!(both(body, header), Err(mistakes.to_vec()));
        }
    }

    #[test]
    fn mail_lies_in_shared_packs_for_six_days_at_most() {
        let name = "PILLARBOX_COMPACTION_LAG_HOURS";
        let hours = |value| read("", &[(name, value)]).map(|config| config.compaction_lag_hours.get());
        assert_eq!([hours(""), hours("1"), hours("144")], [Ok(24), Ok(1), Ok(144)]);
        for value in ["0", "145", "4294967296", "a day"] {
            assert_eq!(
                hours(value),
                Err(vec![format!("{name}: {value:?} is not a whole number from 1 to 144")])
            );
        }
    }

    #[test]
    fn the_journal_is_put_once_a_minute_at_least() {
        let seconds = |value| {
            read("", &[("PILLARBOX_JOURNAL_SECONDS", value)]).map(|config| config.journal_seconds.get())
        };
        assert_eq!([seconds(""), seconds("1"), seconds("60")], [Ok(1), Ok(1), Ok(60)]);
        for value in ["0", "61", "0.5", "a second"] {
            let mistake = format!("PILLARBOX_JOURNAL_SECONDS: {value:?} is not a whole number from 1 to 60");
            assert_eq!(seconds(value), Err(vec![mistake]));
        }
    }

    #[test]
    fn backups_are_kept_for_some_days() {
        let days =
            |value| read("", &[("PILLARBOX_BACKUP_DAYS", value)]).map(|config| config.backup_days.get());
        assert_eq!([days(""), days("1"), days("3650")], [Ok(30), Ok(1), Ok(3650)]);
        for value in ["0", "3651", "-1", "a month"] {
            let mistake = format!("PILLARBOX_BACKUP_DAYS: {value:?} is not a whole number from 1 to 3650");
            assert_eq!(days(value), Err(vec![mistake]));
        }
    }

    #[test]
    fn what_marks_spam_is_a_field_or_none() {
        let mark = |value| read("", &[("PILLARBOX_SPAM_HEADER", value)]).map(|config| config.spam_mark);
        assert_eq!(mark("X-Spam-Flag: YES"), Ok(Some("X-Spam-Flag: YES".parse().unwrap())));
        assert_eq!(mark("none"), Ok(None));
        assert_eq!(mark(""), Ok(Some("X-Spam: Yes".parse().unwrap())));
        let mistake = "PILLARBOX_SPAM_HEADER: \"X-Spam\": not a header field of the form name: value";
        assert_eq!(mark("X-Spam"), Err(vec![mistake.to_owned()]));
    }

    #[test]
    fn urls_are_taken() {
        let database = "postgres://pillarbox:s3cret@db.example/pillarbox";
        let blobs = "s3://mail/prefix?endpoint=http://127.0.0.1:3900&region=garage&path_style=true";
        let keys = ("PILLARBOX_KEY_ENCRYPTION_KEYS_FILE", "/etc/pillarbox/keys");
        let config =
            read("", &[("PILLARBOX_DATABASE_URL", database), ("PILLARBOX_BLOB_URL", blobs), keys]).unwrap();
        assert_eq!(config.database_url.as_ref().unwrap().expose_secret(), database);
        assert_eq!(config.blob_url, Some(blobs.parse().unwrap()));
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_password_that_breaks_its_url_is_a_mistake_and_is_not_shown() {
        let name = "PILLARBOX_DATABASE_URL";
        for mark in ["/", "?", "#"] {
            let url = format!("postgres://u:hun@ter{mark}2@db.example/d");
            let mistakes = read("", &[(name, url.as_str())]).unwrap_err().concat();
            assert!(mistakes.starts_with(name) && mistakes.contains("@ as %40"), "{mistakes}");
            assert!(!mistakes.contains("hun") && !mistakes.contains("ter"), "{mistakes}");
        }
        assert!(read("", &[(name, "postgres://u:hun%40ter%2F2@db.example/d")]).is_ok());
    }

    #[test]
    fn key_encryption_keys_are_given_once_and_never_shown() {
        let text = format!("one {}=", "A".repeat(43));
        let given = ("PILLARBOX_KEY_ENCRYPTION_KEYS", text.as_str());
        let config = read("", &[given]).unwrap();
        assert!(matches!(config.key_encryption_keys, KeyEncryptionKeys::Text(_)));
        assert!(!format!("{config:?}").contains("AAAA"));
        assert!(matches!(read("", &[]).unwrap().key_encryption_keys, KeyEncryptionKeys::Own));
        let file = ("PILLARBOX_KEY_ENCRYPTION_KEYS_FILE", "/keys");
        for (environment, mistake) in [
            (vec![given, file], "key_encryption_keys and key_encryption_keys_file: give one"),
            (vec![("PILLARBOX_BLOB_URL", "file:///bodies")], "key_encryption_keys_file: must be set"),
            (
                vec![("PILLARBOX_KEY_ENCRYPTION_KEYS", "hunter2")],
                "PILLARBOX_KEY_ENCRYPTION_KEYS: line 1 is not a name and 32 bytes",
            ),
        ] {
            let mistakes = read("", &environment).unwrap_err();
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(mistake), "{mistakes:?}");
            assert!(!mistakes.concat().contains("hunter2"));
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once_and_no_password_with_them() {
        let file = "htp_listen = 'x'\npop3_listen = 2110\ntls_key = '/k.pem'\nlog = 'a=b=c'";
        let environment = [
            ("PILLARBOX_HTTP_LISTEN", "localhost"),
            ("PILLARBOX_DATABASE_URL", "mysql://u:hunter2@h/d"),
            ("PILLARBOX_BLOB_URL", "ftp://x"),
            ("PILLARBOX_HOSTNAME", "two words"),
        ];
        let mistakes = read(file, &environment).unwrap_err();
        let begins = [
            "p.toml: unknown key \"htp_listen\"; known are data_dir, ",
            "p.toml: pop3_listen: must be a string in quotes, not integer",
            "tls_certificate and tls_key: give both or neither",
            "p.toml: log: \"a=b=c\" is not a log filter",
            "PILLARBOX_HTTP_LISTEN: \"localhost\" is not an address and a port",
            "PILLARBOX_DATABASE_URL: must begin with postgres://",
            "PILLARBOX_BLOB_URL: unknown scheme",
            "PILLARBOX_HOSTNAME: \"two words\" is not a host name",
        ];
        for begin in begins {
            assert_eq!(mistakes.iter().filter(|m| m.starts_with(begin)).count(), 1, "{begin}: {mistakes:#?}");
        }
        assert_eq!(mistakes.len(), begins.len(), "{mistakes:#?}");
        assert!(!mistakes.concat().contains("hunter2"));
    }

    #[test]
    fn a_broken_file_does_not_hide_the_environments_mistakes() {
        let mistakes = read(
            "\nhttp_listen = nonsense\ndatabase_url = 'postgres://u:hunter2@h'",
            &[("PILLARBOX_LOG", "a=b=c")],
        )
        .unwrap_err();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[0].starts_with("p.toml: line 2: not TOML: "), "{mistakes:?}");
        assert!(!mistakes.concat().contains("hunter2"));
    }

    #[test]
    fn a_slip_in_a_variables_name_is_noticed() {
        let config =
            read("", &[("PILLARBOX_HTPP_LISTEN", "x"), ("PILLARBOX_CONFIG", "p.toml"), ("HOME", "/")])
                .unwrap();
        assert_eq!(config.unknown_variables, ["PILLARBOX_HTPP_LISTEN"]);
    }
}
