//! The names of objects: typed, one text each, led by the tenant.

use std::fmt;
use std::str::FromStr;

use kernel::{PackId, SegmentId, TenantId, WrappedKeyId};
use uuid::Uuid;

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BlobKey {
    /// A pack of message bodies: `packs/<uuid>`, or `tenants/<uuid>/packs/<uuid>` when all of it is one tenant's.
    Pack {
        /// The tenant whose all of it is, if it lies with what else is theirs.
        owner: Option<TenantId>,
        /// The pack's own id.
        pack: PackId,
    },
    /// A tenant's data key, wrapped: `tenants/<uuid>/keys/<uuid>`.
    WrappedKey {
        /// Whose key it is.
        tenant: TenantId,
        /// The wrapping's own id: the same key wrapped anew has another.
        key: WrappedKeyId,
    },
    /// A segment of the journal: `journal/<uuid>`, in the order of their numbers.
    Segment(SegmentId),
}

/// A folder that holds objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folder {
    /// Wrapped keys of a tenant.
    Keys(TenantId),
    /// Packs, of one tenant or of nobody's own.
    Packs(Option<TenantId>),
    /// The journal's segments.
    Journal,
}

const JOURNAL: &str = "journal";
const KEYS: &str = "keys";
const PACKS: &str = "packs";
const TENANTS: &str = "tenants";

impl Folder {
    /// The folders of what is no tenant's own, in the order of their texts.
    pub(crate) const SHARED: [Self; 2] = [Self::Journal, Self::Packs(None)];

    /// A tenant's folders, in the order of their texts.
    pub(crate) fn of(tenant: TenantId) -> [Self; 2] {
        [Self::Keys(tenant), Self::Packs(Some(tenant))]
    }

    /// The key of what it holds under an id.
    pub(crate) fn key(self, id: Uuid) -> BlobKey {
        match self {
            Self::Keys(tenant) => BlobKey::WrappedKey { tenant, key: WrappedKeyId::from_uuid(id) },
            Self::Packs(owner) => BlobKey::Pack { owner, pack: PackId::from_uuid(id) },
            Self::Journal => BlobKey::Segment(SegmentId::from_uuid(id)),
        }
    }
}

impl fmt::Display for Folder {
    /// The text that all keys in it begin with, up to and with a slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(tenant) => write!(f, "{}{KEYS}/", KeyPrefix::Tenant(*tenant)),
            Self::Packs(Some(tenant)) => write!(f, "{}{PACKS}/", KeyPrefix::Tenant(*tenant)),
            Self::Packs(None) => write!(f, "{PACKS}/"),
            Self::Journal => write!(f, "{JOURNAL}/"),
        }
    }
}

impl BlobKey {
    /// A key that no object ever has.
    pub(crate) fn nil() -> Self {
        Self::Pack { owner: None, pack: PackId::from_uuid(Uuid::nil()) }
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, id) = match self {
            Self::Pack { owner, pack } => (Folder::Packs(*owner), pack.uuid()),
            Self::WrappedKey { tenant, key } => (Folder::Keys(*tenant), key.uuid()),
            Self::Segment(segment) => (Folder::Journal, segment.uuid()),
        };
        write!(f, "{folder}{id}")
    }
}

/// A text that is not the text of any key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the key of an object")]
pub struct KeyError;

impl FromStr for BlobKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (folder, id) = match *parts.as_slice() {
            [JOURNAL, id] => (Folder::Journal, id),
            [PACKS, id] => (Folder::Packs(None), id),
            [TENANTS, tenant, folder, id] => {
                let tenant = TenantId::from_uuid(parse_uuid(tenant)?);
                match folder {
                    KEYS => (Folder::Keys(tenant), id),
                    PACKS => (Folder::Packs(Some(tenant)), id),
                    _ => return Err(KeyError),
                }
            }
            _ => return Err(KeyError),
        };
        Ok(folder.key(parse_uuid(id)?))
    }
}

/// The folder of what is being written, and what else a directory needs: nothing in it is an object.
pub(crate) const TMP: &str = "tmp";

/// Whether something of that name is no object of ours, nor anything else that we make. A name that ends in a slash is how consoles mark a folder.
pub(crate) fn is_stray(name: &str) -> bool {
    let is_tmp = name.split_once('/').is_some_and(|(first, _)| first == TMP);
    !is_tmp && !name.is_empty() && !name.ends_with('/') && name.parse::<BlobKey>().is_err()
}

/// Whether something of that name lies in a folder of ours, whatever it is.
pub(crate) fn is_within(name: &str) -> bool {
    name.split_once('/').is_some_and(|(first, _)| [JOURNAL, PACKS, TENANTS].contains(&first))
}

/// Whether a name, empty or with a slash at its end, is one of the folders that hold objects or such folders.
pub(crate) fn is_folder(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    match *parts.as_slice() {
        [""] | [JOURNAL | PACKS | TENANTS, ""] => true,
        [TENANTS, tenant, ""] | [TENANTS, tenant, KEYS | PACKS, ""] => parse_uuid(tenant).is_ok(),
        _ => false,
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
    /// One tenant's wrapped keys.
    WrappedKeys(TenantId),
    /// The journal's segments, in the order of their numbers.
    Journal,
}

impl fmt::Display for KeyPrefix {
    /// The text that all keys under it begin with: nothing, or up to and with a slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::Tenant(tenant) => write!(f, "{TENANTS}/{}/", tenant.uuid()),
            Self::WrappedKeys(tenant) => Folder::Keys(*tenant).fmt(f),
            Self::Journal => Folder::Journal.fmt(f),
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
    /// Of [`KeyPrefix::All`], the names of what is there and is no object of ours: each once in all pages together, not always in that of its
    /// neighbours. One that is a key's is a link that leads nowhere. In a bucket that we have no prefix of our own in, of what is in our folders alone: the
    /// rest may be another's.
    pub strays: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_parse_back(tenant in any::<u128>(), id in any::<u128>()) {
            let (tenant, id) = (TenantId::from_uuid(Uuid::from_u128(tenant)), Uuid::from_u128(id));
            for folder in Folder::of(tenant).into_iter().chain(Folder::SHARED) {
                let key = folder.key(id);
                let text = key.to_string();
                prop_assert!(text.starts_with(&folder.to_string()));
                prop_assert!(text.starts_with(&KeyPrefix::All.to_string()));
                let is_tenants = text.starts_with(&KeyPrefix::Tenant(tenant).to_string());
                prop_assert_eq!(is_tenants, !Folder::SHARED.contains(&folder));
                let is_wrapped = text.starts_with(&KeyPrefix::WrappedKeys(tenant).to_string());
                prop_assert_eq!(is_wrapped, folder == Folder::Keys(tenant));
                prop_assert_eq!(text.starts_with(&KeyPrefix::Journal.to_string()), folder == Folder::Journal);
                prop_assert_eq!(text.parse::<BlobKey>(), Ok(key));
            }
            let folders = Folder::SHARED.into_iter().chain(Folder::of(tenant));
            prop_assert!(folders.map(|folder| folder.to_string()).is_sorted());
        }

        #[test]
        fn what_parses_is_what_would_be_written(text in "((tenants/)?[0-9a-fA-F{}-]{0,40}/)?(packs|keys|journal)/[0-9a-f-]{32,36}/?") {
            if let Ok(key) = text.parse::<BlobKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_ours_is_no_stray() {
        let uuid = "0193a1b2-0000-7000-8000-0123456789ab";
        for name in [format!("packs/{uuid}"), "tmp/lock".to_owned(), "packs/".to_owned(), String::new()] {
            assert!(!is_stray(&name), "{name}");
        }
        for name in ["packs/stray", "foo/bar", "tmp", "tmpx/a", "journal/1", "tenants/x"] {
            assert!(is_stray(name), "{name}");
        }
        let tenant = format!("tenants/{uuid}/");
        for name in ["", "packs/", "journal/", "tenants/", &tenant, &format!("{tenant}keys/")] {
            assert!(is_folder(name), "{name}");
        }
        for name in ["tmp/", "foo/", "packs", "tenants/x/", "packs/x/", &format!("{tenant}foo/")] {
            assert!(!is_folder(name), "{name}");
        }
    }

    #[test]
    fn only_the_written_form_parses() {
        let uuid = "0193a1b2-0000-7000-8000-0123456789ab";
        assert!(format!("packs/{uuid}").parse::<BlobKey>().is_ok());
        assert!(format!("journal/{uuid}").parse::<BlobKey>().is_ok());
        assert!(format!("tenants/{uuid}/packs/{uuid}").parse::<BlobKey>().is_ok());
        assert!(format!("tenants/{uuid}/keys/{uuid}").parse::<BlobKey>().is_ok());
        let simple = uuid.replace('-', "");
        let upper = uuid.to_uppercase();
        for text in [
            String::new(),
            format!("/tenants/{uuid}/packs/{uuid}"),
            format!("tenants/{uuid}/packs/{uuid}/"),
            format!("tenants/{uuid}/packs/{uuid}.tmp"),
            format!("tenants/{uuid}/bodies/{uuid}"),
            format!("tenants/{upper}/packs/{uuid}"),
            format!("tenants/{uuid}/packs/{simple}"),
            format!("tenants/../packs/{uuid}"),
            format!("tenants/{uuid}/packs"),
            format!("packs/{simple}"),
            format!("packs/{uuid}/{uuid}"),
            format!("keys/{uuid}"),
        ] {
            assert_eq!(text.parse::<BlobKey>(), Err(KeyError), "{text}");
        }
    }
}
