//! Lookups, ownership and health against a name server on the loopback.

mod resolver;

use dns::Resolver;
use testkit::dns::DnsServer;

async fn server_and_resolver() -> (DnsServer, Resolver) {
    let server = DnsServer::start().await;
    let resolver = Resolver::at(&[server.addr()]);
    (server, resolver)
}
