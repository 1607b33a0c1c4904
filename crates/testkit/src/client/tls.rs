//! TLS for clients that trust any certificate.

use std::sync::Arc;

use anyhow::Result;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::within;

/// Plain or TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {
    /// What its TLS exports to bind to (RFC 9266), if it is TLS.
    fn exported(&self) -> Option<[u8; 32]> {
        None
    }
}

impl Socket for TcpStream {}

impl Socket for Box<dyn Socket> {
    fn exported(&self) -> Option<[u8; 32]> {
        (**self).exported()
    }
}

impl<S: Socket> Socket for TlsStream<S> {
    fn exported(&self) -> Option<[u8; 32]> {
        let (_, tls) = self.get_ref();
        tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
    }
}

/// A TLS connection over `stream`.
pub(super) async fn tls(stream: impl Socket + 'static) -> Result<Box<dyn Socket>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    let stream =
        within("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await?;
    Ok(Box::new(stream))
}

/// Tests talk to self-signed servers on loopback: who answers is not in question, that it encrypts is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
