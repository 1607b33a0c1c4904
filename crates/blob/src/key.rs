//! The names of objects: typed, one text each, led by the tenant.

use std::fmt;
use std::str::FromStr;

use kernel::{BlobId, TenantId, WrappedKeyId};
use uuid::Uuid;

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlobKey {
    /// A message as it was taken in: `tenants/<uuid>/bodies/<uuid>`.
    Body {
        /// Whose message it is.
        tenant: TenantId,
        /// The body's own id.
        blob: BlobId,
    },
    /// A tenant's data key, wrapped: `tenants/<uuid>/keys/<uuid>`.
    WrappedKey {
        /// Whose key it is.
        tenant: TenantId,
        /// The wrapping's own id: the same key wrapped anew has another.
        key: WrappedKeyId,
    },
}

const BODIES: &str = "bodies";
const KEYS: &str = "keys";

/// The folders of a tenant, in the order of their names.
pub(crate) const FOLDERS: [&str; 2] = [BODIES, KEYS];

impl BlobKey {
    /// The key of what a tenant's folder holds under an id; `None` if it is none of [`FOLDERS`].
    pub(crate) fn in_folder(tenant: TenantId, folder: &str, id: Uuid) -> Option<Self> {
        match folder {
            BODIES => Some(Self::Body { tenant, blob: BlobId::from_uuid(id) }),
            KEYS => Some(Self::WrappedKey { tenant, key: WrappedKeyId::from_uuid(id) }),
            _ => None,
        }
    }

    /// A key that no object ever has.
    pub(crate) fn nil() -> Self {
        Self::Body { tenant: TenantId::from_uuid(Uuid::nil()), blob: BlobId::from_uuid(Uuid::nil()) }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body { tenant, blob } => write!(f, "tenants/{}/{BODIES}/{}", tenant.uuid(), blob.uuid()),
            Self::WrappedKey { tenant, key } => write!(f, "tenants/{}/{KEYS}/{}", tenant.uuid(), key.uuid()),
        }
    }
}

/// A text that is not the text of any key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the key of an object")]
pub struct KeyError;

impl FromStr for BlobKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split('/');
        let mut next = || parts.next().ok_or(KeyError);
        if next()? != "tenants" {
            return Err(KeyError);
        }
        let tenant = TenantId::from_uuid(parse_uuid(next()?)?);
        let (folder, id) = (next()?, parse_uuid(next()?)?);
        if parts.next().is_some() {
            return Err(KeyError);
        }
        Self::in_folder(tenant, folder, id).ok_or(KeyError)
    }
}

/// Only the form that is written: hyphens, lower case. Any other would give one object two names.
pub(crate) fn parse_uuid(text: &str) -> Result<Uuid, KeyError> {
    let uuid = Uuid::try_parse(text).map_err(|_| KeyError)?;
    let mut written = Uuid::encode_buffer();
    if uuid.hyphenated().encode_lower(&mut written) == text { Ok(uuid) } else { Err(KeyError) }
}

/// What a listing covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPrefix {
    /// Every object.
    All,
    /// Every object of one tenant.
    Tenant(TenantId),
}

impl fmt::Display for KeyPrefix {
    /// The text that all keys under it begin with, up to and with a slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("tenants/"),
            Self::Tenant(tenant) => write!(f, "tenants/{}/", tenant.uuid()),
        }
    }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeyPage {
    /// The keys, in the byte order of their texts. A page may be empty and yet have a next one.
    pub keys: Vec<BlobKey>,
    /// What to pass as `after` for the page that follows; `None` on the last.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_parse_back(tenant in any::<u128>(), blob in any::<u128>()) {
            let tenant = TenantId::from_uuid(Uuid::from_u128(tenant));
            for folder in FOLDERS {
                let key = BlobKey::in_folder(tenant, folder, Uuid::from_u128(blob)).unwrap();
                let text = key.to_string();
                let rest = text.strip_prefix(&KeyPrefix::Tenant(tenant).to_string());
                prop_assert!(rest.is_some_and(|rest| rest.starts_with(folder)));
                prop_assert!(text.starts_with(&KeyPrefix::All.to_string()));
                prop_assert_eq!(text.parse::<BlobKey>(), Ok(key));
            }
        }

        #[test]
        fn what_parses_is_what_would_be_written(text in "(tenants/)?[0-9a-fA-F{}-]{0,40}/(bodies|keys)/[0-9a-f-]{32,36}/?") {
            if let Ok(key) = text.parse::<BlobKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn only_the_written_form_parses() {
        let uuid = "0193a1b2-0000-7000-8000-0123456789ab";
        assert!(format!("tenants/{uuid}/bodies/{uuid}").parse::<BlobKey>().is_ok());
        assert!(format!("tenants/{uuid}/keys/{uuid}").parse::<BlobKey>().is_ok());
        assert!(FOLDERS.is_sorted());
        let simple = uuid.replace('-', "");
        let upper = uuid.to_uppercase();
        for text in [
            String::new(),
            format!("/tenants/{uuid}/bodies/{uuid}"),
            format!("tenants/{uuid}/bodies/{uuid}/"),
            format!("tenants/{uuid}/bodies/{uuid}.tmp"),
            format!("tenants/{uuid}/packs/{uuid}"),
            format!("tenants/{upper}/bodies/{uuid}"),
            format!("tenants/{uuid}/bodies/{simple}"),
            format!("tenants/../bodies/{uuid}"),
            format!("tenants/{uuid}/bodies"),
        ] {
            assert_eq!(text.parse::<BlobKey>(), Err(KeyError), "{text}");
        }
    }
}
