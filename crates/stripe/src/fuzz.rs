//! What cargo fuzz gives bytes to; `crates/fuzz` has a target for each.

use chrono::{DateTime, Utc};
use secrecy::SecretString;

use crate::{Happened, sign, verify};

/// The signature's header, which is the first line, over a body, which is the rest: nobody else's holds, and ours does, whatever
/// other schemes stand beside it.
pub fn signature(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, body) = bytes.split_at(at);
    let header = String::from_utf8_lossy(header);
    let (secret, now) = (SecretString::from("whsec_fuzz"), DateTime::<Utc>::UNIX_EPOCH);
    assert!(verify(&secret, &header, body, now).is_err());
    let ours = sign(&secret, now, body);
    assert_eq!(verify(&secret, &ours, body, now), Ok(()));
    assert!(verify(&SecretString::from(""), &sign(&SecretString::from(""), now, body), body, now).is_err());
    let has_time = header.split(',').any(|part| part.trim().starts_with("t="));
    assert_eq!(verify(&secret, &format!("{header},{ours}"), body, now).is_ok(), !has_time);
}

/// Events: what is read names what it is about.
pub fn event(bytes: &[u8]) {
    match Happened::parse(bytes) {
        Ok(Happened::Payment(intent)) => assert!(intent.payment.is_some()),
        Ok(Happened::Refunds(refunds)) => assert!(!refunds.is_empty()),
        Ok(Happened::Dispute(dispute)) => assert!(!format!("{dispute:?}").is_empty()),
        Ok(Happened::Other) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_hold() {
        crate::seeds::play("stripe_signature", super::signature);
        crate::seeds::play("stripe_event", super::event);
    }
}
