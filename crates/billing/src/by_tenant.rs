//! What several tenants have, each by itself.

use std::collections::BTreeMap;

use kernel::TenantId;

/// The rows of each tenant, in the order given.
pub(crate) fn by_tenant<T>(rows: impl IntoIterator<Item = (TenantId, T)>) -> BTreeMap<TenantId, Vec<T>> {
    let mut all = BTreeMap::<TenantId, Vec<T>>::new();
    for (tenant_id, row) in rows {
        all.entry(tenant_id).or_default().push(row);
    }
    all
}
