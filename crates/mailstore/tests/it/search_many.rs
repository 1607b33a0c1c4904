//! A search that finds more than is looked up at a time.

use std::collections::BTreeSet;

use futures::future::join_all;
use kernel::{MessageId, PageRequest};
use mailstore::message::{self, Filter};
use mailstore::search::{self, Needle, Query, index};

use crate::support::{Bench, inbox};

#[tokio::test]
async fn finds_each_once_and_in_order_however_many_there_are() {
    let bench = Bench::new().await;
    let ada = bench.mailbox("ada", None).await;
    let bodies: Vec<Vec<u8>> = (0..1_500)
        .map(|at| {
            let says = if at % 5 == 0 { "jam" } else { "marmalade" };
            format!("Subject: {at}\r\n\r\n{says}\r\n").into_bytes()
        })
        .collect();
    let ids = join_all(bodies.iter().map(|bytes| bench.stored(ada, bytes))).await;
    assert_eq!(index::run(&bench.store, &bench.world.test_db.db()).await.unwrap().bodies, 1_500);
    let hits: BTreeSet<MessageId> =
        ids.iter().enumerate().filter(|(at, _)| at % 5 != 0).map(|(_, id)| *id).collect();
    let query = Query::Text(Needle::new("marmalade"));
    let folder = inbox(&bench, ada).await.id;
    let uids = search::uids(&bench.store, bench.ctx(), ada, folder, &query).await.unwrap();
    assert_eq!(uids.len(), 1_200);

    // Two go while a client turns the pages.
    let (mut found, mut cursor, mut gone) = (Vec::new(), None, BTreeSet::new());
    loop {
        let page = PageRequest::new(Some(200), cursor);
        let page = search::messages(&bench.store, bench.ctx(), ada, Filter::default(), &query, &page);
        let page = page.await.unwrap();
        found.extend(page.items.iter().map(|message| message.id));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
        if gone.is_empty() {
            for at in [499, 700] {
                let id = *hits.iter().nth(at).unwrap();
                message::discard(&bench.store, bench.ctx(), ada, id).await.unwrap();
                gone.insert(id);
            }
        }
    }
    assert_eq!(found, hits.difference(&gone).copied().collect::<Vec<_>>());
    let uids = search::uids(&bench.store, bench.ctx(), ada, folder, &query).await.unwrap();
    assert_eq!(uids.len(), 1_198);
}
