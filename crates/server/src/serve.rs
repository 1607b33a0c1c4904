//! `pillarbox serve`: everything started in order, and stopped in the reverse.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dns::Resolver;
use dns::health::Expected;
use mailstore::MailStore;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use recovery::Journal;
use relay::Relay;
use smtp::msa;
use submission::Submission;
use tenancy::auth::Auth;
use tenancy::recipient::Recipients;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::files::DataDir;
use crate::listen::{ListenFile, Ports};
use crate::platform::{Opening, Platform};
use crate::{drills, operator_key, signals, tls};

/// How long everything under way gets after the signal to stop. Longer than any one part's own grace.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(45);
/// How long the end of the journal gets after that.
const JOURNAL_DEADLINE: Duration = Duration::from_secs(20);
const UPKEEP: Duration = Duration::from_secs(5);
/// Bounds of the histograms of durations, in seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(config: &Config) -> Result<()> {
    let shutdown = signals::cancelled()?;
    let data_dir = DataDir::prepare(&config.data_dir)?;
    let _lock = data_dir.lock_for_serving()?;
    // First, since what is left may be what the disk is full of.
    drills::clear(&data_dir).await;
    let listen_file = ListenFile::vacate(&data_dir)?;
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(
            metrics_exporter_prometheus::Matcher::Suffix("_seconds".into()),
            DURATION_BUCKETS,
        )?
        .install_recorder()
        .context("installing the metrics recorder")?;
    let mut platform = Platform::open(config, &data_dir, Opening::Making).await?;
    platform.warn_of_unsafe_settings().await;
    platform.keep_on_disk(config, &data_dir).await;
    let served = serve_on(&platform, config, &data_dir, &listen_file, metrics, shutdown).await;
    drop(listen_file);
    platform.close().await;
    tracing::info!("stopped");
    served
}

async fn serve_on(
    platform: &Platform,
    config: &Config,
    data_dir: &DataDir,
    listen_file: &ListenFile,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> Result<()> {
    operator_key::ensure(&platform.db, data_dir).await?;
    let certificates = tls::Certificates::load(config, data_dir, platform.db.env())?;
    let tls = certificates.server_config()?;
    let auth = Auth::new(platform.db.clone()).await.context("loading the signing keys")?;
    let guard = webhook::Guard::new(config.webhook_allowed_networks.clone());
    let sender =
        webhook::Sender::new(guard, webhook::Limits::default()).context("preparing to send webhooks")?;
    let payments = billing::payment::provider_at(&config.stripe_url).context("preparing to take charges")?;
    let vat_register: Arc<dyn billing::vat_id::VatRegister> = match &config.vies_url {
        Some(url) => billing::vat_id::register_at(url).context("preparing to ask VIES")?,
        None => Arc::new(billing::vat_id::NoRegister),
    };
    let relay = config.smarthost.clone().map(|smarthost| Relay::new(smarthost, config.hostname.clone()));
    let relay = relay.transpose().context("preparing the way out")?;
    let submission = Submission::new(platform.db.clone(), platform.store.clone(), &config.hostname, relay);
    let listeners = Ports::bind(config).await?;
    let addresses = listeners.addresses()?;
    let mut parts = start(
        platform,
        config,
        listeners,
        Services { auth, sender, submission, payments, vat_register, tls, certificates, metrics },
        &shutdown,
    );
    let journal = Journal::new(&platform.db, &platform.store).putting_every(config.journal_seconds);
    let all_ended = CancellationToken::new();
    let last = all_ended.clone();
    let journal = tokio::spawn(async move { recovery::run(&journal, last.cancelled()).await });
    listen_file.publish(&addresses)?;
    let Ports { http, lmtp, lookup, imap, imaps, pop3, pop3s, submission, submissions } = addresses;
    tracing::info!(
        listen.http = %http, listen.lmtp = %lmtp, listen.lookup = %lookup, listen.imap = %imap, listen.imaps = %imaps,
        listen.pop3 = %pop3, listen.pop3s = %pop3s, listen.submission = %submission, listen.submissions = %submissions, "ready"
    );
    let ended_early = tokio::select! {
        // Asked first: on shutdown the parts end too, and that is not early.
        biased;
        () = shutdown.cancelled() => None,
        ended = parts.join_next() => ended,
        never = supervise(platform) => match never {},
    };
    shutdown.cancel();
    tracing::info!("stopping");
    if tokio::time::timeout(SHUTDOWN_DEADLINE, all_end(&mut parts)).await.is_err() {
        tracing::warn!(parts = parts.len(), "not everything ended in time; the rest is cut off");
        parts.shutdown().await;
    }
    // Last: what the others did while they ended goes into the bucket too.
    all_ended.cancel();
    if !matches!(tokio::time::timeout(JOURNAL_DEADLINE, journal).await, Ok(Ok(()))) {
        tracing::warn!("the end of the journal was not put into the bucket");
    }
    match ended_early {
        None => Ok(()),
        Some(Ok(name)) => bail!("{name} ended by itself"),
        Some(Err(panic)) => Err(panic).context("a part of the server failed"),
    }
}

async fn all_end(parts: &mut JoinSet<&'static str>) {
    while let Some(ended) = parts.join_next().await {
        if let Err(panic) = ended {
            tracing::error!(error.cause = %panic, "a part of the server failed while stopping");
        }
    }
}

/// Keeps a private cluster running; waits for ever where there is none.
async fn supervise(platform: &Platform) -> std::convert::Infallible {
    match &platform.cluster {
        Some(cluster) => cluster.supervise().await,
        None => std::future::pending().await,
    }
}

impl Ports<TcpListener> {
    async fn bind(config: &Config) -> Result<Self> {
        Ok(Self {
            http: bind(config.http_listen, "PILLARBOX_HTTP_LISTEN").await?,
            lmtp: bind(config.lmtp_listen, "PILLARBOX_LMTP_LISTEN").await?,
            lookup: bind(config.lookup_listen, "PILLARBOX_LOOKUP_LISTEN").await?,
            imap: bind(config.imap_listen, "PILLARBOX_IMAP_LISTEN").await?,
            imaps: bind(config.imaps_listen, "PILLARBOX_IMAPS_LISTEN").await?,
            pop3: bind(config.pop3_listen, "PILLARBOX_POP3_LISTEN").await?,
            pop3s: bind(config.pop3s_listen, "PILLARBOX_POP3S_LISTEN").await?,
            submission: bind(config.submission_listen, "PILLARBOX_SUBMISSION_LISTEN").await?,
            submissions: bind(config.submissions_listen, "PILLARBOX_SUBMISSIONS_LISTEN").await?,
        })
    }

    fn addresses(&self) -> std::io::Result<Ports<SocketAddr>> {
        Ok(Ports {
            http: self.http.local_addr()?,
            lmtp: self.lmtp.local_addr()?,
            lookup: self.lookup.local_addr()?,
            imap: self.imap.local_addr()?,
            imaps: self.imaps.local_addr()?,
            pop3: self.pop3.local_addr()?,
            pop3s: self.pop3s.local_addr()?,
            submission: self.submission.local_addr()?,
            submissions: self.submissions.local_addr()?,
        })
    }
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address} ({setting})"))
}

/// What the parts share besides the platform.
struct Services {
    auth: Auth,
    sender: webhook::Sender,
    submission: Submission,
    payments: Arc<dyn billing::payment::Provider>,
    vat_register: Arc<dyn billing::vat_id::VatRegister>,
    tls: Arc<rustls::ServerConfig>,
    certificates: Arc<tls::Certificates>,
    metrics: PrometheusHandle,
}

fn api_limits(config: &Config) -> api::Limits {
    let bytes = |kib: std::num::NonZeroU32| kib.get() as usize * 1024;
    api::Limits {
        requests_per_minute: config.api_requests_per_minute,
        body_bytes: bytes(config.api_body_kib),
        header_bytes: bytes(config.api_header_kib),
        ..api::Limits::default()
    }
}

/// Starts every part; each ends when `shutdown` is cancelled, and answers its name.
fn start(
    platform: &Platform,
    config: &Config,
    listeners: Ports<TcpListener>,
    services: Services,
    shutdown: &CancellationToken,
) -> JoinSet<&'static str> {
    let Services { auth, sender, submission, payments, vat_register, tls, certificates, metrics } = services;
    let store: MailStore = platform.store.clone();
    let (watched, stopping) = (store.clone(), shutdown.clone());
    let upkeep = keep_up(metrics.clone(), store.clone(), shutdown.clone());
    let dns = config.dns_servers.as_deref().map_or_else(Resolver::system, Resolver::at);
    let api = api::Means {
        auth: auth.clone(),
        store: store.clone(),
        metrics,
        limits: api_limits(config),
        trusted_proxies: config.trusted_proxies.clone(),
        dns: dns.clone(),
        expected_dns: expected_dns(config),
        payments: payments.clone(),
        vat_register: vat_register.clone(),
        webhooks: sender.guard().clone(),
    };
    let lmtp = Arc::new(smtp::Lmtp {
        recipients: Recipients::new(platform.db.clone()),
        store: store.clone(),
        hostname: config.hostname.clone(),
        spam_mark: config.spam_mark.clone(),
        limits: smtp::Limits::default(),
    });
    let lookup = Arc::new(smtp::lookup::Lookup {
        recipients: Recipients::new(platform.db.clone()),
        limits: smtp::lookup::Limits::default(),
    });
    let imap = Arc::new(imap::Imap {
        auth: auth.clone(),
        store: store.clone(),
        tls: tls.clone(),
        limits: imap::Limits::default(),
        hostname: config.hostname.clone(),
    });
    let pop3 = Arc::new(pop3::Pop3 {
        auth: auth.clone(),
        store: store.clone(),
        tls: tls.clone(),
        limits: pop3::Limits::default(),
        hostname: config.hostname.clone(),
    });
    let msa = Arc::new(msa::Msa {
        auth: auth.clone(),
        submission: submission.clone(),
        tls,
        limits: msa::Limits::default(),
    });
    let compaction = mailstore::compact::Pace {
        lag: chrono::TimeDelta::hours(config.compaction_lag_hours.get().into()),
        bytes_per_second: u64::from(config.compaction_mib_per_second.get()) << 20,
        ..mailstore::compact::Pace::default()
    };
    let backups_kept = chrono::TimeDelta::days(config.backup_days.get().into());
    let db = platform.db.clone();
    let worker = worker::Worker {
        db,
        store,
        compaction,
        backups_kept,
        auth,
        payments,
        vat_register,
        submission,
        dns,
        sender,
    };
    let stop = || shutdown.clone();
    let mut parts = JoinSet::new();
    spawn(&mut parts, "http", api::serve(listeners.http, api, stop()));
    spawn(&mut parts, "lmtp", smtp::serve(listeners.lmtp, lmtp, stop()));
    spawn(&mut parts, "lookup", smtp::lookup::serve(listeners.lookup, lookup, stop()));
    spawn(&mut parts, "imap", imap::serve(listeners.imap, imap.clone(), imap::Mode::Starttls, stop()));
    spawn(&mut parts, "imaps", imap::serve(listeners.imaps, imap, imap::Mode::Implicit, stop()));
    spawn(&mut parts, "pop3", pop3::serve(listeners.pop3, pop3.clone(), pop3::Mode::Starttls, stop()));
    spawn(&mut parts, "pop3s", pop3::serve(listeners.pop3s, pop3, pop3::Mode::Implicit, stop()));
    spawn(
        &mut parts,
        "submission",
        msa::serve(listeners.submission, msa.clone(), msa::Mode::Starttls, stop()),
    );
    spawn(&mut parts, "submissions", msa::serve(listeners.submissions, msa, msa::Mode::Implicit, stop()));
    spawn(&mut parts, "worker", worker::run(worker, stop()));
    spawn(&mut parts, "changes", async move { mailstore::change::run(&watched, stopping.cancelled()).await });
    spawn(&mut parts, "certificates", certificates.keep_up(stop()));
    spawn(&mut parts, "upkeep", upkeep);
    parts
}

/// What customers' DNS records should say: of SPF and MX what is configured, of DMARC that there is a policy. Of DKIM it is each domain's own.
fn expected_dns(config: &Config) -> Expected {
    let spf = config.spf_include.as_deref().map(|domain| format!("include:{domain}")).unwrap_or_default();
    Expected { mx: config.mx_hosts.clone(), spf, dkim: Vec::new(), dmarc: true }
}

/// Histograms grow until somebody looks at them, and what is kept on the disk stays until somebody reads: where nobody does, this does.
async fn keep_up(metrics: PrometheusHandle, store: MailStore, shutdown: CancellationToken) {
    while tokio::time::timeout(UPKEEP, shutdown.cancelled()).await.is_err() {
        metrics.run_upkeep();
        store.tidy_disk_cache().await;
    }
}

fn spawn(
    parts: &mut JoinSet<&'static str>,
    name: &'static str,
    part: impl Future<Output = ()> + Send + 'static,
) {
    parts.spawn(async move {
        part.await;
        name
    });
}
