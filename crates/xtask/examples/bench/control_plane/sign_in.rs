//! Whether argon2 stalls other requests: the 99th percentile of one cheap request while people sign in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use testkit::client::http::Http;

use crate::ROUNDS;
use crate::bed::{Bed, DOMAIN};
use crate::report::{Measure, Target};

/// The group's name.
pub(crate) const NAME: &str = "control_plane.sign_in";
/// How many sign in at once, each again as soon as they are in.
const SIGN_INS: usize = 8;
/// Requests of a round, one after the other: twenty lie beyond the percentile.
const REQUESTS: usize = 2_000;
const PASSWORD: &str = "correct-horse-battery";

/// Measures it.
pub(crate) async fn run(bed: &Bed) -> Result<()> {
    let (http, path) = (bed.http()?, bed.place().users());
    let mut people = Vec::new();
    for n in 0..SIGN_INS {
        let user = json!({"address": format!("person{n}@{DOMAIN}"), "password": PASSWORD});
        let user = http.post(&path, &user).await?.expect(201)?;
        people.push((user["address"].as_str().context("an address")?.to_owned(), user["id"].clone()));
    }
    let path = format!("{path}/{}", people[0].1.as_str().context("a user's id")?);
    percentile(&http, &path).await?;
    let (mut idle, mut busy, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bed.settle().await?;
        idle.push(percentile(&http, &path).await?);
        let crowd = Crowd::start(bed, people.iter().map(|(address, _)| address))?;
        busy.push(percentile(&http, &path).await?);
        rates.push(crowd.stop().await?);
    }
    println!("  sign-ins per second meanwhile: {rates:.1?}");
    let measure = Measure {
        name: "users.get.p99",
        unit: "ms",
        ours: busy,
        baseline: "the same while nobody signs in",
        theirs: idle,
        target: Target::AtMost(3.0),
    };
    measure.report()
}

/// The 99th percentile of the time that a GET takes, in milliseconds.
async fn percentile(http: &Http, path: &str) -> Result<f64> {
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let start = Instant::now();
        http.get(path).await?.expect_bytes(200)?;
        times.push(start.elapsed());
    }
    times.sort();
    let time = times.get(REQUESTS * 99 / 100).context("a percentile of nothing")?;
    Ok(time.as_secs_f64() * 1_000.0)
}

/// People who sign in until they are stopped.
struct Crowd {
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
    is_over: Arc<AtomicBool>,
    done: Arc<AtomicU32>,
    start: Instant,
}

impl Crowd {
    fn start<'a>(bed: &Bed, people: impl Iterator<Item = &'a String>) -> Result<Self> {
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut tasks = Vec::new();
        for address in people {
            let (http, is_over, done) = (bed.stranger()?, is_over.clone(), done.clone());
            let form = format!("grant_type=password&username={address}&password={PASSWORD}");
            tasks.push(tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let request = http.request(Method::POST, "/v1/auth/token").body(form.clone());
                    let request = request.header("content-type", "application/x-www-form-urlencoded");
                    Http::send(request).await?.expect(200)?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }));
        }
        Ok(Self { tasks, is_over, done, start: Instant::now() })
    }

    /// Ends it; how many signed in each second.
    async fn stop(self) -> Result<f64> {
        let rate = f64::from(self.done.load(Ordering::Relaxed)) / self.start.elapsed().as_secs_f64();
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        ensure!(rate > 0.0, "nobody could sign in within the time of {REQUESTS} requests");
        Ok(rate)
    }
}
