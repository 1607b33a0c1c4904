//! Which addresses a webhook may reach. Whoever configures an endpoint chooses where our server connects to; from the
//! inside of our network, more answers than should (server-side request forgery).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// What is not globally reachable by IANA's registry of special-purpose IPv4 addresses (RFC 6890), multicast, and one
/// public address that is not what it seems.
const REFUSED_V4: [Ipv4Net; 17] = [
    v4(0, 0, 0, 0, 8),          // this network, RFC 791; Linux takes 0.0.0.0 for loopback
    v4(10, 0, 0, 0, 8),         // private, RFC 1918
    v4(100, 64, 0, 0, 10),      // shared, RFC 6598; metadata of Alibaba Cloud
    v4(127, 0, 0, 0, 8),        // loopback, RFC 1122
    v4(168, 63, 129, 16, 32),   // the host agent of Azure, on any of its machines
    v4(169, 254, 0, 0, 16),     // link-local, RFC 3927; metadata of most clouds
    v4(172, 16, 0, 0, 12),      // private, RFC 1918
    v4(192, 0, 0, 0, 24),       // protocol assignments, RFC 6890; metadata of Oracle Cloud
    v4(192, 0, 2, 0, 24),       // documentation, RFC 5737
    v4(192, 88, 99, 0, 24),     // 6to4 relays, RFC 7526
    v4(192, 168, 0, 0, 16),     // private, RFC 1918
    v4(198, 18, 0, 0, 15),      // benchmarking, RFC 2544
    v4(198, 51, 100, 0, 24),    // documentation, RFC 5737
    v4(203, 0, 113, 0, 24),     // documentation, RFC 5737
    v4(224, 0, 0, 0, 4),        // multicast, RFC 5771
    v4(240, 0, 0, 0, 4),        // reserved, RFC 1112
    v4(255, 255, 255, 255, 32), // broadcast, RFC 919
];

/// All that IANA has given out for global unicast (RFC 4291 §2.4). What lies outside is refused without being named:
/// `::`, `::1`, fc00::/7, fe80::/10, fec0::/10, ff00::/8, 100::/64, 64:ff9b:1::/48, 5f00::/16 and what is yet to come.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What is not globally reachable within [`GLOBAL_V6`]. The tunnels carry an IPv4 address of the sender's choice and
/// are no longer in use.
const REFUSED_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 23), // protocol assignments, RFC 2928; Teredo, RFC 4380; ORCHID, benchmarking
    v6(0x2001, 0x0db8, 32), // documentation, RFC 3849
    v6(0x2002, 0, 16), // 6to4, RFC 3056
    v6(0x3fff, 0, 20), // documentation, RFC 9637
];

/// NAT64's well-known prefix (RFC 6052): on a network without IPv4, every IPv4 address is reached by it.
const NAT64: Ipv6Net = v6(0x0064, 0xff9b, 96);

/// Says which addresses may be reached: the public ones, and those in networks that the configuration allows.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

impl Guard {
    /// A guard that lets through public addresses and `allowed`, whatever those are.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed }
    }

    /// Whether `address` may be reached.
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = meant(address);
        self.allows(address)
            || match address {
                IpAddr::V4(address) => !REFUSED_V4.iter().any(|net| net.contains(&address)),
                IpAddr::V6(address) => {
                    GLOBAL_V6.contains(&address) && !REFUSED_V6.iter().any(|net| net.contains(&address))
                }
            }
    }

    /// Whether `address` lies in a network that the configuration names, so that it may be reached without TLS.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        let address = meant(address);
        self.allowed.iter().any(|net| net.contains(&address))
    }
}

/// The IPv4 address that an IPv6 address leads to, if it leads to one: mapped (RFC 4291 §2.5.5.2) or through NAT64.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if NAT64.contains(&v6) {
        let [.., a, b, c, d] = v6.octets();
        return IpAddr::V4(Ipv4Addr::new(a, b, c, d));
    }
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permits(guard: &Guard, address: &str) -> bool {
        guard.permits(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_reached() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2a00:1450:4001:800::200e",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(permits(&Guard::default(), address), "{address}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:1.1.1.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:0:5ef5:79fd::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(&Guard::default(), address), "{address}");
        }
    }

    #[test]
    fn a_network_that_is_allowed_is_reached_in_every_notation() {
        let guard = Guard::new(vec!["10.1.0.0/16".parse().unwrap(), "fd00:1::/32".parse().unwrap()]);
        for address in ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::5", "1.1.1.1"] {
            assert!(permits(&guard, address), "{address}");
        }
        for address in ["10.2.0.1", "::ffff:10.2.0.1", "fd00:2::5", "127.0.0.1", "::1"] {
            assert!(!permits(&guard, address), "{address}");
        }
        assert!(guard.allows("10.1.2.3".parse().unwrap()));
        assert!(!guard.allows("1.1.1.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn an_embedded_address_is_judged_as_itself(address: Ipv4Addr) {
            let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
            let plain = guard.permits(address.into());
            let [a, b, c, d] = address.octets();
            prop_assert_eq!(guard.permits(address.to_ipv6_mapped().into()), plain);
            let translated: IpAddr = format!("64:ff9b::{a}.{b}.{c}.{d}").parse().unwrap();
            prop_assert_eq!(guard.permits(translated), plain);
        }

        /// What the standard library calls special is refused. It knows less than our table, never more.
        #[test]
        fn no_special_v4_address_is_reached(address: Ipv4Addr) {
            let special = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_documentation()
                || address.is_unspecified();
            prop_assert!(!special || !Guard::default().permits(address.into()));
        }

        #[test]
        fn no_special_v6_address_is_reached(bits: u128, prefix in prop::sample::select(vec![
            (0_u128, 96_u32), (0xfc << 120, 7), (0xfe80 << 112, 10), (0xff << 120, 8), (0x2002 << 112, 16),
            (0x2001_0db8 << 96, 32), (0x2001_0000 << 96, 32),
        ])) {
            let (start, length) = prefix;
            let address = Ipv6Addr::from(start | (bits & (u128::MAX >> length)));
            prop_assert!(!Guard::default().permits(address.into()), "{address}");
        }
    }
}
