//! The certificate that POP3 shows: the operator's, or a self-signed one made once for local use.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, TlsFiles};
use crate::files::{DataDir, write_private};

/// Reads the configured certificate, or the self-signed one, which is made if there is none yet.
pub(crate) fn server_config(config: &Config, data_dir: &DataDir) -> Result<Arc<ServerConfig>> {
    let files = match &config.tls {
        Some(files) => files.clone(),
        None => self_signed(data_dir, &config.hostname)?,
    };
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("reading the TLS key {}", files.key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("using {} with {}", files.certificate.display(), files.key.display()))?;
    Ok(Arc::new(config))
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
