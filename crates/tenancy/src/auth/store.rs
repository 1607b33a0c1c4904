//! SQL of signing in.

use db::{SystemRead, SystemTx};
use kernel::{EmailAddress, MailboxId, TenantId, UserId};
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::types::ipnetwork::IpNetwork;
use uuid::Uuid;

use super::Person;
use super::key::{Found, Question};
use crate::Error;
use crate::api_key::ApiKey;
use crate::api_key::store::Row as KeyRow;
use crate::tenant::Place;
use crate::tenant::store::PlaceRow;

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
            app_password: None,
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

/// Keys with the hashes of their secrets, and the places of the tenants that go with them, in the order of the questions.
pub(super) async fn keys_with_places(
    read: &mut SystemRead,
    questions: &[Question],
) -> Result<Vec<Result<Option<Found>, Error>>, db::Error> {
    let key_ids: Vec<Uuid> = questions.iter().map(|question| question.key_id.uuid()).collect();
    let tenant_ids: Vec<Option<Uuid>> =
        questions.iter().map(|question| question.tenant_id.map(TenantId::uuid)).collect();
    let rows = sqlx::query!(
        r#"select q.place as "place!", k.id as "id!", k.role as "role!", k.reseller_id as "reseller_id?", k.tenant_id as "tenant_id?",
             k.actions as "actions!", k.expires_at as "expires_at?", k.networks as "networks!", k.description as "description?",
             k.last_used_at as "last_used_at?", k.last_used_from as "last_used_from?", k.revoked_at as "revoked_at?",
             k.created_at as "created_at!", k.secret_hash as "secret_hash!", k.used_from as "used_from!",
             t.reseller_id as "place_reseller_id?", t.reseller_path as "reseller_path?", t.time_zone as "time_zone?",
             t.former_time_zones as "former_time_zones?", t.former_time_zones_until as "former_time_zones_until?",
             t.test_clock as "test_clock?", t.suspended_capabilities as "suspended_capabilities?", t.status = 'deleted' as "is_deleted?",
             t.storage_dedicated as "storage_dedicated?"
           from unnest($1::uuid[], $2::uuid[]) with ordinality q (key_id, tenant_id, place)
           join api_keys k on k.id = q.key_id
           left join tenants t on t.id = q.tenant_id"#,
        &key_ids,
        &tenant_ids as &[Option<Uuid>]
    )
    .fetch_all(read.conn())
    .await?;
    let mut found: Vec<_> = questions.iter().map(|_| Ok(None)).collect();
    for row in rows {
        let place = row.place_reseller_id.map(|reseller_id| PlaceRow {
            reseller_id,
            reseller_path: row.reseller_path.unwrap_or_default(),
            time_zone: row.time_zone.unwrap_or_default(),
            former_time_zones: row.former_time_zones.unwrap_or_default(),
            former_time_zones_until: row.former_time_zones_until.unwrap_or_default(),
            test_clock: row.test_clock,
            suspended_capabilities: row.suspended_capabilities.unwrap_or_default(),
            is_deleted: row.is_deleted.unwrap_or_default(),
            storage_dedicated: row.storage_dedicated.unwrap_or_default(),
            // Mailboxes are delegated to people.
            readable: Vec::new(),
            writable: Vec::new(),
        });
        let key = KeyRow {
            id: row.id,
            role: row.role,
            reseller_id: row.reseller_id,
            tenant_id: row.tenant_id,
            actions: row.actions,
            expires_at: row.expires_at,
            networks: row.networks,
            description: row.description,
            last_used_at: row.last_used_at,
            last_used_from: row.last_used_from,
            revoked_at: row.revoked_at,
            created_at: row.created_at,
        };
        // Ordinality counts from one.
        let answer = usize::try_from(row.place).ok().and_then(|place| found.get_mut(place.checked_sub(1)?));
        if let Some(answer) = answer {
            let used_from = row.used_from.iter().map(IpNetwork::ip).collect();
            *answer = understood(key, place)
                .map(|(key, place)| Some(Found { key, secret_hash: row.secret_hash, used_from, place }));
        }
    }
    Ok(found)
}

fn understood(key: KeyRow, place: Option<PlaceRow>) -> Result<(ApiKey, Option<Place>), Error> {
    let place = place.map(PlaceRow::try_into).transpose()?;
    Ok((key.try_into()?, place))
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
