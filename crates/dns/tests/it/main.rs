//! Lookups, ownership and health against a name server on the loopback.

mod health;
mod ownership;
mod resolver;

use dns::Resolver;
use kernel::DomainName;
use testkit::dns::DnsServer;

async fn server_and_resolver() -> (DnsServer, Resolver) {
    let server = DnsServer::start().await;
    let resolver = Resolver::at(&[server.addr()]);
    (server, resolver)
}

fn domain(name: &str) -> DomainName {
    name.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}
