//! Three dispatchers over one Redis keep one limit together, also where load is uneven, and where Redis is slow or away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use carillon_tests::chaos_proxy::ChaosProxy;
use carillon_tests::client::{Api, Refusal, Targets, notification};
use carillon_tests::figures::Figures;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Options, Standalone};
use carillon_tests::turn::turn;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::world::{SOON, config, configure, metric_of};

const TEN: Duration = Duration::from_secs(10);
/// So many that nobody's inbox is ever full.
const USERS: u64 = 997;
const ALONE: &str = "carillon_dispatcher_allowance_alone";

struct Fleet {
    dispatchers: Vec<Process>,
    apis: Vec<Api>,
}

/// What callers were answered.
#[derive(Debug, Default)]
struct Answers {
    accepted: AtomicU64,
    limited: AtomicU64,
    failed: AtomicU64,
    /// Of the accepted and limited, the longest, in milliseconds.
    slowest: AtomicU64,
}

impl Fleet {
    async fn start(url: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let (key, text) = config("");
        let service = configure(Service::dispatcher(), &text, settings).set("backend.url", url);
        let mut dispatchers = Vec::new();
        for _ in 0..3 {
            dispatchers.push(service.start().await?);
        }
        let api = |it: &Process| Api::new(Targets::new([it.http()]), key.clone());
        let apis = dispatchers.iter().map(api).collect::<Result<_>>()?;
        // Until each has counted all of them.
        sleep(Duration::from_millis(1_500)).await;
        Ok(Self { dispatchers, apis })
    }

    /// So many callers of each dispatcher, who send as fast as they are answered for so long.
    async fn besieged(&self, callers: [usize; 3], time: Duration, users: u64) -> Arc<Answers> {
        let answers = Arc::new(Answers::default());
        let until = Instant::now() + time;
        let mut tasks = JoinSet::new();
        for (api, count) in self.apis.iter().zip(callers) {
            for caller in 0..count {
                let calling = call(
                    api.clone(),
                    caller as u64 * 37,
                    users,
                    until,
                    answers.clone(),
                );
                tasks.spawn(calling);
            }
        }
        tasks.join_all().await;
        answers
    }

    async fn alone(&self, expected: f64) -> Result<()> {
        for dispatcher in &self.dispatchers {
            let is = metric_of(dispatcher, ALONE).await?;
            ensure!(is == expected, "alone: {is}");
        }
        Ok(())
    }
}

async fn call(api: Api, first: u64, users: u64, until: Instant, answers: Arc<Answers>) {
    let mut number = first;
    while Instant::now() < until {
        number += 1;
        let body = notification(&format!("user-{}", number % users), "t", "");
        let begun = Instant::now();
        let sent = api.send(&body, None).await;
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        answers.slowest.fetch_max(took, Ordering::Relaxed);
        let counter = match sent {
            Ok(_) => &answers.accepted,
            Err(Refusal::Problem { status, .. }) if status == 429 => {
                sleep(Duration::from_millis(30)).await;
                &answers.limited
            }
            Err(_) => &answers.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(5)).await;
    }
}

impl Answers {
    fn of(counter: &AtomicU64) -> f64 {
        counter.load(Ordering::Relaxed) as f64
    }
}

/// Within a tenth, of the burst and ten seconds of the rate.
fn within(answers: &Answers, allowed: f64, figures: &mut Figures, name: &str) -> Result<()> {
    let accepted = Answers::of(&answers.accepted);
    let of_allowed = accepted / allowed;
    let slowest = answers.slowest.load(Ordering::Relaxed);
    figures.row(
        name,
        format!(
            "{accepted} of {allowed} allowed, {:.1} %; slowest {slowest} ms",
            of_allowed * 100.0
        ),
    );
    ensure!(
        (0.9..=1.1).contains(&of_allowed),
        "{name}: {answers:?}, allowed {allowed}"
    );
    ensure!(
        Answers::of(&answers.limited) > 0.0,
        "{name}: nobody was limited: {answers:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_dispatchers_keep_one_limit_together() -> Result<()> {
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    let mut figures = Figures::new("rates: ten seconds over three dispatchers");
    for (callers, rate, burst) in [
        ([8, 8, 8], 200, 200),
        ([20, 1, 1], 200, 100),
        ([16, 0, 0], 150, 50),
    ] {
        let (rate_text, burst_text) = (format!("{rate}"), format!("{burst}"));
        let settings = [
            ("dispatcher.sends_per_key", &*rate_text),
            ("dispatcher.sends_per_key_burst", &*burst_text),
            // Each has a Redis to itself.
            ("redis.prefix", &*format!("{rate}-{burst}:")),
        ];
        let fleet = Fleet::start(&redis.url(), &settings).await?;
        let answers = fleet.besieged(callers, TEN, USERS).await;
        let allowed = f64::from(burst) + 10.0 * f64::from(rate);
        within(
            &answers,
            allowed,
            &mut figures,
            &format!("one service, callers {callers:?}"),
        )?;
        ensure!(Answers::of(&answers.failed) == 0.0, "{answers:?}");
        fleet.alone(0.0).await?;
    }

    // Many accounts at once: each user for itself, through whichever dispatcher.
    let settings = [
        ("dispatcher.sends_per_user", "2"),
        ("dispatcher.sends_per_user_burst", "5"),
        ("redis.prefix", "users:"),
    ];
    let fleet = Fleet::start(&redis.url(), &settings).await?;
    let users = 40;
    let answers = fleet.besieged([12, 8, 4], TEN, users).await;
    within(&answers, 25.0 * users as f64, &mut figures, "forty users")?;
    println!("{figures}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_slow_or_away_stops_nobody_by_a_limit() -> Result<()> {
    let _turn = turn().await;
    let redis = Standalone::start(&Options::default()).await?;
    let mut network = ChaosProxy::start(redis.addr()).await?;
    let settings = [
        ("dispatcher.sends_per_key", "100"),
        ("dispatcher.sends_per_key_burst", "60"),
        ("backend.response_timeout", "5s"),
        ("dispatcher.store_timeout", "5s"),
    ];
    let url = format!("redis://{}", network.addr());
    let fleet = Fleet::start(&url, &settings).await?;
    let mut figures = Figures::new("rates: Redis slow, then away");

    // Slower than what is waited for to borrow, and so for longer than that is waited for at all.
    network.delay(Duration::from_millis(350));
    eventually("each goes on with its share", SOON, async || {
        fleet.alone(1.0).await
    })
    .await?;
    let slow = fleet.besieged([40, 40, 40], TEN, USERS).await;
    // The burst of each was not used when it began.
    within(
        &slow,
        60.0 + 1_000.0,
        &mut figures,
        "slow, each with a third",
    )?;
    network.delay(Duration::ZERO);
    eventually("they borrow again", SOON, async || fleet.alone(0.0).await).await?;

    // Away: nothing can be accepted, and when it is back, nobody is held up any longer.
    network.break_networking().await;
    sleep(Duration::from_secs(3)).await;
    fleet.alone(1.0).await?;
    let away = fleet
        .besieged([2, 2, 2], Duration::from_secs(1), USERS)
        .await;
    ensure!(Answers::of(&away.accepted) == 0.0, "{away:?}");
    network.restore().await?;
    let body = notification("alice", "t", "");
    for api in &fleet.apis {
        api.send_until_accepted(&body, SOON).await?;
    }
    eventually("they borrow again", SOON, async || fleet.alone(0.0).await).await?;
    sleep(Duration::from_secs(1)).await;
    let back = fleet.besieged([12, 2, 2], TEN, USERS).await;
    within(&back, 60.0 + 1_000.0, &mut figures, "back")?;
    println!("{figures}");
    Ok(())
}
