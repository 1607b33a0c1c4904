//! Where a call comes from.

use std::net::IpAddr;

use kernel::RequestId;

/// The request, connection or job that a call came by, and the address it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Names it in logs, problems and on trails.
    pub request_id: RequestId,
    /// The client's address, as far as the edge could tell: behind a trusted proxy, the one that the proxy names.
    pub network: Option<IpAddr>,
}

impl Origin {
    /// Of something that no client's connection stands behind: a job, the command line.
    pub fn local(request_id: RequestId) -> Self {
        Self { request_id, network: None }
    }
}
