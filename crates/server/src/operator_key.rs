//! The operator's API key, written to `<data dir>/operator.key` on the first start.
//!
//! The file comes first and the database second: a start that is cut off in between is made good by the next one,
//! and no key is ever in force that nobody has.

use std::io::ErrorKind;

use anyhow::{Context, Result};
use db::Db;
use kernel::{PageRequest, RequestId};
use secrecy::{ExposeSecret as _, SecretString};
use tenancy::{Caller, api_key};

use crate::files::{DataDir, write_private};

/// Makes sure that the key in the file is one of this database's, and that there is one at all.
pub(crate) async fn ensure(db: &Db, data_dir: &DataDir) -> Result<()> {
    let path = data_dir.join("operator.key");
    let operator = Caller::local_operator(db.clone(), db.env().new_id::<RequestId>());
    let secret = match std::fs::read_to_string(&path) {
        Ok(text) => SecretString::from(text.trim()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if has_key(&operator).await? {
                tracing::info!(
                    "operator.key is not there, and the operator has a key; `pillarbox operator-key` makes another"
                );
                return Ok(());
            }
            let secret = api_key::new_secret(db.env());
            write_private(&path, format!("{}\n", secret.expose_secret()).as_bytes())?;
            tracing::info!(file.path = %path.display(), "the operator's API key was written");
            secret
        }
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let installed = api_key::install_for_operator(&operator, &secret).await;
    installed.map(drop).with_context(|| {
        format!(
            "{} holds no API key: move it away, and `pillarbox operator-key` makes another",
            path.display()
        )
    })
}

/// Whether a key of the operator's is in force.
async fn has_key(operator: &Caller) -> Result<bool> {
    let now = operator.db().env().now();
    let mut cursor = None;
    loop {
        let page = api_key::list_of_operator(operator, PageRequest::new(None, cursor)).await?;
        let in_force =
            |key: &api_key::ApiKey| key.revoked_at.is_none() && key.expires_at.is_none_or(|at| at > now);
        if page.items.iter().any(in_force) {
            return Ok(true);
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(false),
        }
    }
}
