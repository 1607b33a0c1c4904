//! The operator's commands. Each opens the database and the blob store as `serve` does, beside a running server or alone.

pub(crate) mod audit;
pub(crate) mod billing;
pub(crate) mod blob;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod recover;

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use kernel::{ApiKeyId, ErrorKind, RequestId, TenantId};
use secrecy::ExposeSecret as _;
use tenancy::auth::Auth;
use tenancy::{Caller, api_key};

use crate::config::Config;
use crate::files::DataDir;
use crate::platform::{Opening, Platform, require_installation};
use crate::signals;

/// Runs `work` on the opened platform of an installation that is there, and closes that afterwards, also when a signal cuts the work short.
async fn with_platform<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Platform, Caller) -> Result<T>,
) -> Result<T> {
    with_opened(config, Opening::Existing, work).await
}

/// As [`with_platform`], with what there has to be.
async fn with_opened<T>(
    config: &Config,
    opening: Opening,
    work: impl AsyncFnOnce(&Platform, Caller) -> Result<T>,
) -> Result<T> {
    if opening != Opening::Making {
        require_installation(config)?;
    }
    let interrupted = signals::cancelled()?;
    let platform = Platform::open(config, &DataDir::prepare(&config.data_dir)?, opening).await?;
    let operator = Caller::local_operator(platform.db.clone(), platform.db.env().new_id::<RequestId>());
    let done = tokio::select! {
        done = work(&platform, operator) => done,
        () = interrupted.cancelled() => Err(anyhow!("interrupted")),
    };
    platform.close().await;
    done
}

/// An error, as it is; but where its kind is that there is no such object, it says of what there is none.
fn absent(kind: ErrorKind, error: impl Into<anyhow::Error>, what: &str) -> anyhow::Error {
    if kind == ErrorKind::NotFound { anyhow!("there is no {what}") } else { error.into() }
}

/// As [`absent`], of a tenant, deleted or not.
fn no_tenant(kind: ErrorKind, error: impl Into<anyhow::Error>, tenant: Option<TenantId>) -> anyhow::Error {
    absent(kind, error, &tenant.map_or_else(|| "such tenant".to_owned(), |id| format!("tenant {id}")))
}

/// Opening has migrated already.
pub(crate) async fn migrate(config: &Config) -> Result<ExitCode> {
    with_opened(config, Opening::Making, async |platform, _| {
        platform.warn_of_unsafe_settings().await;
        Ok(())
    })
    .await?;
    println!("the schema is up to date");
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn operator_key(config: &Config) -> Result<ExitCode> {
    let made =
        with_platform(config, async |_, operator| Ok(api_key::create_for_operator(&operator).await?)).await;
    match made {
        Ok((_, secret)) => println!("{}", secret.expose_secret()),
        Err(error) => bail!(error.context("making an operator's key")),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn revoke_operator_key(config: &Config, id: ApiKeyId) -> Result<ExitCode> {
    let revoked = with_platform(config, async |_, operator| {
        let revoked = api_key::revoke_of_operator(&operator, id).await;
        revoked.map_err(|error| absent(error.kind(), error, "such key of the operator's in force"))
    })
    .await;
    revoked.with_context(|| format!("revoking {id}"))?;
    println!("{id} is revoked");
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn replace_signing_key(config: &Config) -> Result<ExitCode> {
    let replaced = with_platform(config, async |platform, operator| {
        let auth = Auth::new(platform.db.clone()).await?;
        Ok(auth.signer().replace(&operator).await?)
    });
    replaced.await.context("replacing the signing key")?;
    println!(
        "access tokens are signed with a new key, and those in force end; running servers follow within five minutes"
    );
    Ok(ExitCode::SUCCESS)
}
