//! SQL of recipients.

use db::{Error, SystemTx};
use kernel::{EmailAddress, MailboxId, TenantId};

pub(super) struct Found {
    pub(super) tenant_id: TenantId,
    pub(super) mailbox_id: MailboxId,
}

pub(super) async fn find(tx: &mut SystemTx, address: &EmailAddress) -> Result<Option<Found>, Error> {
    let row = sqlx::query!(
        "select m.tenant_id, m.id
         from domain_names n
         join domains d on d.tenant_id = n.tenant_id and d.id = n.domain_id and d.status = 'active'
         join addresses a on a.tenant_id = d.tenant_id and a.domain_id = d.id and a.local_part = $2 and a.released_at is null
         join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id and m.status = 'active'
         join tenants t on t.id = m.tenant_id and t.status <> 'deleted'
         left join users u on u.tenant_id = m.tenant_id and u.id = m.user_id
         where n.name = $1 and not ('receive' = any (t.suspended_capabilities || coalesce(u.suspended_capabilities, '{}')))",
        address.domain().as_str(),
        address.local()
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Found {
        tenant_id: TenantId::from_uuid(row.tenant_id),
        mailbox_id: MailboxId::from_uuid(row.id),
    }))
}
