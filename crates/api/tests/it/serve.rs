use std::time::Duration;

use api::Limits;
use serde_json::json;
use testkit::client::http::Http;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::App;

const DEADLINE: Duration = Duration::from_secs(20);

async fn start(app: &App) -> (std::net::SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(api::serve(listener, app.api.clone(), shutdown.clone()));
    (address, shutdown, server)
}

#[tokio::test]
async fn answers_over_a_socket_and_stops_when_told() {
    let app = App::new().await;
    let (address, shutdown, server) = start(&app).await;
    let http = Http::new(address).unwrap().with_token(app.operator.clone());
    let answer = http
        .request("POST".parse().unwrap(), "/v1/resellers")
        .json(&json!({"name": "North"}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    // An idle connection is kept alive now and does not hold up the end.
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_under_way_is_finished_at_shutdown() {
    let app = App::new().await;
    let (address, shutdown, server) = start(&app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = json!({"name": "North"}).to_string();
    let head = format!(
        "POST /v1/resellers HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        app.operator,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so the request is under way.
    let mut seen = [0; 25];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"HTTP/1.1 100 Continue\r\n\r\n");
    shutdown.cancel();
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_header_of_the_limit_is_refused_with_431_and_its_connection_closed() {
    let begun = "GET /healthz HTTP/1.1\r\nhost: x\r\nx-filler: ";
    let standard = Limits::default();
    assert_eq!(standard.header_bytes, 64 << 10);
    for limits in [
        standard.clone(),
        Limits { header_bytes: 16 << 10, ..standard.clone() },
        Limits { header_bytes: 1, ..standard },
    ] {
        // Less than hyper takes is not a fault of the listener's.
        let limit = limits.header_bytes.max(8 << 10);
        let app = App::with_limits(limits).await;
        let (address, shutdown, server) = start(&app).await;
        let ask = async |head: String| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            answer
        };
        // Exactly what is buffered and no end of it: nothing is left unread, so the connection is closed and not reset.
        let refused = ask(format!("{begun}{}", "a".repeat(limit - begun.len()))).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{limit}: {refused}");
        let taken = ask(format!("{begun}{}\r\nconnection: close\r\n\r\n", "a".repeat(limit - 1024))).await;
        assert!(taken.starts_with("HTTP/1.1 200 "), "{limit}: {taken}");
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn silence_is_not_waited_for() {
    let brief = Duration::from_millis(200);
    let limits = Limits {
        header_read_timeout: brief,
        body_read_timeout: brief,
        shutdown_grace: brief,
        ..Limits::default()
    };
    let app = App::with_limits(limits).await;
    let (address, shutdown, server) = start(&app).await;
    for head in ["", "GET /healthz HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/resellers HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{{",
        app.operator
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("malformed_body"), "{answer}");
    // One that never ends is cut.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, server).await.unwrap().unwrap();
}
