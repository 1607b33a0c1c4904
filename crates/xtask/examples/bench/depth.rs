//! What a message costs in a mailbox that has a million already, beside one that has a thousand.
//!
//! The mailboxes are filled by statements: each row is a message of its own, with one body for all of them, as copies have. Taking in so many
//! would take hours.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::client::http::Http;
use testkit::client::lmtp::Lmtp;

use crate::bed::{Bed, DOMAIN};
use crate::clients::mail;
use crate::clients::wire::Wire;
use crate::report::{self, Measure, Target};

/// The group's name.
pub(crate) const NAME: &str = "depth";
const PASSWORD: &str = "correct-horse-battery";
/// How many messages the mailboxes have, and what a message may cost in the larger one.
const DEEP: usize = 1_000_000;
const SHALLOW: usize = 1_000;
const TIMES: f64 = 1.2;
/// How often each thing is done in a round.
const TURNS: usize = 200;

/// One of the two mailboxes.
struct Mailbox {
    address: String,
    id: String,
    /// Whoever's it is: nobody above them may read it.
    owner: Http,
    /// The path of its messages.
    messages: String,
    /// A message in the middle of it.
    some: String,
}

/// Measures each thing that is done with a message.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let deep = make(bed, "deep", DEEP).await?;
    let shallow = make(bed, "shallow", SHALLOW).await?;
    sqlx::query("vacuum analyze messages").execute(bed.pool()).await?;
    bed.indexed().await?;
    bed.settle().await?;
    let both = [&deep, &shallow];
    measure("depth.deliver", both, async |mailbox| deliver(bed, mailbox).await).await?;
    measure("depth.list", both, list).await?;
    measure("depth.get", both, get).await?;
    measure("depth.fetch", both, async |mailbox| fetch(bed, mailbox).await).await
}

/// Milliseconds each.
async fn measure(name: &str, both: [&Mailbox; 2], turn: impl AsyncFn(&Mailbox) -> Result<f64>) -> Result<()> {
    let [ours, theirs] = report::turns(both, turn).await?;
    let baseline = "in a mailbox of 1,000";
    Measure { name, unit: "ms", ours, baseline, theirs, target: Target::AtMost(TIMES) }.report()
}

/// A mailbox with so many messages, of which one came by LMTP.
async fn make(bed: &Bed, name: &str, count: usize) -> Result<Mailbox> {
    let http = bed.http()?;
    let address = format!("{name}@{DOMAIN}");
    let user = json!({"address": address, "password": PASSWORD});
    let user = http.post(&bed.place().users(), &user).await?.expect(201)?;
    let id = text(&user, "mailbox_id")?.to_owned();
    let messages = format!("/v1/tenants/{}/mailboxes/{id}/messages", bed.place().tenant_id);
    let owner = bed.stranger()?.with_token(bed.token(&address, PASSWORD).await?);
    let mut mailbox = Mailbox { address, id, owner, messages, some: String::new() };
    let mut client = Lmtp::connect(bed.server().listening().lmtp).await?;
    put(&mut client, &mailbox, 0).await?;
    bed.indexed().await?;
    fill(bed, &mailbox, count).await?;
    let page = page(&mailbox).await?;
    let some = page["data"].get(25).context("a message in the middle of a page")?;
    text(some, "id")?.clone_into(&mut mailbox.some);
    Ok(mailbox)
}

/// Makes a mailbox's one message so many. Nothing of it is journaled or indexed, or it would be so while the rest is measured.
async fn fill(bed: &Bed, mailbox: &Mailbox, count: usize) -> Result<()> {
    let id: kernel::MailboxId = mailbox.id.parse()?;
    let count = i64::try_from(count)?;
    let mut tx = bed.pool().begin().await?;
    sqlx::raw_sql("alter table messages disable trigger user; set local role pillarbox_system")
        .execute(&mut *tx)
        .await?;
    // Ids in the order of time, as the server's are.
    sqlx::query(
        "insert into messages (tenant_id, mailbox_id, id, folder_id, uid, uidl, modseq, blob_id, size_bytes, wire_size_bytes, internal_date)
         select tenant_id, mailbox_id, (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
           folder_id, n, 'fill' || n, n, blob_id, size_bytes, wire_size_bytes, internal_date - (($2 - n) * interval '1 second')
         from messages, generate_series(2, $2) n where mailbox_id = $1",
    )
    .bind(id.uuid())
    .bind(count)
    .execute(&mut *tx)
    .await?;
    for counted in [
        "update blobs b set message_count = $2 from messages m where m.mailbox_id = $1 and m.uid = 1 and b.tenant_id = m.tenant_id and b.id = m.blob_id",
        "update folders set uid_next = $2 + 1, message_count = $2, unseen_count = $2, size_bytes = size_bytes * $2, highest_modseq = $2 + 1
         where mailbox_id = $1 and role = 'inbox'",
        "update mailboxes set used_bytes = used_bytes * $2, modseq = $2 + 1 where id = $1",
    ] {
        sqlx::query(counted).bind(id.uuid()).bind(count).execute(&mut *tx).await?;
    }
    sqlx::raw_sql("reset role; alter table messages enable trigger user").execute(&mut *tx).await?;
    Ok(tx.commit().await?)
}

async fn put(client: &mut Lmtp, mailbox: &Mailbox, number: usize) -> Result<()> {
    let delivery = client.deliver("a@example.org", &[&mailbox.address], &mail::message(number)).await?;
    ensure!(delivery.is_complete(), "refused: {:?}", delivery.outcomes);
    Ok(())
}

async fn page(mailbox: &Mailbox) -> Result<Value> {
    mailbox.owner.get(&format!("{}?limit=50", mailbox.messages)).await?.expect(200)
}

/// By LMTP over one connection.
async fn deliver(bed: &Bed, mailbox: &Mailbox) -> Result<f64> {
    let mut client = Lmtp::connect(bed.server().listening().lmtp).await?;
    let start = Instant::now();
    for number in 0..TURNS {
        put(&mut client, mailbox, number).await?;
    }
    let took = each(start);
    client.quit().await?;
    bed.indexed().await?;
    Ok(took)
}

/// A page of 50 by REST.
async fn list(mailbox: &Mailbox) -> Result<f64> {
    let start = Instant::now();
    for _ in 0..TURNS {
        page(mailbox).await?;
    }
    Ok(each(start))
}

/// One message by REST.
async fn get(mailbox: &Mailbox) -> Result<f64> {
    let path = format!("{}/{}", mailbox.messages, mailbox.some);
    let start = Instant::now();
    for _ in 0..TURNS {
        mailbox.owner.get(&path).await?.expect(200)?;
    }
    Ok(each(start))
}

/// A body by IMAP, with the folder open.
async fn fetch(bed: &Bed, mailbox: &Mailbox) -> Result<f64> {
    let mut client = Wire::imap(bed.server().listening().imap, &mailbox.address, PASSWORD).await?;
    let start = Instant::now();
    for number in 0..TURNS {
        client.command(&format!("UID FETCH {} (FLAGS BODY.PEEK[])", SHALLOW / 2 + number)).await?;
    }
    Ok(each(start))
}

fn each(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3 / TURNS as f64
}

fn text<'a>(answer: &'a Value, member: &str) -> Result<&'a str> {
    answer[member].as_str().with_context(|| format!("{member} in {answer}"))
}
