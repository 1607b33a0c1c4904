//! The main job, as a reseller's portal would drive it: provision, take in, read back, send, bill, survive.
//!
//! It talks to the program only as anybody could, over HTTP, LMTP, IMAP, POP3 and SMTP, and computes what it expects by itself.

mod crash;
mod delivery;
mod mail;
mod money;
mod portal;
mod readback;
mod sending;
pub mod server;
mod teller;

use std::path::PathBuf;

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use kernel::Clock;

use crate::client::http::Http;
use mail::Tally;
use server::Server;
use teller::Teller;

/// How the story is played.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `pillarbox` program.
    pub binary: PathBuf,
    /// Its data directory; made when absent. Run as root it must not lie below a directory closed to others.
    pub data_dir: PathBuf,
    /// A directory of messages, or an mbox, to take in instead of those that the project ships.
    pub mail: Option<PathBuf>,
    /// Whether to leave the server running until Ctrl-C once the story has ended.
    pub keep_running: bool,
}

/// Starts the program and plays the story, printing each step with what came back.
///
/// # Errors
/// At the first step that does not hold, with the end of the server's log.
pub async fn play(options: Options) -> Result<()> {
    play_with(options, &[]).await
}

/// As [`play`], with environment variables for the program over those of this process.
///
/// # Errors
/// As [`play`].
pub async fn play_with(options: Options, settings: &[(&str, &str)]) -> Result<()> {
    std::fs::create_dir_all(&options.data_dir).context("creating the data directory")?;
    let mut teller = Teller::new();
    teller.chapter("Starting the server");
    let server = Server::start(&options.binary, &options.data_dir, settings).await?;
    let at = server.listening();
    teller.step(
        "the server is ready",
        format_args!("http {}, lmtp {}, imaps {}, pop3s {}", at.http, at.lmtp, at.imaps, at.pop3s),
    );
    let mut story = Story::new(server, teller, &options)?;
    let played = story.play_all().await;
    if played.is_err() {
        eprintln!("\nThe server's log ends:\n{}\n", story.server.log_end());
    }
    played?;
    story.teller.end();
    if options.keep_running {
        story.show_how_to_go_on();
        tokio::signal::ctrl_c().await.context("waiting for Ctrl-C")?;
    }
    let status = story.server.stop().await?;
    anyhow::ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

/// The story so far.
#[derive(Debug)]
struct Story {
    server: Server,
    teller: Teller,
    mail: PathBuf,
    /// Whether it is the mail that the project ships, to which a big message is generated.
    mail_is_ours: bool,
    /// Where sandbox time begins: the first day of a month, in the morning.
    begin: DateTime<Utc>,
    /// Ends every name that only one tenant of an installation may have, so that the story can be played again.
    suffix: String,
    operator: String,
    price_book: String,
    reseller: portal::Partner,
    outsider: portal::Partner,
    monthly: portal::Customer,
    annual: portal::Customer,
    people: Vec<portal::Person>,
    /// What the mailboxes of the first two people hold.
    delivered: Tally,
}

impl Story {
    fn new(server: Server, teller: Teller, options: &Options) -> Result<Self> {
        let shipped = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/mail"));
        let now = kernel::SystemClock.now();
        Ok(Self {
            operator: server.operator_key()?,
            server,
            teller,
            mail: options.mail.clone().unwrap_or(shipped),
            mail_is_ours: options.mail.is_none(),
            begin: first_of_next_month(now)?,
            suffix: format!("{:x}", now.timestamp_millis()),
            price_book: String::new(),
            reseller: portal::Partner::default(),
            outsider: portal::Partner::default(),
            monthly: portal::Customer::default(),
            annual: portal::Customer::default(),
            people: Vec::new(),
            delivered: Tally::default(),
        })
    }

    async fn play_all(&mut self) -> Result<()> {
        self.provision().await?;
        self.take_in_and_read_back().await?;
        self.send_to_a_colleague().await?;
        self.fill_the_small_mailbox().await?;
        self.fill_the_seats().await?;
        self.ask_as_an_outsider().await?;
        self.bill_a_month().await?;
        self.kill_in_the_middle().await
    }

    /// The API as whoever holds `token`. The address changes with each start of the server.
    fn http(&self, token: &str) -> Result<Http> {
        Ok(Http::new(self.server.listening().http)?.with_token(token))
    }

    /// The API as the reseller.
    fn portal(&self) -> Result<Http> {
        self.http(&self.reseller.key)
    }

    /// The instant of a day of the sandbox month, counted from 1.
    fn day(&self, day: i64) -> DateTime<Utc> {
        self.begin + TimeDelta::days(day - 1)
    }

    fn show_how_to_go_on(&self) {
        let at = self.server.listening();
        let (base, key, person) = (format!("http://{}", at.http), &self.reseller.key, &self.people[0]);
        let tenant = format!("{base}/v1/tenants/{}", self.monthly.id);
        let mailbox = format!("{tenant}/mailboxes/{}", person.mailbox_id);
        println!("\nThe server goes on running.\n");
        println!("  API          {base}/v1        description {base}/docs");
        println!("  LMTP {}   IMAP {} (STARTTLS)   IMAPS {}", at.lmtp, at.imap, at.imaps);
        println!("  POP3 {} (STLS)   POP3S {}", at.pop3, at.pop3s);
        println!("  submission {} (STARTTLS)   submissions {}", at.submission, at.submissions);
        println!("  operator key {}", self.server.data_dir().join("operator.key").display());
        println!("  reseller key {key}");
        for person in &self.people {
            println!("  mailbox      {}  password {}", person.address, person.password);
        }
        println!("\nTo look around:\n");
        println!("  export KEY={key}");
        println!("  curl -H \"Authorization: Bearer $KEY\" {tenant}");
        println!("  curl -H \"Authorization: Bearer $KEY\" '{mailbox}/messages?limit=5'");
        println!("  curl -H \"Authorization: Bearer $KEY\" {tenant}/invoices");
        println!(
            "  curl --insecure --user '{}:{}' imaps://{}/INBOX",
            person.address, person.password, at.imaps
        );
        println!("  curl --insecure --user '{}:{}' pop3s://{}/1", person.address, person.password, at.pop3s);
        println!("\nCtrl-C stops it.");
    }
}

/// Nine in the morning, UTC, of the first day of the month after `now`: the same day in every zone of Europe.
fn first_of_next_month(now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let (year, month) = if now.month() == 12 { (now.year() + 1, 1) } else { (now.year(), now.month() + 1) };
    let day = NaiveDate::from_ymd_opt(year, month, 1).context("the calendar ends here")?;
    Ok(day.and_hms_opt(9, 0, 0).context("nine in the morning")?.and_utc())
}
