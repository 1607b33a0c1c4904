//! The certificates that IMAP and POP3 show, each to who asks for a name in it, and read again when their files change.
//!
//! The first one is the operator's, or a self-signed one made once for local use: it is shown to who asks for a name that no other has, or for
//! none. The others lie in a directory, each in one of its own, as certbot leaves them. What is wrong with one is that one's alone: what was read
//! of it before is shown on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::Env;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, TlsFiles};
use crate::files::{DataDir, write_private};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What the files in a directory of the directory are called.
const CERTIFICATE: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
/// How many days before its end a certificate that is read is told of.
const SOON_DAYS: i64 = 14;

/// The certificates, and where they come from.
#[derive(Debug)]
pub(crate) struct Certificates {
    first: TlsFiles,
    directory: Option<PathBuf>,
    env: Env,
    shown: RwLock<Shown>,
}

/// What is shown.
#[derive(Debug)]
struct Shown {
    first: Arc<CertifiedKey>,
    /// By the directory that each lies in.
    others: BTreeMap<PathBuf, Arc<CertifiedKey>>,
    /// By names in lower case; `*.` stands for any one label.
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
    /// When the files had been written that it was read from.
    of: Vec<(PathBuf, Option<SystemTime>)>,
    /// What could not be read.
    wrong: Vec<String>,
}

impl Shown {
    fn complain(&self) {
        for error in &self.wrong {
            tracing::warn!(error, "a certificate was not read");
        }
    }

    /// What is to be said of the validity of all that is shown.
    fn terms(&self, now: DateTime<Utc>) -> Vec<Term> {
        let all = std::iter::once(&self.first).chain(self.others.values());
        all.flat_map(|certified| terms(certified, now)).collect()
    }
}

/// That a certificate is not valid, or not for much longer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    /// The host names that its chain is for.
    names: String,
    /// Its place in the chain; 0 is the one that has the names.
    place: usize,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
    is: &'static str,
}

impl Term {
    fn warn(&self) {
        let Self { names, place, not_before, not_after, is } = self;
        tracing::warn!(
            tls.names = names,
            tls.place = place,
            tls.not_before = %not_before,
            tls.not_after = %not_after,
            "a certificate is shown that {is}"
        );
    }
}

impl Certificates {
    /// Reads the configured certificates, or the self-signed one, which is made if there is none yet.
    ///
    /// # Errors
    /// When the first one or the directory of the others cannot be read, or that is not its key's.
    pub(crate) fn load(config: &Config, data_dir: &DataDir, env: &Env) -> Result<Arc<Self>> {
        let first = match &config.tls {
            Some(files) => files.clone(),
            None => self_signed(data_dir, &config.hostname)?,
        };
        let directory = config.tls_directory.clone();
        let shown = read(&first, directory.as_deref(), None)?;
        shown.complain();
        shown.terms(env.now()).iter().for_each(Term::warn);
        Ok(Arc::new(Self { first, directory, env: env.clone(), shown: RwLock::new(shown) }))
    }

    /// For listeners.
    ///
    /// # Errors
    /// None that is known of.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        Ok(Arc::new(config))
    }

    /// Looks now and then whether the files have changed, until `shutdown`. Connections that there are keep what they were shown.
    pub(crate) async fn keep_up(self: Arc<Self>, shutdown: CancellationToken) {
        while tokio::time::timeout(LOOK_EVERY, shutdown.cancelled()).await.is_err() {
            let own = self.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || own.look()).await {
                tracing::error!(error = %error, "certificates not looked at");
            }
        }
    }

    /// Reads the files again if they have changed, or some could not be read.
    fn look(&self) {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let places = places(&self.first, self.directory.as_deref());
        if shown.wrong.is_empty() && places.as_deref().is_ok_and(|places| shown.of == written(places)) {
            return;
        }
        let read = read(&self.first, self.directory.as_deref(), Some(&shown));
        let (of, wrong) = (shown.of.clone(), shown.wrong.clone());
        drop(shown);
        match read {
            Ok(shown) => {
                // Told once, not at every look.
                if shown.wrong != wrong {
                    shown.complain();
                }
                if shown.of != of {
                    shown.terms(self.env.now()).iter().for_each(Term::warn);
                    tracing::info!(tls.names = shown.by_name.len(), "certificates read again");
                }
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = shown;
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "certificates not read again"),
        }
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let by_name = |name: &str| {
            let name = name.to_ascii_lowercase();
            let any = || shown.by_name.get(&format!("*.{}", name.split_once('.')?.1));
            shown.by_name.get(&name).or_else(any)
        };
        name.and_then(by_name).unwrap_or(&shown.first).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

/// Where the certificates are, the first one first: the directory that it lies in, and its files.
fn places(first: &TlsFiles, directory: Option<&Path>) -> Result<Vec<(PathBuf, TlsFiles)>> {
    let mut all = Vec::new();
    if let Some(directory) = directory {
        let context = || format!("reading the directory of certificates {}", directory.display());
        for entry in std::fs::read_dir(directory).with_context(context)? {
            let path = entry.with_context(context)?.path();
            // What is no directory, such as certbot's README, has none in it.
            if path.is_dir() {
                let files = TlsFiles { certificate: path.join(CERTIFICATE), key: path.join(KEY) };
                all.push((path, files));
            }
        }
        // Of two with one name it is always the same that is shown.
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    }
    all.insert(0, (PathBuf::new(), first.clone()));
    Ok(all)
}

/// When files were written.
fn written(places: &[(PathBuf, TlsFiles)]) -> Vec<(PathBuf, Option<SystemTime>)> {
    let paths = places.iter().flat_map(|(_, files)| [&files.certificate, &files.key]);
    let when = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    paths.map(|path| (path.clone(), when(path))).collect()
}

/// Reads all of them; of one that cannot be read now what was read `before` is kept.
fn read(first: &TlsFiles, directory: Option<&Path>, before: Option<&Shown>) -> Result<Shown> {
    let places = places(first, directory)?;
    // Before they are read: what is written meanwhile is read again.
    let of = written(&places);
    let mut wrong = Vec::new();
    let first = match (certified(first), before) {
        (Ok(first), _) => Arc::new(first),
        (Err(error), Some(before)) => {
            wrong.push(format!("{error:#}"));
            before.first.clone()
        }
        (Err(error), None) => return Err(error),
    };
    let (mut others, mut by_name) = (BTreeMap::new(), BTreeMap::new());
    for (place, files) in places.into_iter().skip(1) {
        let read = certified(&files).and_then(|certified| Ok((names(&certified)?, Arc::new(certified))));
        let certified = match read {
            Ok((_, certified)) => Some(certified),
            Err(error) => {
                wrong.push(format!("{error:#}"));
                before.and_then(|before| before.others.get(&place)).cloned()
            }
        };
        let Some(certified) = certified else { continue };
        by_name.extend(names(&certified)?.into_iter().map(|name| (name, certified.clone())));
        others.insert(place, certified);
    }
    Ok(Shown { first, others, by_name, of, wrong })
}

fn certified(files: &TlsFiles) -> Result<CertifiedKey> {
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("reading the TLS key {}", files.key.display()))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .with_context(|| format!("using {} with {}", files.certificate.display(), files.key.display()))
}

/// The host names that a certificate is for.
fn names(certified: &CertifiedKey) -> Result<Vec<String>> {
    let certificate = webpki::EndEntityCert::try_from(certified.end_entity_cert()?)
        .context("reading the names in a certificate")?;
    Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// What is to be said of the validity of a chain's certificates.
fn terms(certified: &CertifiedKey, now: DateTime<Utc>) -> Vec<Term> {
    let names = names(certified).unwrap_or_default().join(", ");
    let mut terms = Vec::new();
    for (place, certificate) in certified.cert.iter().enumerate() {
        let Some((not_before, not_after)) = validity(certificate) else { continue };
        let is = if now < not_before {
            "is not valid yet"
        } else if now > not_after {
            "has expired"
        } else if now > not_after - TimeDelta::days(SOON_DAYS) {
            "expires soon"
        } else {
            continue;
        };
        terms.push(Term { names: names.clone(), place, not_before, not_after, is });
    }
    terms
}

/// From when and until when a certificate is valid; `None` for one that cannot be read.
fn validity(certificate: &CertificateDer<'_>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    // The time is looked at before everything else: who asks for its two ends is told the certificate's.
    let refused = |seconds| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = webpki::KeyUsage::server_auth();
        certificate.verify_for_usage(&[], &[], &[], time, usage, None, None).err()
    };
    let not_before = match refused(0) {
        Some(webpki::Error::CertNotValidYet { not_before, .. }) => not_before.as_secs(),
        _ => 0,
    };
    let Some(webpki::Error::CertExpired { not_after, .. }) = refused(u64::MAX) else { return None };
    let at = |seconds: u64| DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0);
    Some((at(not_before)?, at(not_after.as_secs())?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let context = || format!("reading the TLS certificate {}", path.display());
    let chain = CertificateDer::pem_file_iter(path).with_context(context)?;
    chain.collect::<Result<Vec<_>, _>>().with_context(context)
}

fn self_signed(data_dir: &DataDir, hostname: &str) -> Result<TlsFiles> {
    let dir = data_dir.private_dir("tls")?;
    let files = TlsFiles { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") };
    // The certificate is written last: where it is, its key is too.
    if !files.certificate.exists() {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if !names.iter().any(|name| name == hostname) {
            names.push(hostname.to_owned());
        }
        let (certificate, key) = make(names, hostname).context("making a self-signed certificate")?;
        write_private(&files.key, key.as_bytes())?;
        write_private(&files.certificate, certificate.as_bytes())?;
    }
    Ok(files)
}

/// A certificate for `names`, its subject `hostname`, and its key, both in PEM.
fn make(names: Vec<String>, hostname: &str) -> Result<(String, String), rcgen::Error> {
    let mut parameters = rcgen::CertificateParams::new(names)?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, hostname);
    let key = rcgen::KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn put(dir: &Path, names: &[&str]) -> TlsFiles {
        std::fs::create_dir_all(dir).unwrap();
        let files = TlsFiles { certificate: dir.join(CERTIFICATE), key: dir.join(KEY) };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let (certificate, key) = make(names, "test").unwrap();
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn each_name_is_shown_its_certificate_also_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let first = put(&dir.path().join("first"), &["mx.example.org"]);
        let live = dir.path().join("live");
        put(&live.join("acme"), &["Mail.acme.example", "*.wild.example"]);
        std::fs::write(live.join("README"), "what certbot says").unwrap();
        let shown = RwLock::new(read(&first, Some(&live), None).unwrap());
        let env = Env::system();
        let certificates = Certificates { first, directory: Some(live.clone()), env, shown };
        let one = |name| certificates.find(name).end_entity_cert().unwrap().to_vec();
        let (default, acme) = (one(None), one(Some("mail.acme.example")));
        assert_ne!(default, acme);
        assert_eq!(one(Some("MAIL.ACME.EXAMPLE")), acme);
        assert_eq!(
            (one(Some("a.wild.example")), one(Some("a.b.wild.example"))),
            (acme.clone(), default.clone())
        );
        assert_eq!((one(Some("wild.example")), one(Some("nobody.example"))), (default.clone(), default));
        // One more, and another one for the same.
        put(&live.join("beta"), &["mail.beta.example"]);
        put(&live.join("acme"), &["mail.acme.example"]);
        certificates.look();
        let renewed = one(Some("mail.acme.example"));
        assert_ne!(renewed, acme);
        let beta = one(Some("mail.beta.example"));
        assert!(beta != renewed && beta != one(None));
        // A certificate whose key has not been written yet changes nothing of its own or another's, and is read when it has.
        let key = std::fs::read(live.join("beta").join(KEY)).unwrap();
        std::fs::write(live.join("beta").join(KEY), "half").unwrap();
        put(&live.join("acme"), &["mail.acme.example"]);
        std::fs::create_dir(live.join("empty")).unwrap();
        certificates.look();
        assert_eq!(one(Some("mail.beta.example")), beta);
        assert_ne!(one(Some("mail.acme.example")), renewed);
        assert_eq!(certificates.shown.read().unwrap().wrong.len(), 2);
        std::fs::remove_dir_all(live.join("acme")).unwrap();
        std::fs::write(live.join("beta").join(KEY), key).unwrap();
        certificates.look();
        assert_eq!((one(Some("mail.acme.example")), one(Some("mail.beta.example"))), (one(None), beta));
    }

    #[test]
    fn a_chain_that_is_not_valid_or_not_for_long_is_told_by_its_names_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let (from, until) = (rcgen::date_time_ymd(2026, 3, 1), rcgen::date_time_ymd(2026, 6, 1));
        let mut parameters = rcgen::CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) = (from, until);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        // With one more behind it that is valid.
        let (issuer, _) = make(vec!["issuer.example.org".to_owned()], "issuer").unwrap();
        let files = TlsFiles { certificate: dir.path().join(CERTIFICATE), key: dir.path().join(KEY) };
        std::fs::write(&files.certificate, format!("{certificate}{issuer}")).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        let shown = read(&files, None, None).unwrap();
        let told = |day: &str| {
            let now: DateTime<Utc> = format!("{day}T12:00:00Z").parse().unwrap();
            let told = shown.terms(now).into_iter();
            told.map(|term| (term.names, term.place, term.not_after.to_rfc3339(), term.is))
                .collect::<Vec<_>>()
        };
        let one = |is| vec![("mx.example.org".to_owned(), 0, "2026-06-01T00:00:00+00:00".to_owned(), is)];
        assert_eq!(told("2026-02-28"), one("is not valid yet"));
        assert!(told("2026-03-01").is_empty());
        assert!(told("2026-05-17").is_empty());
        assert_eq!(told("2026-05-18"), one("expires soon"));
        assert_eq!(told("2026-06-01"), one("has expired"));
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::prepare(dir.path()).unwrap();
        let files = self_signed(&data_dir, "mx.example.org").unwrap();
        let before = std::fs::read(&files.certificate).unwrap();
        assert_eq!(self_signed(&data_dir, "mx.example.org").unwrap(), files);
        assert_eq!(std::fs::read(&files.certificate).unwrap(), before);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&files.key), mode(&dir.path().join("tls"))), (0o600, 0o700));
        assert_eq!(certificates(&files.certificate).unwrap().len(), 1);
    }
}
