//! SQL of signing in.

use db::{SystemRead, SystemTx};
use kernel::{EmailAddress, MailboxId, TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Person;
use crate::Error;

struct Row {
    tenant_id: Uuid,
    user_id: Uuid,
    mailbox_id: Uuid,
    role: String,
    suspended: Vec<String>,
    password_hash: Option<String>,
    session_epoch: i32,
}

impl TryFrom<Row> for Person {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            tenant_id: TenantId::from_uuid(row.tenant_id),
            user_id: UserId::from_uuid(row.user_id),
            mailbox_id: MailboxId::from_uuid(row.mailbox_id),
            role: row.role.parse().map_err(Error::internal)?,
            suspended: row.suspended,
            password_hash: row.password_hash,
            session_epoch: row.session_epoch,
        })
    }
}

pub(super) async fn person_by_address(
    read: &mut SystemRead,
    address: &EmailAddress,
) -> Result<Option<Person>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select u.tenant_id, u.id as user_id, m.id as mailbox_id, u.role, u.password_hash, u.session_epoch,
             u.suspended_capabilities || t.suspended_capabilities as "suspended!"
           from domain_names n
           join addresses a on a.tenant_id = n.tenant_id and a.domain_id = n.domain_id and a.local_part = $2 and a.released_at is null
           join mailboxes m on m.tenant_id = a.tenant_id and m.id = a.mailbox_id and m.status = 'active'
           join users u on u.tenant_id = m.tenant_id and u.id = m.user_id and u.status in ('active', 'suspended')
           join tenants t on t.id = u.tenant_id and t.status in ('trial', 'active', 'suspended')
           where n.name = $1"#,
        address.domain().as_str(),
        address.local()
    )
    .fetch_optional(read.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Person::try_from).transpose()
}

pub(super) async fn person_by_id(
    read: &mut SystemRead,
    tenant_id: TenantId,
    user_id: UserId,
) -> Result<Option<Person>, Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select u.tenant_id, u.id as user_id, m.id as mailbox_id, u.role, u.password_hash, u.session_epoch,
             u.suspended_capabilities || t.suspended_capabilities as "suspended!"
           from users u
           join mailboxes m on m.tenant_id = u.tenant_id and m.user_id = u.id and m.status = 'active'
           join tenants t on t.id = u.tenant_id and t.status in ('trial', 'active', 'suspended')
           where u.tenant_id = $1 and u.id = $2 and u.status in ('active', 'suspended')"#,
        tenant_id.uuid(),
        user_id.uuid()
    )
    .fetch_optional(read.conn())
    .await
    .map_err(db::Error::from)?;
    row.map(Person::try_from).transpose()
}

/// A signing key as it is kept.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) id: Uuid,
    pub(super) private_pkcs8: Vec<u8>,
    pub(super) public_key: Vec<u8>,
    pub(super) active_from: DateTime<Utc>,
}

/// Every signing key, the one that signs last first.
pub(super) async fn signing_keys(tx: &mut SystemTx) -> Result<Vec<SigningKey>, db::Error> {
    let keys = sqlx::query_as!(
        SigningKey,
        "select id, private_pkcs8, public_key, active_from from signing_keys order by active_from desc, id desc"
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(keys)
}

/// Keeps others from making a signing key until the transaction ends.
pub(super) async fn lock_signing_keys(tx: &mut SystemTx) -> Result<(), db::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('signing_keys'))").execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn insert_signing_key(
    tx: &mut SystemTx,
    key: &SigningKey,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    sqlx::query!(
        "insert into signing_keys (id, private_pkcs8, public_key, created_at, active_from) values ($1, $2, $3, $4, $5)",
        key.id,
        key.private_pkcs8,
        key.public_key,
        now,
        key.active_from
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets the keys whose successor has signed since before `cutoff`.
pub(super) async fn delete_signing_keys(tx: &mut SystemTx, cutoff: DateTime<Utc>) -> Result<(), db::Error> {
    sqlx::query!(
        "delete from signing_keys old
         where exists (select from signing_keys new where new.active_from > old.active_from and new.active_from < $1)",
        cutoff
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets all keys but one.
pub(super) async fn delete_other_signing_keys(tx: &mut SystemTx, kept: Uuid) -> Result<(), db::Error> {
    sqlx::query!("delete from signing_keys where id <> $1", kept).execute(tx.conn()).await?;
    Ok(())
}
