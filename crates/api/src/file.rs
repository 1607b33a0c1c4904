//! Tables as files: which form is asked for, and files that are sent while they are read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, VARY};
use axum::response::{IntoResponse as _, Response};
use billing::export::Export;
use billing::table::Format;
use futures::stream;
use tokio::sync::{Semaphore, mpsc};

use crate::Limits;
use crate::accept::accepted;
use crate::problem::Problem;
use crate::tasks::Tasks;

/// The media type of a file with one JSON object a line.
const JSON_LINES: &str = "application/jsonl";

/// Which file `Accept` asks for, the first of those that it would rather have.
pub(crate) fn asked(headers: &HeaderMap) -> Option<Format> {
    accepted(headers).iter().find_map(|name| match name.as_str() {
        JSON_LINES => Some(Format::JsonLines),
        "text/csv" => Some(Format::Csv),
        _ => None,
    })
}

/// The same where there is nothing but files; CSV if it does not say.
pub(crate) fn format(headers: &HeaderMap) -> Format {
    asked(headers).unwrap_or(Format::Csv)
}

/// An answer that a browser saves under a name, which gets the format's extension.
pub(crate) fn answer(format: Format, name: &str, body: impl Into<Body>) -> Response {
    let (media_type, extension) = match format {
        Format::Csv => ("text/csv; charset=utf-8; header=present", "csv"),
        Format::JsonLines => (JSON_LINES, "jsonl"),
    };
    let name = format!("attachment; filename=\"{name}.{extension}\"");
    ([(CONTENT_TYPE, media_type), (CONTENT_DISPOSITION, name.as_str()), (VARY, "accept")], body.into())
        .into_response()
}

/// How files are sent while they are read. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Downloads {
    /// One for each file under way, which holds a connection to the database.
    turns: Arc<Semaphore>,
    tasks: Tasks,
    /// How long a client may take to take the next piece.
    patience: Duration,
    /// How long it may take with all of them.
    timeout: Duration,
}

impl Downloads {
    pub(crate) fn new(limits: &Limits, tasks: Tasks) -> Self {
        let turns = Arc::new(Semaphore::new(limits.downloads));
        Self { turns, tasks, patience: limits.download_patience, timeout: limits.download_timeout }
    }

    /// Opens a file when it is its turn, and sends it. What fails before the first piece is a problem; what fails after it breaks the
    /// connection, so that nobody takes a part for the whole.
    pub(crate) async fn send(
        &self,
        open: impl Future<Output = Result<Export, billing::Error>>,
        format: Format,
        name: &str,
    ) -> Result<Response, Problem> {
        // It fails for a closed semaphore only, which this one never is.
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Problem::internal)?;
        let mut export = open.await?;
        let first = export.next().await?;
        let (sender, receiver) = mpsc::channel(1);
        let Self { patience, timeout, .. } = *self;
        let pieces = async move {
            let mut piece = Ok(first);
            loop {
                let is_last = !matches!(piece, Ok(Some(_)));
                let sent = tokio::time::timeout(patience, sender.send(piece)).await;
                // Otherwise the client has gone, or takes too long, and the connection to the database is another's.
                if is_last || !matches!(sent, Ok(Ok(()))) {
                    break;
                }
                piece = export.next().await;
            }
        };
        self.tasks.spawn(async move {
            let _turn = turn;
            // Cut off, it ends the body as a client that takes too long does.
            if tokio::time::timeout(timeout, pieces).await.is_err() {
                tracing::info!("a file took too long and was given up");
            }
        });
        let pieces = stream::unfold(Some(receiver), async |receiver| {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Ok(Some(piece))) => Some((Ok(Bytes::from(piece)), Some(receiver))),
                Some(Ok(None)) => None,
                Some(Err(error)) => {
                    tracing::error!(error.cause = %error, "a file could not be read to its end");
                    Some((Err(io::Error::other(error)), None))
                }
                None => Some((Err(io::Error::other("the file was given up")), None)),
            }
        });
        Ok(answer(format, name, Body::from_stream(pieces)))
    }
}
