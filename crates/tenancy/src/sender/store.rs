//! SQL of senders.

use kernel::{EmailAddress, MailboxId, UserId};

use super::Found;
use crate::{Error, TenantTx};

/// Who has an address, or else what is before the `+` in it, where the domain takes it so; `None` if that is no mailbox that is in use.
pub(super) async fn find(
    tx: &mut TenantTx,
    user_id: UserId,
    address: &EmailAddress,
) -> Result<Option<Found>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let local = address.local();
    let base = local.split_once('+').map_or(local, |(base, _)| base);
    let row = sqlx::query!(
        r#"select m.id as "id?", coalesce(g.rights, '{}') as "rights!"
           from domain_names n
           join domains d on d.tenant_id = n.tenant_id and d.id = n.domain_id and d.status = 'active'
           join addresses a on a.tenant_id = d.tenant_id and a.domain_id = d.id and a.released_at is null
             and (a.local_part = $3 or a.local_part = $4 and d.plus_addressing)
           left join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id and m.status = 'active'
           left join mailbox_delegates g on g.tenant_id = m.tenant_id and g.mailbox_id = m.id and g.user_id = $5
           where n.tenant_id = $1 and n.name = $2
           order by a.local_part = $3 desc limit 1"#,
        tenant_id,
        address.domain().as_str(),
        local,
        base,
        user_id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    let Some((mailbox_id, names)) = row.and_then(|row| Some((row.id?, row.rights))) else { return Ok(None) };
    let rights = names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(Error::internal)?;
    Ok(Some(Found { mailbox_id: MailboxId::from_uuid(mailbox_id), rights }))
}

pub(super) async fn primary_address(tx: &mut TenantTx, id: MailboxId) -> Result<Option<String>, Error> {
    let tenant_id = tx.tenant_id().uuid();
    let address = sqlx::query_scalar!(
        r#"select a.local_part || '@' || d.name as "address!" from addresses a
           join domains d on d.tenant_id = a.tenant_id and d.id = a.domain_id
           join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id and m.status = 'active'
           where a.tenant_id = $1 and a.mailbox_id = $2 and a.is_primary"#,
        tenant_id,
        id.uuid(),
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(db::Error::from)?;
    Ok(address)
}
