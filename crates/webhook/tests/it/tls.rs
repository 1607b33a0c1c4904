//! Whom an attempt trusts.

use std::sync::Arc;
use std::time::Duration;

use kernel::Env;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use webhook::{Guard, Limits, SendError, Sender, TlsError, Verdict};

use crate::support::{Answer, Server, delivery, loopback, patient, sender};

/// A server with a certificate that it signed itself, for these names.
async fn server(names: &[&str]) -> (Server, CertificateDer<'static>) {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let answer = Answer::of("200 OK", &[], b"by tls");
    (Server::with_tls(answer, TlsAcceptor::from(Arc::new(tls))).await, certificate)
}

fn trusting(certificate: CertificateDer<'static>) -> Sender {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Sender::with_roots(loopback(), patient(), roots).unwrap()
}

#[tokio::test]
async fn a_trusted_certificate_is_delivered_to() {
    let (server, certificate) = server(&["localhost", "127.0.0.1"]).await;
    let sender = trusting(certificate);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/hook", server.port);
        let outcome = sender.send(&Env::system(), &delivery(url)).await;
        assert_eq!(outcome.verdict(), Verdict::Delivered, "{host}: {outcome:?}");
        assert_eq!(outcome.excerpt, "by tls");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_told_apart() {
    let (server, _) = server(&["localhost"]).await;
    let url = format!("https://localhost:{}/hook", server.port);
    let outcome = sender(loopback(), patient()).send(&Env::system(), &delivery(url)).await;
    let error = outcome.error.unwrap();
    assert!(matches!(error, SendError::Tls(_)), "{error:?}");
    assert!(error.to_string().starts_with("the tls handshake failed: invalid peer certificate"), "{error}");
    assert_eq!(server.heard().len(), 0);
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let (server, certificate) = server(&["other.example"]).await;
    let url = format!("https://localhost:{}/hook", server.port);
    let outcome = trusting(certificate).send(&Env::system(), &delivery(url)).await;
    assert_eq!(outcome.error.unwrap().code(), "tls");
    assert_eq!(server.heard().len(), 0);
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream
    };
    let (env, sender, delivery) = (Env::system(), sender(loopback(), patient()), delivery(url));
    let (outcome, _) = tokio::join!(sender.send(&env, &delivery), plain);
    assert!(matches!(outcome.error, Some(SendError::Tls(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_runs_out_of_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let limits = Limits { connect: Duration::from_millis(300), ..patient() };
    let outcome = sender(loopback(), limits).send(&Env::system(), &delivery(url)).await;
    assert_eq!(outcome.error.unwrap().to_string(), "no connection could be made: timed out");
}

#[test]
fn a_sender_needs_someone_to_trust() {
    assert!(Sender::new(Guard::default(), Limits::default()).is_ok());
    let none = Sender::with_roots(Guard::default(), Limits::default(), RootCertStore::empty());
    assert!(matches!(none, Err(TlsError::NoRoots)));
}
