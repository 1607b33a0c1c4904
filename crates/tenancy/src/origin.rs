//! Where a call comes from.

use std::net::IpAddr;

use ipnet::IpNet;
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

    /// What stands for the network that an address is in: the /24 of IPv4, the /56 that a household is given of IPv6.
    pub(crate) fn prefix(address: IpAddr) -> String {
        trunc(address, 56)
    }

    /// What stands for all the networks that one customer may have: the /24 of IPv4, the /48 of IPv6 (RFC 6177).
    pub(crate) fn site(address: IpAddr) -> String {
        trunc(address, 48)
    }
}

fn trunc(address: IpAddr, bits_of_ipv6: u8) -> String {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 24 } else { bits_of_ipv6 };
    IpNet::new(address, bits).map_or_else(|_| address.to_string(), |net| net.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_prefix() {
        let prefix = |text: &str| Origin::prefix(text.parse().unwrap());
        assert_eq!(prefix("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(prefix("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(prefix("2001:db8:1:2345::1"), "2001:db8:1:2300::/56");
        let site = |text: &str| Origin::site(text.parse().unwrap());
        assert_eq!(site("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(site("2001:db8:1:2345::1"), "2001:db8:1::/48");
    }
}
