//! Bodies move, and nothing that a client sees does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use blob::{BlobKey, BlobStore as _};
use chrono::TimeDelta;
use kernel::{MailboxId, TenantId};
use mailstore::compact::{self, Compacted, Pace};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::message::{self, Message, State};
use mailstore::sweep;
use sqlx::Connection as _;
use tenancy::tenant;
use tokio::time::Instant;

use crate::support::{Bench, id, noise};

const PACE: Pace = Pace { lag: TimeDelta::hours(24), bytes_per_second: u64::MAX, ordered: 200_000 };

async fn run(bench: &Bench) -> Compacted {
    compact::run(&bench.store, &bench.world.test_db.db(), PACE).await.unwrap()
}

fn body(at: usize) -> Vec<u8> {
    format!("Subject: {at}\r\n\r\n{}\r\n", "text ".repeat(at)).into_bytes()
}

/// Takes in `count` messages, each in a pack of its own.
async fn fill(bench: &Bench, mailbox: MailboxId, count: usize) {
    for at in 0..count {
        bench.stored(mailbox, &body(at)).await;
    }
}

/// What a client sees, by UID, with the bodies.
async fn seen(bench: &Bench, mailbox: MailboxId) -> Vec<(Message, Vec<u8>)> {
    let mut messages = bench.list(mailbox, State::Live).await;
    messages.sort_by_key(|message| message.uid);
    let mut seen = Vec::new();
    for message in messages {
        let raw = message::raw(&bench.store, bench.ctx(), mailbox, message.id, None).await.unwrap();
        seen.push((message, raw.bytes.to_vec()));
    }
    seen
}

/// What the footer of one of the tenant's own packs tells, in the order in which it lies there.
async fn entries(bench: &Bench, key: &BlobKey) -> Vec<pack::Located> {
    let object = bench.blobs.get(key).await.unwrap();
    let pack::Ending::Whole(tail) = pack::Tail::parse(object.len() as u64, &object).unwrap() else {
        panic!("it is all there")
    };
    let mut entries = tail.entries(&bench.store.keys().sealing(bench.ctx()).await.unwrap()).unwrap();
    entries.sort_by_key(|entry| entry.address.index());
    entries
}

fn are_of(packs: &[BlobKey], tenant: TenantId) -> bool {
    packs.iter().all(|key| matches!(key, BlobKey::Pack { owner: Some(owner), .. } if *owner == tenant))
}

#[tokio::test]
async fn what_was_shared_becomes_the_tenant_s_own() {
    let bench = Bench::new().await;
    let (ada, bob) = (bench.mailbox("ada", None).await, bench.mailbox("bob", None).await);
    fill(&bench, ada, 5).await;
    let both = bench.ingest(&[ada, bob], b"Subject: both\r\n\r\n").await;
    id(&both[0]);
    let (other, eve) = bench.neighbour().await;
    let target = Target { ctx: other.clone(), mailbox_id: eve, folder: Within::Inbox, room_bytes: None };
    let kept = ingest(&bench.store, vec![target], bench.incoming(&body(9))).await;
    let before = (seen(&bench, ada).await, seen(&bench, bob).await);
    assert_eq!(run(&bench).await, Compacted::default(), "not before its time");
    assert_eq!(bench.blobs.packs().await.len(), 7);

    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    assert_eq!(run(&bench).await, Compacted { bodies: 7, packs: 2, ..Compacted::default() });
    assert_eq!(run(&bench).await, Compacted::default());
    assert_eq!(bench.blobs.packs().await.len(), 9, "somebody may be reading what lay in the old ones");
    assert_eq!((seen(&bench, ada).await, seen(&bench, bob).await), before);
    bench.assert_exact().await;
    bench.sweep_out().await;
    let packs = bench.blobs.packs().await;
    let (own, others): (Vec<_>, Vec<_>) =
        packs.into_iter().partition(|key| are_of(std::slice::from_ref(key), bench.ctx().tenant_id()));
    assert_eq!((own.len(), others.len()), (1, 1));
    assert!(are_of(&others, other.tenant_id()));
    assert_eq!((seen(&bench, ada).await, seen(&bench, bob).await), before);
    let raw = message::raw(&bench.store, &other, eve, id(&kept[0]), None).await.unwrap();
    assert_eq!(raw.bytes, body(9));
    // The footer tells the same as the rows.
    let mut told: Vec<_> = entries(&bench, &own[0])
        .await
        .iter()
        .flat_map(|entry| entry.about.deliveries())
        .map(|delivery| {
            (delivery.mailbox, delivery.message, delivery.uidl.as_str().to_owned(), delivery.folder)
        })
        .collect();
    told.sort_by_key(|(mailbox, message, ..)| (*mailbox, *message));
    let of = |mailbox, seen: &[(Message, Vec<u8>)]| {
        let row = |(message, _): &(Message, Vec<u8>)| {
            (mailbox, message.id, message.uidl.clone(), Some(message.folder_id))
        };
        seen.iter().map(row).collect::<Vec<_>>()
    };
    let mut expected = [of(ada, &before.0), of(bob, &before.1)].concat();
    expected.sort_by_key(|(mailbox, message, ..)| (*mailbox, *message));
    assert_eq!(told, expected);
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_deleted_tenant_keeps_nothing_of_others_in_the_bucket() {
    let bench = Bench::new().await;
    let (ada, (other, eve)) = (bench.mailbox("ada", None).await, bench.neighbour().await);
    for ctx in [bench.ctx(), &other] {
        // Whose key is not at hand yet would come later, and in a pack of its own.
        bench.store.keys().sealing(ctx).await.unwrap();
    }
    let theirs = Target { ctx: other.clone(), mailbox_id: eve, folder: Within::Inbox, room_bytes: None };
    let both = ingest(&bench.store, vec![bench.target(ada), theirs], bench.incoming(&body(9))).await;
    let shared = bench.blobs.packs().await;
    assert_eq!(shared.len(), 1);
    message::discard(&bench.store, bench.ctx(), ada, id(&both[0])).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(25));
    tenant::delete(&other, None).await.unwrap();
    bench.world.test_db.clock().advance(TimeDelta::days(6));
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await, shared, "the other's body lies there");

    assert_eq!(run(&bench).await, Compacted { bodies: 1, packs: 1, ..Compacted::default() });
    bench.sweep_out().await;
    let packs = bench.blobs.packs().await;
    assert!(packs.len() == 1 && are_of(&packs, other.tenant_id()), "{packs:?}");
    let operator = &bench.world.operator;
    tenant::restore(&operator.enter_deleted_too(other.tenant_id()).await.unwrap()).await.unwrap();
    let restored = operator.enter(other.tenant_id()).await.unwrap();
    let raw = message::raw(&bench.store, &restored, eve, id(&both[1]), None).await.unwrap();
    assert_eq!(raw.bytes, body(9));
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_cannot_be_read_stays_where_it_is_and_the_rest_moves() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    fill(&bench, ada, 6).await;
    let packs = bench.blobs.packs().await;
    let (one, two) = (bench.blobs.get(&packs[0]).await.unwrap(), bench.blobs.get(&packs[2]).await.unwrap());
    let mut rotten = one.to_vec();
    rotten[12] ^= 1;
    bench.blobs.land(&packs[0], rotten).await;
    bench.blobs.delete(&packs[2]).await.unwrap();
    *bench.blobs.unreadable.lock().unwrap() = Some((packs[4].clone(), 0..u64::MAX));
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    bench.blobs.away.store(true, Ordering::SeqCst);
    let stopped = Compacted { failed: 1, ..Compacted::default() };
    assert_eq!(run(&bench).await, stopped, "where nobody answers, no body is to blame");
    bench.blobs.away.store(false, Ordering::SeqCst);
    // With what is asked for to see whether the bucket lets us in.
    let nothing = BlobKey::Pack { owner: None, pack: kernel::PackId::from_uuid(uuid::Uuid::nil()) };
    *bench.blobs.barred.lock().unwrap() = packs.iter().cloned().chain([nothing]).collect();
    assert_eq!(run(&bench).await, stopped, "where we are not let in, no body is to blame");

    *bench.blobs.barred.lock().unwrap() = vec![packs[5].clone()];
    let left = Compacted { unreadable: 4, ..Compacted::default() };
    assert_eq!(run(&bench).await, Compacted { bodies: 2, packs: 1, ..left });
    assert_eq!(run(&bench).await, left, "each once in a run");
    bench.assert_exact().await;
    bench.blobs.land(&packs[0], one.to_vec()).await;
    bench.blobs.land(&packs[2], two.to_vec()).await;
    *bench.blobs.unreadable.lock().unwrap() = None;
    bench.blobs.barred.lock().unwrap().clear();
    assert_eq!(run(&bench).await, Compacted { bodies: 4, packs: 1, ..Compacted::default() });
    bench.sweep_out().await;
    assert!(are_of(&bench.blobs.packs().await, bench.ctx().tenant_id()));
    let bodies: Vec<_> = seen(&bench, ada).await.into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, (0..6).map(body).collect::<Vec<_>>());
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_body_that_has_rotted_keeps_no_other_in_a_pack_of_mostly_dead() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    fill(&bench, ada, 10).await;
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    assert_eq!(run(&bench).await.bodies, 10);
    for (message, _) in seen(&bench, ada).await.split_off(3) {
        message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
    }
    bench.world.test_db.clock().advance(TimeDelta::days(31));
    bench.sweep_out().await;
    let [key] = &bench.blobs.packs().await[..] else { panic!("not one pack") };
    let one = bench.list(ada, State::Live).await[0].id;
    let entries = entries(&bench, key).await;
    let entry = entries.iter().find(|entry| entry.about.deliveries()[0].message == one).unwrap();
    let mut object = bench.blobs.get(key).await.unwrap().to_vec();
    object[usize::try_from(entry.address.offset()).unwrap()] ^= 1;
    bench.blobs.land(key, object).await;
    assert_eq!(run(&bench).await, Compacted { bodies: 2, packs: 1, unreadable: 1, failed: 0 });
    bench.sweep_out().await;
    assert_eq!(bench.blobs.packs().await.len(), 2);
    bench.assert_exact().await;
}

#[tokio::test]
async fn in_a_pack_of_the_tenant_s_own_bodies_lie_by_mailbox_and_time() {
    let bench = Bench::new().await;
    let mut mailboxes = Vec::new();
    for local in ["ada", "bob", "eve"] {
        mailboxes.push(bench.mailbox(local, None).await);
    }
    let clock = bench.world.test_db.clock();
    // By turns, and the latest first: else they would come out in order by chance.
    for at in 0..12 {
        bench.stored(mailboxes[at % 3], &body(at)).await;
        clock.advance(TimeDelta::minutes(-1));
    }
    clock.advance(TimeDelta::hours(25));
    assert_eq!(run(&bench).await, Compacted { bodies: 12, packs: 1, ..Compacted::default() });
    bench.sweep_out().await;
    let packs = bench.blobs.packs().await;
    assert_eq!(packs.len(), 1);
    let entries = entries(&bench, &packs[0]).await;
    let places: Vec<_> = entries
        .iter()
        .map(|entry| (entry.about.deliveries()[0].mailbox, entry.about.internal_date()))
        .collect();
    assert!(places.len() == 12 && places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn what_takes_several_packs_is_moved_mailbox_by_mailbox_and_to_its_end() {
    let bench = Bench::new().await;
    let mut mailboxes = Vec::new();
    for local in ["ada", "bob", "eve"] {
        mailboxes.push(bench.mailbox(local, None).await);
    }
    mailboxes.sort();
    // Eight of them make a pack, and none is so large that it has an object of its own.
    let (long, clock) = (noise(1_000_000), bench.world.test_db.clock());
    let mut packs = Vec::new();
    for at in 0..27 {
        bench.stored(mailboxes[at % 3], &long).await;
        let new = bench.blobs.packs().await.into_iter().find(|key| !packs.contains(key));
        packs.push(new.unwrap());
        clock.advance(TimeDelta::minutes(1));
    }
    // The eleventh that is come to.
    bench.blobs.delete(&packs[4]).await.unwrap();
    clock.advance(TimeDelta::hours(25));
    assert_eq!(run(&bench).await, Compacted { bodies: 26, packs: 4, unreadable: 1, failed: 0 });
    assert_eq!(run(&bench).await, Compacted { unreadable: 1, ..Compacted::default() });
    bench.sweep_out().await;
    let own = bench.blobs.packs().await;
    assert!(own.len() == 4 && are_of(&own, bench.ctx().tenant_id()), "{own:?}");
    let mut places = Vec::new();
    for key in &own {
        let place =
            |entry: &pack::Located| (entry.about.deliveries()[0].mailbox, entry.about.internal_date());
        places.push(entries(&bench, key).await.iter().map(place).collect::<Vec<_>>());
    }
    places.sort();
    let places = places.concat();
    assert!(places.len() == 26 && places.is_sorted(), "{places:?}");
    bench.assert_exact().await;
}

#[tokio::test]
async fn however_few_are_put_in_order_at_a_time_each_moves_once() {
    for (ordered, packs) in [(1, 9), (4, 3), (5, 2), (10, 1)] {
        let bench = Bench::new().await;
        let mut mailboxes = Vec::new();
        for local in ["ada", "bob", "eve"] {
            mailboxes.push(bench.mailbox(local, None).await);
        }
        // Some at one moment, which only their ids keep apart.
        let mut arrived = Vec::new();
        for at in 0..10 {
            bench.stored(mailboxes[at % 3], &body(at)).await;
            let new = bench.blobs.packs().await.into_iter().find(|key| !arrived.contains(key));
            arrived.push(new.unwrap());
            bench.world.test_db.clock().advance(TimeDelta::minutes(i64::from(at > 5)));
        }
        bench.blobs.delete(&arrived[4]).await.unwrap();
        bench.world.test_db.clock().advance(TimeDelta::hours(25));
        let db = bench.world.test_db.db();
        let moved = compact::run(&bench.store, &db, Pace { ordered, ..PACE }).await.unwrap();
        assert_eq!(moved, Compacted { bodies: 9, packs, unreadable: 1, failed: 0 }, "{ordered}");
        assert_eq!(run(&bench).await, Compacted { unreadable: 1, ..Compacted::default() });
        bench.assert_exact().await;
    }
}

#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_in_the_bucket() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    fill(&bench, ada, 3).await;
    let (packs, puts) = (bench.blobs.packs().await, bench.blobs.puts.load(Ordering::SeqCst));
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    let mut owner = sqlx::PgConnection::connect(&bench.world.test_db.url()).await.unwrap();
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$;
        create trigger refused before update of pack_id on blobs for each row execute function refuse()";
    sqlx::raw_sql(refuse).execute(&mut owner).await.unwrap();
    assert_eq!(run(&bench).await, Compacted { failed: 1, ..Compacted::default() });
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), puts + 1);
    assert_eq!(bench.blobs.packs().await, packs);
    sqlx::raw_sql("drop trigger refused on blobs").execute(&mut owner).await.unwrap();
    assert_eq!(run(&bench).await, Compacted { bodies: 3, packs: 1, ..Compacted::default() });
    bench.assert_exact().await;
}

#[tokio::test]
async fn no_more_is_moved_in_a_second_than_may_be() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    for length in [700, 701] {
        bench.stored(ada, &noise(length)).await;
    }
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    let begun = Instant::now();
    let pace = Pace { bytes_per_second: 1_000, ..PACE };
    let moved = compact::run(&bench.store, &bench.world.test_db.db(), pace).await.unwrap();
    assert_eq!(moved, Compacted { bodies: 2, packs: 1, ..Compacted::default() });
    assert!(begun.elapsed() >= Duration::from_millis(1_401), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_pack_that_is_more_dead_than_alive_is_written_anew_and_any_other_within_a_week() {
    for (deleted, at_once) in [(7, true), (1, false)] {
        let bench = Bench::new().await;
        let ada = bench.mailbox("ada", None).await;
        let clock = bench.world.test_db.clock();
        fill(&bench, ada, 10).await;
        clock.advance(TimeDelta::hours(25));
        assert_eq!(run(&bench).await.bodies, 10);
        for (message, _) in seen(&bench, ada).await.split_off(10 - deleted) {
            message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
        }
        assert_eq!(run(&bench).await, Compacted::default(), "what can be recovered is not dead");
        clock.advance(TimeDelta::days(31));
        bench.sweep_out().await;
        let (before, packs) = (seen(&bench, ada).await, bench.blobs.packs().await);
        assert_eq!((before.len(), packs.len()), (10 - deleted, 1));

        let moved = Compacted { bodies: 10 - deleted as u64, packs: 1, ..Compacted::default() };
        let untouched = Compacted::default();
        assert_eq!(run(&bench).await, if at_once { moved } else { untouched }, "{deleted}");
        clock.advance(TimeDelta::days(6));
        assert_eq!(run(&bench).await, if at_once { untouched } else { moved }, "{deleted}");
        bench.sweep_out().await;
        let left = bench.blobs.packs().await;
        assert!(left.len() == 1 && left != packs && are_of(&left, bench.ctx().tenant_id()), "{left:?}");
        assert_eq!(seen(&bench, ada).await, before);
        bench.assert_exact().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_at_once_beside_mail_that_comes_and_goes_keep_all_exact() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    fill(&bench, ada, 20).await;
    let doomed = seen(&bench, ada).await;
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    let deleting = async {
        for (message, _) in &doomed[..10] {
            message::discard(&bench.store, bench.ctx(), ada, message.id).await.unwrap();
        }
    };
    let (one, two, (), ()) = tokio::join!(run(&bench), run(&bench), deleting, fill(&bench, ada, 5));
    assert_eq!((one.failed, two.failed), (0, 0));
    assert_eq!(one.bodies + two.bodies, 20, "{one:?} {two:?}");
    bench.assert_exact().await;
    assert_eq!(seen(&bench, ada).await.len(), 15);
    bench.world.test_db.clock().advance(TimeDelta::days(31));
    bench.sweep_out().await;
    run(&bench).await;
    bench.sweep_out().await;
    let bodies: Vec<_> = seen(&bench, ada).await.into_iter().map(|(_, body)| body).collect();
    let expected: Vec<_> = (10..20).chain(0..5).map(body).collect();
    assert_eq!(bodies, expected);
    assert!(are_of(&bench.blobs.packs().await, bench.ctx().tenant_id()));
    bench.assert_exact().await;
    assert_eq!(sweep::run(&bench.store, &bench.world.test_db.db()).await, sweep::Swept::default());
}
