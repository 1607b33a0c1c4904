//! Lookups of absolute names, without a cache, a hosts file or search domains.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;

/// How long one server may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often each server is asked before we give up.
const ATTEMPTS: usize = 2;
/// How long a lookup may take altogether, with every server, TCP and aliases: somebody waits for it.
const DEADLINE: Duration = Duration::from_secs(8);

/// Why a lookup has no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SERVFAIL, REFUSED, a timeout, or no server to ask: nothing is known about the records. Asking later may help.
    #[error("the domain name system did not answer")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// One MX record. As text it is `10 mx.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The host name, in lower case and without the final dot; `.` alone is the null MX's.
    pub exchange: String,
}

impl Mx {
    /// Whether this says that the domain takes no mail (RFC 7505 §3).
    pub fn is_null(&self) -> bool {
        self.exchange == "."
    }
}

impl fmt::Display for Mx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.preference, self.exchange)
    }
}

/// Asks name servers. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Resolver {
    // One each: hickory's pool takes a SERVFAIL or REFUSED of one server for the answer of all of them.
    servers: Arc<[TokioResolver]>,
}

impl Resolver {
    /// Asks the servers that `/etc/resolv.conf` names now; of its options and search domains nothing is taken.
    ///
    /// If it cannot be read or names no server, every lookup answers [`Error::Unavailable`].
    pub fn system() -> Resolver {
        let servers = read_system_conf().map(|(config, _)| config.name_servers).unwrap_or_default();
        Self::asking(servers)
    }

    /// Asks these servers, in this order: over UDP, and over TCP what does not fit.
    ///
    /// They have to be recursive, or know all that they will be asked. With none, every lookup answers
    /// [`Error::Unavailable`].
    pub fn at(servers: &[SocketAddr]) -> Resolver {
        let config = |server: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        };
        Self::asking(servers.iter().map(config).collect())
    }

    fn asking(servers: Vec<NameServerConfig>) -> Resolver {
        // Building fails only for TLS, which is not asked for.
        Resolver { servers: servers.into_iter().filter_map(|server| client(server).ok()).collect() }
    }

    /// The TXT records at an absolute name, the final dot being optional: each record's strings put together
    /// (RFC 7208 §3.3, RFC 6376 §3.6.2.2), with what is not UTF-8 replaced.
    ///
    /// Empty if the name does not exist, has no such record, or is none that could exist.
    pub async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        let answers = self.lookup(name, RecordType::TXT).await?;
        let texts = answers.into_iter().filter_map(|data| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            // The aliases on the way, RFC 1034 §3.6.2.
            _ => None,
        });
        Ok(texts.collect())
    }

    /// The MX records at an absolute name, the final dot being optional, by preference and then by host.
    ///
    /// Empty if the name does not exist, has no such record, or is none that could exist.
    pub async fn mx(&self, name: &str) -> Result<Vec<Mx>, Error> {
        let answers = self.lookup(name, RecordType::MX).await?;
        let records = answers.into_iter().filter_map(|data| match data {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: host(&mx.exchange) }),
            _ => None,
        });
        let mut records = records.collect::<Vec<_>>();
        records.sort_by(|a, b| (a.preference, &a.exchange).cmp(&(b.preference, &b.exchange)));
        Ok(records)
    }

    async fn lookup(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Error> {
        // A label of more than 63 octets, say, has no records because it cannot have any.
        let Ok(mut name) = Name::from_str_relaxed(name) else { return Ok(Vec::new()) };
        name.set_fqdn(true);
        match tokio::time::timeout(DEADLINE, self.ask(&name, kind)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(Error::Unavailable(elapsed.into())),
        }
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, Error> {
        let mut failure = Error::Unavailable("no name server is configured".into());
        for server in (0..ATTEMPTS).flat_map(|_| self.servers.iter()) {
            match server.lookup(name.clone(), kind).await {
                Ok(found) => return Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
                Err(error) if says_there_are_none(&error) => return Ok(Vec::new()),
                Err(error) => failure = Error::Unavailable(error.into()),
            }
        }
        Err(failure)
    }
}

fn client(server: NameServerConfig) -> Result<TokioResolver, NetError> {
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    set_options(builder.options_mut());
    builder.build()
}

fn set_options(options: &mut ResolverOpts) {
    options.timeout = TIMEOUT;
    // We repeat, and go on to the next server, ourselves.
    options.attempts = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // No cache at all: an absence above all would be remembered for as long as the zone says (RFC 2308 §5).
    options.cache_size = 0;
}

/// NXDOMAIN and NODATA (RFC 2308 §2), but neither errors nor a referral, with which a server that does not
/// recurse sends us elsewhere.
fn says_there_are_none(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return false };
    match none.response_code {
        ResponseCode::NXDomain => true,
        ResponseCode::NoError => none.soa.is_some() || none.ns.is_none(),
        _ => false,
    }
}

fn host(name: &Name) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::net::{ForwardNSData, NoRecords};
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::NS;

    use super::*;

    fn none(code: ResponseCode) -> NoRecords {
        NoRecords::new(Query::new(), code)
    }

    #[test]
    fn only_nxdomain_and_nodata_say_that_there_are_none() {
        assert!(says_there_are_none(&none(ResponseCode::NXDomain).into()));
        assert!(says_there_are_none(&none(ResponseCode::NoError).into()));
        assert!(!says_there_are_none(&none(ResponseCode::ServFail).into()));
        assert!(!says_there_are_none(&NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused))));
        assert!(!says_there_are_none(&NetError::Timeout));
    }

    #[test]
    fn a_referral_says_nothing_about_the_records() {
        let mut referral = none(ResponseCode::NoError);
        let ns = Record::from_rdata(Name::root(), 1, RData::NS(NS(Name::root())));
        referral.ns = Some([ForwardNSData { ns, glue: [].into() }].into());
        assert!(!says_there_are_none(&referral.into()));
    }

    #[test]
    fn hosts_are_lower_case_without_the_final_dot() {
        assert_eq!(host(&Name::from_ascii("MX1.Example.ORG.").unwrap()), "mx1.example.org");
        assert_eq!(host(&Name::root()), ".");
    }
}
