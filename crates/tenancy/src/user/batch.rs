//! Many users at once, all or none.

use kernel::FieldError;

use super::{NewUser, Prepared, User, insert, prepare};
use crate::{Action, Ctx, Error, TenantTx, mailbox, seats};

/// The most users of one batch.
pub const MAX_BATCH: usize = 1_000;

/// Creates up to [`MAX_BATCH`] users, each with a personal mailbox and a seat: all or none.
///
/// # Errors
/// [`Error::Invalid`] with every mistake of every row, at `/users/{row}/…`; [`Error::At`] with the first row that cannot be,
/// for a reason as [`super::create`] has it; [`Error::Exhausted`] when there are not seats for all, at
/// `/users` where the caller may not know how many are left.
pub async fn create_batch(ctx: &Ctx, rows: Vec<NewUser>) -> Result<Vec<User>, Error> {
    ctx.require(Action::UserWrite)?;
    let prepared = prepare_all(ctx, rows).await?;
    let mut tx = ctx.begin().await?;
    let users = insert_all(&mut tx, ctx, prepared).await?;
    tx.commit().await?;
    Ok(users)
}

/// Checks every row before it gives any mistake back.
async fn prepare_all(ctx: &Ctx, rows: Vec<NewUser>) -> Result<Vec<Prepared>, Error> {
    if rows.is_empty() || rows.len() > MAX_BATCH {
        return Err(Error::invalid("/users", format_args!("must have 1 to {MAX_BATCH} entries")));
    }
    let mut prepared = Vec::with_capacity(rows.len());
    let mut mistakes = Vec::new();
    for (row, new) in rows.into_iter().enumerate() {
        match prepare(ctx, new).await.map_err(|cause| at(row, cause)) {
            Ok(new) => prepared.push(new),
            Err(Error::Invalid(fields)) => mistakes.extend(fields),
            Err(other) => return Err(other),
        }
    }
    if mistakes.is_empty() { Ok(prepared) } else { Err(Error::Invalid(mistakes)) }
}

async fn insert_all(tx: &mut TenantTx, ctx: &Ctx, prepared: Vec<Prepared>) -> Result<Vec<User>, Error> {
    let (mut users, mut quotas) = (Vec::with_capacity(prepared.len()), Vec::with_capacity(prepared.len()));
    for (row, new) in prepared.into_iter().enumerate() {
        quotas.push((new.user.mailbox_id, new.quota_bytes));
        users.push(insert(tx, ctx, new).await.map_err(|cause| at(row, cause))?);
    }
    let ids: Vec<_> = users.iter().map(|user| user.id).collect();
    // As for one, last and of all together: their locks are shared by all of the tenant's and the reseller's users.
    seats::take(tx, ctx, &ids).await.map_err(|cause| match cause {
        // Which row is the first without a seat says how many are left.
        Error::Exhausted { is_hidden: true, .. } => {
            Error::At { pointer: "/users".to_owned(), cause: Box::new(cause) }
        }
        Error::Exhausted { left, .. } => at(usize::try_from(left).unwrap_or_default(), cause),
        cause => cause,
    })?;
    if let Err(cause) = mailbox::require_allocation(tx).await {
        return Err(match mailbox::first_over(tx, &quotas).await? {
            Some(row) => at(row, cause),
            None => cause,
        });
    }
    Ok(users)
}

/// What went wrong with one row, with its place.
fn at(row: usize, cause: Error) -> Error {
    let placed = |pointer: &str| format!("/users/{row}{pointer}");
    match cause {
        Error::Invalid(fields) => {
            let placed = |field: FieldError| FieldError::new(placed(&field.pointer), field.detail);
            Error::Invalid(fields.into_iter().map(placed).collect())
        }
        Error::Db(cause) => cause.into(),
        Error::At { pointer, cause } => Error::At { pointer: placed(&pointer), cause },
        cause => Error::At { pointer: placed(""), cause: Box::new(cause) },
    }
}
