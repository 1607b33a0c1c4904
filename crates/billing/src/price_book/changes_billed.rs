//! When changes are billed.

use kernel::named;

named! {
    /// When units that come or go in mid-cycle are billed, which a cycle that opens always is on its first day.
    #[derive(Default)]
    ChangesBilled {
        /// All of a month together: on the next monthly day of the anchor.
        #[default]
        Monthly = "monthly",
        /// Those of each day together: on that day, or with those of the next where a run had billed it before.
        Daily = "daily",
    }
}
