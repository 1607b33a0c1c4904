//! The command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Parser, Subcommand};
use kernel::{ApiKeyId, EmailAddress, MailboxId, ResellerId, TenantId};

/// Hosted mailboxes for many tenants: mail in by LMTP, read by IMAP, POP3 and REST, sent by submission; and their billing.
#[derive(Debug, Parser)]
#[command(name = "pillarbox", version, after_long_help = crate::config::describe())]
pub(crate) struct Cli {
    /// The TOML file with settings (or PILLARBOX_CONFIG); environment variables go before it.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves HTTP, LMTP, IMAP, POP3 and submission until SIGTERM or Ctrl-C.
    ///
    /// With nothing configured it starts a private Postgres and keeps bodies in a directory, both under the data directory. On
    /// the first start the operator's API key goes to `operator.key` there. Once everything is ready, the addresses in use are
    /// in `listen.json`.
    Serve,
    /// Brings the database's schema up to date and ends.
    Migrate,
    /// Takes mail from files into a mailbox: messages, mboxes (*.mbox), Maildirs, zips (*.zip) and folders of them, with the marks that they tell.
    ///
    /// What an earlier import took is skipped, so a broken import is simply run again. Ends with status 1 when any message
    /// could not be taken.
    Import {
        /// The mailbox, by one of its addresses.
        #[arg(long, value_name = "ADDRESS")]
        mailbox: EmailAddress,
        /// Files each message in the folder that it was in, by a Maildir's subfolders and the names and places of mboxes, instead of the Inbox, and
        /// under the UID that it had, if the folder never had a message.
        #[arg(long)]
        folders: bool,
        /// Files and folders.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Writes a mailbox's mail into a folder, or into one zip: as a Maildir with subfolders, or an mbox for each folder. `import --folders` takes
    /// it back.
    ///
    /// Of a mailbox that is deleted, what a legal hold keeps of it is written.
    ///
    /// An export that was broken off is simply run again, and goes on from there. Ends with status 1 when any message cannot be read.
    Export {
        /// The mailbox, by one of its addresses, or by its id; one that is deleted has no address.
        #[arg(long, value_name = "ADDRESS_OR_ID")]
        mailbox: MailboxName,
        /// Why, for the tenant to read on its audit trail.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// In what form.
        #[arg(long, value_enum, default_value_t = ExportFormat::Maildir)]
        format: ExportFormat,
        /// Writes what was deleted from it as well, as long as it can be recovered or a legal hold keeps it: below a folder of its own.
        #[arg(long)]
        with_deleted: bool,
        /// The folder, or the zip if it ends in .zip.
        #[arg(value_name = "PATH")]
        to: PathBuf,
    },
    /// Works of billing.
    #[command(subcommand)]
    Billing(Billing),
    /// Makes a new API key for the operator and prints it. Existing ones stay in force.
    OperatorKey {
        /// Revokes a key instead of making one; its id is in its secret, between the underscores.
        #[arg(long, value_name = "KEY_ID")]
        revoke: Option<ApiKeyId>,
    },
    /// The audit trail.
    #[command(subcommand)]
    Audit(Audit),
    /// The place where bodies are kept.
    #[command(subcommand)]
    Blob(Blob),
    /// The keys that mail is stored under.
    #[command(subcommand)]
    Keys(Keys),
    /// Makes a lost database anew out of the bucket alone: the journal and the packs that lie in it, and the key-encryption keys.
    ///
    /// The database must be there and have no table. What was committed up to about a second before the loss (or as PILLARBOX_JOURNAL_SECONDS was set) is there again; mail that
    /// may have been accepted after that is found in its packs and delivered. Run it while no server runs on the bucket.
    Recover,
    /// Makes the database anew out of the bucket for trial, in a private Postgres that is thrown away, and says how much would be lost,
    /// now and at worst since the journal's newest base (RPO), and how long it took (RTO).
    ///
    /// Changes nothing, and may run beside servers. The worst is of changes whose transactions began since the base, up to when they were read to be put into the bucket.
    Drill,
    /// Prints a new key-encryption key: a line for the file that PILLARBOX_KEY_ENCRYPTION_KEYS_FILE names.
    NewKeyEncryptionKey,
    /// Signs access tokens with a new key and ends those in force, for a key that leaked. Keys rotate by themselves every 30 days.
    ReplaceSigningKey,
    /// Prints the API's description (OpenAPI 3.1, JSON).
    Openapi,
}

/// A mailbox, as somebody names it.
#[derive(Debug, Clone)]
pub(crate) enum MailboxName {
    /// By one of its addresses.
    Address(EmailAddress),
    /// By its id.
    Id(MailboxId),
}

impl FromStr for MailboxName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.contains('@') {
            true => text.parse::<EmailAddress>().map(Self::Address).map_err(|error| error.to_string()),
            false => text.parse::<MailboxId>().map(Self::Id).map_err(|_| {
                "neither an address nor a mailbox's id, which is mbx_ followed by 32 hexadecimal digits"
                    .into()
            }),
        }
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => fmt::Display::fmt(address, f),
            Self::Id(id) => fmt::Display::fmt(id, f),
        }
    }
}

fn parse_day(text: &str) -> Result<NaiveDate, String> {
    text.parse().map_err(|_| "not a day as year, month and day, such as 2026-02-01".into())
}

fn parse_moment(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| "not a moment with its time zone, such as 2026-02-03T12:00:00Z".into())
}

/// In what form mail is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// A file for each message.
    Maildir,
    /// A file for each folder.
    Mbox,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Billing {
    /// Bills everything that is due up to a day. Running it twice adds nothing.
    Run {
        /// The day, such as 2026-02-01.
        #[arg(long, value_name = "DATE", value_parser = parse_day)]
        as_of: NaiveDate,
        /// One tenant only.
        #[arg(long, value_name = "TENANT_ID")]
        tenant: Option<TenantId>,
    },
    /// Computes every document again from the event log and every balance from the transfers, and ends with status 1 when
    /// anything differs.
    ///
    /// Prints a line for each difference. May run beside a server and a billing run.
    Verify {
        /// One tenant only, and no number series; without it, everything.
        #[arg(long, value_name = "TENANT_ID")]
        tenant: Option<TenantId>,
    },
    /// Prints what went into and out of each of an issuer's accounts, over all its customers, and their sums, which come out even in each currency.
    ///
    /// Without a day and a moment it is of all that is posted; with both, of what was known at the moment of the time up to the day.
    TrialBalance {
        /// A reseller's accounts; without it, the operator's.
        #[arg(long, value_name = "RESELLER_ID")]
        reseller: Option<ResellerId>,
        /// The last day that counts, such as 2026-01-31: documents count for the day that they are issued on, payments for that of their receipt.
        #[arg(long, value_name = "DATE", value_parser = parse_day)]
        on: Option<NaiveDate>,
        /// The moment up to which it was posted, such as 2026-02-03T12:00:00Z.
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        at: Option<DateTime<Utc>>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Recomputes the hash chain of a trail from its beginning, and ends with status 1 when it does not add up.
    ///
    /// Prints each trail's last hash: one that was kept elsewhere shows later that the trail still holds what it held.
    Verify {
        /// One tenant's trail; without it, every trail.
        #[arg(long, value_name = "TENANT_ID")]
        tenant: Option<TenantId>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Blob {
    /// Compares the tables with what lies in the blob store, follows the journal there, and ends with status 1 when something does not come out even.
    ///
    /// Prints a line for each finding. May run beside servers. Deletes nothing, however it is called.
    Verify {
        /// Reads every body back and compares its hash, and opens the journal, as fast as compaction may read; without it, only where packs end and
        /// where segments begin.
        #[arg(long)]
        read: bool,
        /// Counts counters again, puts back the objects of keys that the database has, and takes a new base of the journal where a recovery would stop.
        #[arg(long)]
        repair: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Wraps every tenant's key with the current key-encryption key, the first of the file, and forgets what it was wrapped with before.
    ///
    /// No mail is touched. May run beside servers that know that key or can read it in their file, and again after it was cut short. Ends with status 1 when any key could
    /// not be wrapped: the older key-encryption keys are still needed then.
    Rewrap,
    /// Gives a tenant a new key for the mail that comes from now on. What is there goes on opening with the older ones.
    Rotate {
        /// The tenant.
        #[arg(value_name = "TENANT_ID")]
        tenant: TenantId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn a_mailbox_is_named_by_an_address_or_an_id() {
        let read = |text: &str| text.parse::<MailboxName>();
        assert!(matches!(read("ada@acme.example"), Ok(MailboxName::Address(_))));
        assert!(matches!(read("mbx_019a2f3c5d7e7abc8def0123456789ab"), Ok(MailboxName::Id(_))));
        for wrong in ["foo", "mbx_1", "usr_019a2f3c5d7e7abc8def0123456789ab"] {
            let says = read(wrong).unwrap_err();
            assert!(says.contains("address") && says.contains("mbx_"), "{says}");
        }
    }

    #[test]
    fn days_and_moments_are_refused_with_an_example() {
        assert!(parse_day("2026-02-01").is_ok() && parse_moment("2026-02-03T12:00:00Z").is_ok());
        for wrong in ["", "2026-02-30", "01.02.2026", "today"] {
            assert!(parse_day(wrong).unwrap_err().contains("2026-02-01"), "{wrong}");
            assert!(parse_moment(wrong).unwrap_err().contains("2026-02-03T12:00:00Z"), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_long_help_lists_the_settings() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("PILLARBOX_DATABASE_URL") && help.contains("pop3s_listen"), "{help}");
    }
}
