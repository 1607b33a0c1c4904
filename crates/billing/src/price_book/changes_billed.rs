//! When changes are billed.

/// When units that come or go in mid-cycle are billed, which a cycle that opens always is on its first day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChangesBilled {
    /// All of a month together: on the next monthly day of the anchor.
    #[default]
    Monthly,
    /// Those of each day together: on that day, or with those of the next where a run had billed it before.
    Daily,
}

impl ChangesBilled {
    /// `monthly` or `daily`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Monthly => "monthly",
            Self::Daily => "daily",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Monthly, Self::Daily].into_iter().find(|one| one.as_str() == name)
    }
}
