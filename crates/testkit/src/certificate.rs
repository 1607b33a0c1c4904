//! A certificate for servers of tests.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How a server offers TLS under a self-signed certificate for `localhost`, and that certificate.
///
/// # Panics
/// When none can be made.
pub fn self_signed() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .unwrap_or_else(|error| panic!("making a certificate: {error}"));
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())
        .unwrap_or_else(|error| panic!("the certificate's key: {error}"));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.clone()], key))
        .unwrap_or_else(|error| panic!("offering TLS: {error}"));
    (Arc::new(config), certificate)
}
