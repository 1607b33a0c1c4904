//! A small secret of a tenant's, such as a private key, sealed for a row.

use kernel::Env;
use secrecy::SecretSlice;

use crate::DataKey;
use crate::seal::{Purpose, TAG_BYTES};

const SALT_BYTES: usize = 16;

/// A sealed secret does not open: another key, another place, or not what was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed secret does not open")]
pub struct SecretDoesNotOpen;

impl DataKey {
    /// A secret, sealed so that it opens in its place alone: `salt 16 | ciphertext | tag 16`. `place` is what it is and of which object;
    /// the tenant is the key's.
    pub fn seal_secret(&self, env: &Env, place: &[u8], secret: &[u8]) -> Vec<u8> {
        let salt = env.random::<SALT_BYTES>();
        let mut sealed = [&salt, secret].concat();
        // The salt makes a key that nothing else has.
        let tag =
            self.sealer(&salt, Purpose::Secret).seal(0, &self.bound_to(place), &mut sealed[SALT_BYTES..]);
        sealed.extend(tag);
        sealed
    }

    /// What was sealed with this key, for this place.
    ///
    /// # Errors
    /// [`SecretDoesNotOpen`].
    pub fn open_secret(&self, place: &[u8], sealed: &[u8]) -> Result<SecretSlice<u8>, SecretDoesNotOpen> {
        if sealed.len() < SALT_BYTES + TAG_BYTES {
            return Err(SecretDoesNotOpen);
        }
        let (salt, sealed) = sealed.split_at(SALT_BYTES);
        let opened = self.sealer(salt, Purpose::Secret).open(0, &self.bound_to(place), sealed);
        Ok(opened.map_err(|_| SecretDoesNotOpen)?.into())
    }

    fn bound_to(&self, place: &[u8]) -> Vec<u8> {
        [self.tenant().uuid().as_bytes(), place].concat()
    }
}

#[cfg(test)]
mod tests {
    use kernel::TenantId;
    use secrecy::ExposeSecret as _;
    use uuid::Uuid;

    use super::*;
    use crate::Generation;

    fn key(tenant: u128) -> DataKey {
        let tenant = TenantId::from_uuid(Uuid::from_u128(tenant));
        DataKey::from_bytes(tenant, Generation::FIRST, &[7; 32])
    }

    #[test]
    fn it_opens_in_its_place_and_under_its_key_alone() {
        let (env, key_of_one) = (Env::system(), key(1));
        let sealed = key_of_one.seal_secret(&env, b"dkim 1", b"the secret");
        assert!(!sealed.windows(10).any(|bytes| bytes == b"the secret"));
        assert_eq!(key_of_one.open_secret(b"dkim 1", &sealed).unwrap().expose_secret(), b"the secret");
        assert!(key_of_one.open_secret(b"dkim 2", &sealed).is_err());
        assert!(key(2).open_secret(b"dkim 1", &sealed).is_err(), "the same bytes as another tenant's");
        for place in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[place] ^= 1;
            assert!(key_of_one.open_secret(b"dkim 1", &bad).is_err(), "{place}");
            assert!(key_of_one.open_secret(b"dkim 1", &sealed[..place]).is_err(), "{place}");
        }
    }

    #[test]
    fn the_same_secret_is_sealed_otherwise_each_time() {
        let (env, key) = (Env::system(), key(1));
        assert_ne!(key.seal_secret(&env, b"a", b"b"), key.seal_secret(&env, b"a", b"b"));
    }
}
