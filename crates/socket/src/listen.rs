//! The accept loop: admission, one task a session, and an orderly end.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Admitted};

/// How long accepting pauses after it failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// When a connection becomes TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// When the client asks for it.
    Starttls,
    /// From its first byte (RFC 8314 §3.2).
    Implicit,
    /// Never: the protocol has no TLS, and its clients are programs of our own site.
    Plain,
}

impl Mode {
    /// As metrics and logs name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Implicit => "implicit",
            Self::Plain => "plain",
        }
    }
}

/// How a listener is run.
#[derive(Debug, Clone, Copy)]
pub struct Listen {
    /// The protocol, as metrics name it: in `pillarbox_{protocol}_connections_total` and `…_open_connections`.
    pub protocol: &'static str,
    /// When its connections become TLS.
    pub mode: Mode,
    /// Connections at a time.
    pub max_connections: usize,
    /// Of these, from one IPv4 address or IPv6 /64.
    pub max_connections_per_peer: usize,
    /// How long sessions get, at shutdown, to finish the command they are at.
    pub shutdown_grace: Duration,
    /// What a client that is turned away is told, if it speaks without TLS at first.
    pub too_many: &'static str,
}

impl Listen {
    /// Has `session` play every connection to its end, until `shutdown`. Then none is accepted any more, and sessions that take longer than
    /// the grace are cut off.
    pub async fn serve<S>(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
        session: impl Fn(TcpStream, IpAddr) -> S,
    ) where
        S: Future<Output = ()> + Send + 'static,
    {
        let admission = Admission::new(self.max_connections, self.max_connections_per_peer);
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = sessions.join_next() => self.report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => match admission.admit(address.ip()) {
                        Some(admitted) => {
                            self.count("accepted");
                            // Responses are written whole; waiting to fill a packet only delays them. A socket that refuses is
                            // slower, not wrong.
                            let _ = stream.set_nodelay(true);
                            // A box: the task would have room for it twice, where it comes and where it is played.
                            let session = Box::pin(session(stream, address.ip()));
                            sessions.spawn(self.hold(admitted, session));
                        }
                        None => self.turn_away(stream),
                    },
                    Err(error) => {
                        tracing::warn!(error = %error, protocol = self.protocol, mode = self.mode.as_str(), "cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let finish = async {
            while let Some(ended) = sessions.join_next().await {
                self.report(ended);
            }
        };
        if tokio::time::timeout(self.shutdown_grace, finish).await.is_err() {
            tracing::warn!(protocol = self.protocol, sessions = sessions.len(), "sessions cut off");
            sessions.shutdown().await;
        }
    }

    /// Counts the connection as open, and keeps its place, for as long as the session lasts.
    async fn hold(self, admitted: Admitted, session: impl Future<Output = ()> + Send) {
        let _place = (admitted, Open::new(self));
        session.await;
    }

    /// Tells a client without TLS why; a fresh socket has room for one line, and nobody waits for it.
    fn turn_away(&self, stream: TcpStream) {
        self.count("turned_away");
        let (protocol, mode) = (self.protocol, self.mode.as_str());
        match self.mode {
            // The MTA tries as many as it likes, and comes again by itself.
            Mode::Plain => tracing::debug!(protocol, mode, "turned away, too many are open"),
            _ => tracing::warn!(protocol, mode, "turned away, too many are open"),
        }
        if self.mode != Mode::Implicit {
            // By the system's own call: the runtime need not have seen yet that so new a socket can be written to.
            let told: io::Result<()> =
                stream.into_std().and_then(|mut stream| stream.write_all(self.too_many.as_bytes()));
            if let Err(error) = told {
                tracing::debug!(error = %error, protocol, "who is turned away is gone");
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        let name = format!("pillarbox_{}_connections_total", self.protocol);
        metrics::counter!(name, "mode" => self.mode.as_str(), "outcome" => outcome).increment(1);
    }

    fn report(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            tracing::error!(error = %error, protocol = self.protocol, "a session failed");
        }
    }
}

/// An open connection in the gauge; also when its task is cut off.
struct Open(metrics::Gauge);

impl Open {
    fn new(listen: Listen) -> Self {
        let name = format!("pillarbox_{}_open_connections", listen.protocol);
        let gauge = metrics::gauge!(name, "mode" => listen.mode.as_str());
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// The counters and gauges that were used on this test's thread, with their labels.
    #[derive(Debug, Default)]
    struct Used(Mutex<BTreeSet<String>>);

    impl Used {
        fn note(&self, key: &Key) {
            let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
            let used = format!("{}{}", key.name(), labels.collect::<String>());
            self.0.lock().unwrap().insert(used);
        }
    }

    impl Recorder for Used {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    /// What one connection too many is told, and which metrics were used.
    async fn turned_away(mode: Mode) -> (String, BTreeSet<String>) {
        let used = Used::default();
        let recording = metrics::set_default_local_recorder(&used);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let listen = Listen {
            protocol: "test",
            mode,
            max_connections: 1,
            max_connections_per_peer: 1,
            shutdown_grace: Duration::from_secs(60),
            too_many: "too many",
        };
        let session = |stream: TcpStream, _: IpAddr| {
            let shutdown = shutdown.clone();
            async move {
                shutdown.cancelled().await;
                drop(stream);
            }
        };
        let clients = async {
            let _first = TcpStream::connect(address).await.unwrap();
            let mut told = String::new();
            let mut second = TcpStream::connect(address).await.unwrap();
            second.read_to_string(&mut told).await.unwrap();
            shutdown.cancel();
            told
        };
        let ((), told) = tokio::join!(listen.serve(listener, shutdown.clone(), session), clients);
        drop(recording);
        (told, used.0.into_inner().unwrap())
    }

    #[tokio::test]
    async fn who_is_turned_away_is_told_without_tls_and_metrics_say_when_there_is_tls() {
        for (mode, told, name) in [
            (Mode::Starttls, "too many", "starttls"),
            (Mode::Implicit, "", "implicit"),
            (Mode::Plain, "too many", "plain"),
        ] {
            let used = [
                format!("pillarbox_test_connections_total mode={name} outcome=accepted"),
                format!("pillarbox_test_connections_total mode={name} outcome=turned_away"),
                format!("pillarbox_test_open_connections mode={name}"),
            ];
            assert_eq!(turned_away(mode).await, (told.to_owned(), BTreeSet::from(used)));
        }
    }
}
