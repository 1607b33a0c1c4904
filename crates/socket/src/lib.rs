//! What the sessions of mail protocols have in common: who is let in ([`listen`]), a socket that is plain or TLS ([`stream`]), how much of
//! messages is in memory ([`room`]), what becomes of refused logins ([`login`]), and how sessions end ([`end`]). It knows no protocol's words.

mod admission;
mod deflated;
pub mod end;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod listen;
pub mod login;
pub mod room;
#[cfg(test)]
#[path = "../../fuzz/seeds.rs"]
mod seeds;
pub mod stream;

use std::net::IpAddr;

/// Passwords go over TLS, or over a connection that does not leave the machine (RFC 8314 §4.1, RFC 2595 §2.2).
pub fn plaintext_allowed(peer: IpAddr, is_tls: bool) -> bool {
    is_tls || peer.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_need_tls_or_loopback() {
        for (peer, without_tls) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.1", false),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(plaintext_allowed(peer, false), without_tls, "{peer}");
            assert!(plaintext_allowed(peer, true), "{peer}");
        }
    }
}
