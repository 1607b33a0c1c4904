//! A tenant's data key.

use std::fmt;
use std::num::NonZeroU32;

use kernel::{Env, TenantId};
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretBox};

use crate::seal::{KEY_BYTES, Purpose, Sealer};

/// The how-manieth of a tenant's data keys, from 1. The newest seals, all open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(NonZeroU32);

impl Generation {
    /// A tenant's first.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number, from 1.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The one that follows; `None` after four thousand million.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// One generation of a tenant's key: 32 random bytes that know whose they are. They are wiped when it is dropped and never shown.
pub struct DataKey {
    tenant: TenantId,
    generation: Generation,
    secret: SecretBox<[u8; KEY_BYTES]>,
}

impl DataKey {
    /// A new key.
    pub fn generate(env: &Env, tenant: TenantId, generation: Generation) -> Self {
        let mut random = env.random::<KEY_BYTES>();
        let key = Self::from_bytes(tenant, generation, &random);
        random.zeroize();
        key
    }

    pub(crate) fn from_bytes(tenant: TenantId, generation: Generation, bytes: &[u8; KEY_BYTES]) -> Self {
        let secret = SecretBox::init_with_mut(|secret: &mut [u8; KEY_BYTES]| secret.copy_from_slice(bytes));
        Self { tenant, generation, secret }
    }

    /// Whose key it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Which of the tenant's keys it is.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub(crate) fn secret(&self) -> &[u8; KEY_BYTES] {
        self.secret.expose_secret()
    }

    pub(crate) fn sealer(&self, salt: &[u8], purpose: Purpose) -> Sealer {
        Sealer::derive(self.secret(), salt, purpose)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey")
            .field("tenant", &self.tenant)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
