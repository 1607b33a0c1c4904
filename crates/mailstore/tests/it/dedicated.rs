//! A tenant that may share no object with others: what it gets lies in packs of its own, from the moment on that this is said.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use blob::{BlobKey, BlobStore as _};
use chrono::TimeDelta;
use futures::future::join_all;
use kernel::{MailboxId, MessageId, TenantId};
use mailstore::Error;
use mailstore::compact::{self, Compacted, Pace};
use mailstore::ingest::{Target, Within, ingest};
use mailstore::message;
use tenancy::Ctx;
use tenancy::tenant::{self, TenantChange};
use uuid::Uuid;

use crate::support::{Bench, HELLO, id};

/// A tenant's mailbox.
type Place = (Ctx, MailboxId);

/// A mailbox of the bench's tenant, one of a neighbour's, and one of a tenant that shares nothing.
async fn three(bench: &Bench) -> [Place; 3] {
    let ada = (bench.ctx().clone(), bench.mailbox("ada", None).await);
    let (bob, eve) = (bench.neighbour().await, bench.tenant("Alone", true).await);
    for (ctx, _) in [&ada, &bob, &eve] {
        // Whose key is not at hand yet would come later than the others.
        bench.store.keys().sealing(ctx).await.unwrap();
    }
    [ada, bob, eve]
}

fn target((ctx, mailbox_id): &Place) -> Target {
    Target { ctx: ctx.clone(), mailbox_id: *mailbox_id, folder: Within::Inbox, room_bytes: None }
}

/// Takes a message in for all of them together.
async fn deliver(bench: &Bench, to: &[&Place], bytes: &[u8]) -> Vec<MessageId> {
    let targets = to.iter().map(|place| target(place)).collect();
    ingest(&bench.store, targets, bench.incoming(bytes)).await.iter().map(id).collect()
}

async fn read(bench: &Bench, (ctx, mailbox): &Place, id: MessageId) -> Vec<u8> {
    message::raw(&bench.store, ctx, *mailbox, id, None).await.unwrap().bytes.to_vec()
}

async fn set_dedicated(ctx: &Ctx, is_dedicated: bool) {
    let change = TenantChange { storage_dedicated: Some(is_dedicated), ..Default::default() };
    assert_eq!(tenant::update(ctx, None, change).await.unwrap().storage_dedicated, is_dedicated);
}

fn these(places: &[&Place]) -> BTreeSet<TenantId> {
    places.iter().map(|(ctx, _)| ctx.tenant_id()).collect()
}

/// Whose prefix each object with bodies lies under, and who has something in it, as the object itself says.
async fn objects(bench: &Bench) -> Vec<(Option<TenantId>, BTreeSet<TenantId>)> {
    let mut objects = Vec::new();
    for key in bench.blobs.packs().await {
        let object = bench.blobs.get(&key).await.unwrap();
        let pack::Ending::Whole(tail) = pack::Tail::parse(object.len() as u64, &object).unwrap() else {
            panic!("it is all there")
        };
        let BlobKey::Pack { owner, .. } = key else { panic!("{key} is no pack") };
        objects.push((owner, tail.sections().map(|(tenant, _)| tenant).collect()));
    }
    objects.sort();
    objects
}

/// Whose own each live pack is, whether what is in it is to be moved on, and who has a share of it.
#[expect(clippy::disallowed_methods, reason = "the test looks at what no tenant owns")]
async fn shares(bench: &Bench) -> Vec<(Option<Uuid>, bool, Vec<Uuid>)> {
    let mut tx = db::SystemTx::begin(&bench.world.test_db.db()).await.unwrap();
    let rows = sqlx::query_as(
        "select p.tenant_id, p.unsorted, array_agg(s.tenant_id order by s.tenant_id) from packs p join pack_shares s on s.pack_id = p.id
         where p.state = 'live' group by p.id order by p.tenant_id nulls first, p.id",
    );
    rows.fetch_all(tx.conn()).await.unwrap()
}

/// The packs in a state, and whose own each is.
#[expect(clippy::disallowed_methods, reason = "the test looks at what no tenant owns")]
async fn packs(bench: &Bench, state: &str) -> Vec<(Uuid, Option<Uuid>)> {
    let mut tx = db::SystemTx::begin(&bench.world.test_db.db()).await.unwrap();
    let rows =
        sqlx::query_as("select id, tenant_id from packs where state = $1 order by tenant_id nulls first, id");
    rows.bind(state).fetch_all(tx.conn()).await.unwrap()
}

/// By the objects and by the rows.
async fn assert_alone(bench: &Bench, (ctx, _): &Place) {
    let tenant = ctx.tenant_id();
    for (owner, tenants) in objects(bench).await {
        let is_alone = owner == Some(tenant) && tenants.len() == 1;
        assert!(is_alone || !tenants.contains(&tenant), "{owner:?} {tenants:?}");
    }
    for (owner, _, tenants) in shares(bench).await {
        let is_alone = owner == Some(tenant.uuid()) && tenants.len() == 1;
        assert!(is_alone || !tenants.contains(&tenant.uuid()), "{owner:?} {tenants:?}");
    }
}

#[tokio::test]
async fn tenants_share_a_pack_unless_one_of_them_may_not() {
    let bench = Bench::new().await;
    let [ada, bob, eve] = three(&bench).await;
    let ids = deliver(&bench, &[&ada, &bob, &eve], HELLO).await;
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 2);
    let (both, alone) = (these(&[&ada, &bob]), eve.0.tenant_id());
    assert_eq!(objects(&bench).await, [(None, both.clone()), (Some(alone), [alone].into())]);
    let both = both.iter().map(|tenant| tenant.uuid()).collect();
    assert_eq!(shares(&bench).await, [(None, false, both), (Some(alone.uuid()), true, vec![alone.uuid()])]);
    for (place, id) in [&ada, &bob, &eve].into_iter().zip(ids) {
        assert_eq!(read(&bench, place, id).await, HELLO);
    }
    bench.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_mail_for_three_at_once_nothing_is_lost_and_one_of_them_stays_alone() {
    let bench = Bench::new().await;
    let places = three(&bench).await;
    let arriving = (0..60).flat_map(|at| places.iter().map(move |place| (at, place)));
    let sent = join_all(arriving.map(|(at, place)| {
        let bench = &bench;
        async move {
            let body = format!("Subject: {at}\r\n\r\n{}", "x".repeat(at)).into_bytes();
            (place, deliver(bench, &[place], &body).await[0], body)
        }
    }))
    .await;
    for (place, id, body) in &sent {
        assert_eq!(&read(&bench, place, *id).await, body);
    }
    assert_eq!(sent.iter().map(|(_, id, _)| *id).collect::<BTreeSet<_>>().len(), 180);
    assert_alone(&bench, &places[2]).await;
    assert!(objects(&bench).await.iter().any(|(_, tenants)| tenants.len() == 2), "nobody shared anything");
    let puts = bench.blobs.puts.load(Ordering::SeqCst);
    assert!(puts < 120, "{puts}");
    bench.assert_exact().await;
}

/// Messages `0..20` for each of the places, behind one whose upload is held; whether each was stored, by the place and the message.
async fn behind_a_slow_one(
    bench: &Bench,
    places: [&Place; 2],
) -> Vec<(usize, usize, Result<MessageId, Error>)> {
    let hold = bench.blobs.hold();
    let others = async {
        bench.blobs.wait_until_stored().await;
        let ingesting = join_all((0..40).map(|at| async move {
            let results =
                ingest(&bench.store, vec![target(places[at % 2])], bench.incoming(&body(at / 2))).await;
            (at % 2, at / 2, results.into_iter().next().unwrap().map(|outcome| id(&Ok(outcome))))
        }));
        let (results, ()) = tokio::join!(ingesting, async {
            bench.blobs.wait_until_stored().await;
            bench.blobs.wait_until_stored().await;
            bench.blobs.stop_holding();
            hold.add_permits(10);
        });
        results
    };
    let (_, results) = tokio::join!(deliver(bench, &places[..1], HELLO), others);
    results
}

/// The slow one, what waited behind it, the first of the other's, which waits for nobody, and what came while that was under way.
fn assert_few_puts(bench: &Bench) {
    let puts = bench.blobs.puts.load(Ordering::SeqCst);
    assert!((3..=4).contains(&puts), "{puts}");
}

fn body(at: usize) -> Vec<u8> {
    format!("Subject: {at}\r\n\r\n{}", "x".repeat(at)).into_bytes()
}

#[tokio::test]
async fn what_waits_for_one_that_shares_nothing_goes_in_together_beside_what_others_share() {
    let bench = Bench::new().await;
    let [ada, _, eve] = three(&bench).await;
    let results = behind_a_slow_one(&bench, [&ada, &eve]).await;
    assert_few_puts(&bench);
    for (place, at, stored) in results {
        assert_eq!(read(&bench, [&ada, &eve][place], stored.unwrap()).await, body(at));
    }
    assert_alone(&bench, &eve).await;
    bench.assert_exact().await;
}

#[tokio::test]
async fn one_that_cannot_be_stored_fails_alone_and_the_others_stay_in_their_tenant_s_pack() {
    let bench = Bench::new().await;
    let [ada, _, eve] = three(&bench).await;
    bench.poison(body(7).len()).await;
    let results = behind_a_slow_one(&bench, [&ada, &eve]).await;
    assert_few_puts(&bench);
    for (place, at, stored) in results {
        match stored {
            Err(Error::Db(_)) => assert_eq!(at, 7),
            stored => {
                assert_ne!(at, 7);
                assert_eq!(read(&bench, [&ada, &eve][place], stored.unwrap()).await, body(at));
            }
        }
    }
    assert_alone(&bench, &eve).await;
    bench.assert_exact().await;
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap()
}

/// So many batches are uploaded and wait to be let on.
async fn wait_until_held(bench: &Bench, count: usize) {
    for _ in 0..count {
        bench.blobs.wait_until_stored().await;
    }
}

#[tokio::test]
async fn however_many_share_nothing_others_do_not_wait_for_them() {
    let bench = &Bench::new().await;
    let [ada, bob, _] = three(bench).await;
    let mut six = Vec::new();
    for at in 0..6 {
        let place = bench.tenant(&format!("Alone{at}"), true).await;
        bench.store.keys().sealing(&place.0).await.unwrap();
        six.push(place);
    }
    let six = &six;
    let hold = bench.blobs.hold();
    let wave = |at: usize| {
        join_all(six.iter().map(move |place| async move { deliver(bench, &[place], &body(at)).await[0] }))
    };
    let shared = async {
        // Four of the third six are the last of sixteen; two wait until one of these is done.
        wait_until_held(bench, 4).await;
        bench.blobs.stop_holding();
        let both = [&ada, &bob];
        let ids = in_time(deliver(bench, &both, HELLO)).await;
        hold.add_permits(16);
        ids
    };
    let third = async {
        wait_until_held(bench, 6).await;
        tokio::join!(wave(2), shared)
    };
    let second = async {
        wait_until_held(bench, 6).await;
        tokio::join!(wave(1), third)
    };
    let (first, (second, (third, shared))) = tokio::join!(wave(0), second);
    for (at, ids) in [first, second, third].into_iter().enumerate() {
        for (place, id) in six.iter().zip(ids) {
            assert_eq!(read(bench, place, id).await, body(at));
        }
    }
    for (place, id) in [&ada, &bob].into_iter().zip(shared) {
        assert_eq!(read(bench, place, id).await, HELLO);
    }
    for place in six {
        assert_alone(bench, place).await;
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn who_finds_no_room_beside_goes_in_as_soon_as_there_is_some() {
    let bench = &Bench::new().await;
    let [_, _, eve] = three(bench).await;
    let eve = &eve;
    let hold = &bench.blobs.hold();
    let send = |at: usize| async move {
        // Each in a batch of its own: those before it are under way.
        in_time(async {
            while bench.blobs.puts.load(Ordering::SeqCst) < at as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        deliver(bench, &[eve], &body(at)).await[0]
    };
    let last = async {
        wait_until_held(bench, 4).await;
        let release = async {
            // Whose turn it is, and takes the fifth.
            hold.add_permits(1);
            wait_until_held(bench, 1).await;
            let sixth = async {
                // It waits for long already, and one that went in beside is done before whose turn it is.
                tokio::time::sleep(Duration::from_millis(300)).await;
                hold.add_permits(1);
                wait_until_held(bench, 1).await;
                bench.blobs.stop_holding();
                hold.add_permits(10);
            };
            tokio::join!(send(5), sixth).0
        };
        tokio::join!(send(4), release)
    };
    let (first, (fifth, sixth)) = tokio::join!(join_all((0..4).map(send)), last);
    for (at, id) in first.into_iter().chain([fifth, sixth]).enumerate() {
        assert_eq!(read(bench, eve, id).await, body(at));
    }
    assert_alone(bench, eve).await;
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_pack_that_is_reserved_ahead_is_for_those_who_share_or_for_the_one_tenant() {
    let bench = Bench::new().await;
    let [ada, _, eve] = three(&bench).await;
    deliver(&bench, &[&ada], HELLO).await;
    deliver(&bench, &[&eve], HELLO).await;
    let ahead = packs(&bench, "reserved").await;
    let owners: Vec<_> = ahead.iter().map(|(_, owner)| *owner).collect();
    assert_eq!(owners, [None, Some(eve.0.tenant_id().uuid())]);
    deliver(&bench, &[&eve], HELLO).await;
    deliver(&bench, &[&ada], HELLO).await;
    let live = packs(&bench, "live").await;
    assert!(live.len() == 4 && ahead.iter().all(|pack| live.contains(pack)), "{ahead:?} {live:?}");
    assert_eq!(packs(&bench, "reserved").await.len(), 2);
    assert_alone(&bench, &eve).await;
}

#[tokio::test]
async fn what_was_shared_before_leaves_at_once_and_what_comes_from_then_on_is_never_shared() {
    let bench = Bench::new().await;
    let [ada, bob, _] = three(&bench).await;
    let before = deliver(&bench, &[&ada, &bob], b"Subject: before\r\n\r\n").await;
    set_dedicated(&bob.0, true).await;
    // Whoever had entered the tenant before goes on with what it knew then, as an IMAP session does.
    assert!(!bob.0.is_storage_dedicated());
    let after = deliver(&bench, &[&ada, &bob], b"Subject: after\r\n\r\n").await;
    let (both, alone) = (these(&[&ada, &bob]), bob.0.tenant_id());
    let mut expected = [(None, these(&[&ada])), (None, both), (Some(alone), [alone].into())];
    expected.sort();
    assert_eq!(objects(&bench).await, expected);

    let shared = async |(ctx, _): &Place| compact::shared_bytes(ctx).await.unwrap();
    let of_both = shared(&bob).await;
    assert!(of_both > 0 && shared(&ada).await > of_both, "that of before, and of ada's the other too");
    let run = || async {
        let pace = Pace::default();
        compact::run(&bench.store, &bench.world.test_db.db(), pace).await.unwrap()
    };
    assert_eq!(run().await, Compacted { bodies: 1, packs: 1, ..Compacted::default() });
    assert_eq!(shared(&bob).await, 0);
    assert_eq!(
        run().await,
        Compacted::default(),
        "the others', and what is its own already, have their time"
    );
    for (owner, _, tenants) in shares(&bench).await {
        assert!(
            owner == Some(alone.uuid()) || tenants == [ada.0.tenant_id().uuid()],
            "{owner:?} {tenants:?}"
        );
    }
    bench.world.test_db.clock().advance(TimeDelta::hours(25));
    // Two that the others shared, and what came since, which lay in a small pack of its own.
    assert_eq!(run().await, Compacted { bodies: 3, packs: 2, ..Compacted::default() });
    bench.sweep_out().await;
    assert_alone(&bench, &bob).await;
    assert!(shares(&bench).await.iter().all(|(owner, unsorted, _)| owner.is_some() && !unsorted));
    for (ids, subject) in [(before, "before"), (after, "after")] {
        for (place, id) in [&ada, &bob].into_iter().zip(ids) {
            assert_eq!(read(&bench, place, id).await, format!("Subject: {subject}\r\n\r\n").into_bytes());
        }
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_was_uploaded_together_before_it_was_said_is_not_committed_together_after() {
    let bench = Bench::new().await;
    let [ada, bob, _] = three(&bench).await;
    let hold = bench.blobs.hold();
    let places = [&ada, &bob];
    let (ids, ()) = tokio::join!(deliver(&bench, &places, HELLO), async {
        bench.blobs.wait_until_stored().await;
        assert_eq!(objects(&bench).await, [(None, these(&places))]);
        set_dedicated(&bob.0, true).await;
        bench.blobs.stop_holding();
        hold.add_permits(1);
    });
    let (other, alone) = (ada.0.tenant_id(), bob.0.tenant_id());
    assert_eq!(objects(&bench).await, [(None, [other].into()), (Some(alone), [alone].into())]);
    for (place, id) in places.into_iter().zip(ids) {
        assert_eq!(read(&bench, place, id).await, HELLO);
        let page = kernel::PageRequest::new(None, None);
        let listed = message::list(&place.0, place.1, message::Filter::default(), &page).await.unwrap();
        assert_eq!(listed.items.len(), 1);
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn what_was_known_to_have_room_before_it_was_said_is_not_shared_after() {
    let bench = Bench::new().await;
    let [ada, bob, _] = three(&bench).await;
    set_dedicated(&bob.0, true).await;
    assert!(!bob.0.is_storage_dedicated());
    let places = [&ada, &bob];
    // Nobody looks before the upload.
    let targets = places.map(|place| Target { room_bytes: Some(u64::MAX), ..target(place) }).into();
    let results = in_time(ingest(&bench.store, targets, bench.incoming(HELLO))).await;
    let (other, alone) = (ada.0.tenant_id(), bob.0.tenant_id());
    assert_eq!(objects(&bench).await, [(None, [other].into()), (Some(alone), [alone].into())]);
    // That of both, in vain, and one for each.
    assert_eq!(bench.blobs.puts.load(Ordering::SeqCst), 3);
    for (place, result) in places.into_iter().zip(&results) {
        assert_eq!(read(&bench, place, id(result)).await, HELLO);
    }
    bench.assert_exact().await;
}

#[tokio::test]
async fn a_tenant_that_may_share_again_does() {
    let bench = Bench::new().await;
    let [ada, _, eve] = three(&bench).await;
    set_dedicated(&eve.0, false).await;
    let eve = (bench.world.operator.enter(eve.0.tenant_id()).await.unwrap(), eve.1);
    deliver(&bench, &[&ada, &eve], HELLO).await;
    assert_eq!(objects(&bench).await, [(None, these(&[&ada, &eve]))]);
}
