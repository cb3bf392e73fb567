//! What waits for its time is delivered then, once, whatever dies meanwhile; and none comes early.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use carillon_common::{backend::clock, ids::Millis, notification::rfc3339};
use carillon_tests::client::{Api, Targets, notification};
use carillon_tests::figures::Figures;
use carillon_tests::poll::eventually;
use carillon_tests::process::{Process, Service};
use carillon_tests::redis::{Node, Options, Persistence, Sentinel, Standalone};
use carillon_tests::turn::turn;
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::cmd;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{QUIET, SOON, World, config, configure, content, metric_of, silent};

/// For what happens on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
const MANY: usize = 10_000;
/// Each is sent two of them.
const USERS: usize = MANY / 2;
/// The first of these users are connected.
const CONNECTED: usize = 20;

/// Everything that is in inboxes, in order: user, id, and when it was appended, by Redis' clock.
const INBOXES: &str = "local all = {}
for _, key in ipairs(redis.call('KEYS', '*:inbox:*')) do
  for _, frame in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local id, stored, flag = string.match(frame, '^%d|[^|]*|([^|]*)|(%d+)|%d+|(%a)')
    if flag == 'n' then all[#all + 1] = string.match(key, 'inbox:(.*)$') .. ' ' .. id .. ' ' .. stored end
  end
end
return all";

/// A notification that came into an inbox.
#[derive(Debug, Clone)]
struct Came {
    user: String,
    id: String,
    at: Millis,
}

async fn inboxes(redis: &Node) -> Result<Vec<Came>> {
    let texts: Vec<String> = redis.query(cmd("EVAL").arg(INBOXES).arg(0)).await?;
    let read = |text: String| {
        let mut parts = text.split(' ').map(str::to_owned);
        let mut next = || parts.next().context("a short line");
        Ok(Came {
            user: next()?,
            id: next()?,
            at: next()?.parse()?,
        })
    };
    texts.into_iter().map(read).collect()
}

/// When each is due, by its id.
type Plan = HashMap<String, Millis>;

/// Has notifications accepted for later, a hundred at a time: user, and when.
async fn schedule(apis: &[Api], wanted: &[(String, Millis)]) -> Result<Plan> {
    let batches = wanted.chunks(100).zip(apis.iter().cycle());
    let answers = stream::iter(batches).map(|(some, api)| async move {
        let one = |(user, due): &(String, Millis)| {
            let mut body = notification(user, "t", &due.to_string());
            body["deliver_at"] = rfc3339(*due).into();
            body
        };
        let notifications: Vec<_> = some.iter().map(one).collect();
        let request = api.request(Method::POST, "/api/notifications/batch");
        let request = request.json(&json!({ "notifications": notifications }));
        let answer: Value = request.send().await?.json().await?;
        let results = answer["results"].as_array().context("no results")?;
        let accepted = results.iter().zip(some).map(|(result, (_, due))| {
            ensure!(result["outcome"] == "scheduled", "{result}");
            let id = result["id"].as_str().context("no id")?;
            Ok((id.to_owned(), *due))
        });
        accepted.collect::<Result<Vec<_>>>()
    });
    let all: Vec<_> = answers.buffer_unordered(6).try_collect().await?;
    Ok(all.into_iter().flatten().collect())
}

/// Waits until all of a plan have come; each has, once and not early. Answers how late each was.
async fn all_came(redis: &Node, plan: &Plan) -> Result<Vec<Duration>> {
    let came = eventually("all have come", PATIENCE, async || {
        let came = inboxes(redis).await?;
        ensure!(came.len() >= plan.len(), "{} of {}", came.len(), plan.len());
        Ok(came)
    })
    .await?;
    once(&came, plan)?;
    // Nor does any come again.
    sleep(2 * QUIET).await;
    once(&inboxes(redis).await?, plan)
}

fn once(came: &[Came], plan: &Plan) -> Result<Vec<Duration>> {
    let mut times: BTreeMap<&str, u32> = BTreeMap::new();
    let mut last: HashMap<&str, Millis> = HashMap::new();
    let mut lags = Vec::with_capacity(came.len());
    for Came { user, id, at } in came {
        *times.entry(id).or_default() += 1;
        let due = *plan.get(id).with_context(|| format!("{id} of nobody"))?;
        let late = u64::try_from(at - due);
        let late = late.with_context(|| format!("{id} came {} ms early", due - at))?;
        lags.push(Duration::from_millis(late));
        let before = last.insert(user, due).unwrap_or(0);
        ensure!(before <= due, "{user} was given {id} out of order");
    }
    let twice: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(twice.is_empty(), "more than once: {twice:?}");
    ensure!(
        times.len() == plan.len(),
        "{} of {}",
        times.len(),
        plan.len()
    );
    Ok(lags)
}

async fn fired(dispatcher: &Process) -> Result<f64> {
    metric_of(
        dispatcher,
        "carillon_dispatcher_scheduled_lag_seconds_count",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_due_within_a_second_each_comes_once_though_a_dispatcher_is_killed()
-> Result<()> {
    let _turn = turn().await;
    let world = World::start(&[]).await;
    let others = [
        world.another_dispatcher(&[]).await,
        world.another_dispatcher(&[]).await,
    ];
    let of = |process: &Process| world.api.at(Targets::new([process.http()]));
    let apis = [of(&world.dispatcher), of(&others[0]), of(&others[1])];
    // Read all the while: whoever answers no pings is closed.
    let mut reading = Vec::new();
    for user in 0..CONNECTED {
        let mut socket = world.open(&format!("user-{user}"), "phone").await.socket;
        reading.push(tokio::spawn(async move {
            let came = [socket.frame(PATIENCE).await?, socket.frame(PATIENCE).await?];
            silent(&mut socket).await?;
            anyhow::Ok(came)
        }));
    }

    // Long enough for all of them to be accepted.
    let start = clock::local_now() + 15_000;
    let step = USERS as f64 / 1_000.0;
    let due = |n: usize| start + ((n % USERS) as f64 / step) as Millis;
    let wanted: Vec<_> = (0..MANY)
        .map(|n| (format!("user-{}", n % USERS), due(n)))
        .collect();
    let plan = schedule(&apis, &wanted).await?;
    let spare = start - clock::local_now();
    ensure!(spare > 500, "they were accepted too late: {spare} ms");
    ensure!(inboxes(&world.redis).await?.is_empty(), "early");

    // In the middle of the second, one that has delivered some.
    let until = u64::try_from(start + 300 - clock::local_now()).unwrap_or_default();
    sleep(Duration::from_millis(until)).await;
    let killed = eventually("the dispatcher to be killed delivers", SOON, async || {
        let count = fired(&world.dispatcher).await?;
        ensure!(count > 0.0);
        Ok(count)
    })
    .await?;
    world.dispatcher.kill().await?;
    let killed_at = clock::local_now() - start;

    let lags = all_came(&world.redis, &plan).await?;
    let mut figures =
        Figures::new("scheduled: 10 000 due within a second, three dispatchers, one killed");
    figures.row(
        "killed after",
        format!("{killed_at} ms, with at least {killed} delivered"),
    );
    for (name, dispatcher) in [("second", &others[0]), ("third", &others[1])] {
        figures.row(
            &format!("delivered by the {name}"),
            fired(dispatcher).await?,
        );
    }
    let over = lags.iter().filter(|lag| **lag > Duration::from_secs(1));
    figures.row("later than a second", over.count());
    let worst = lags.iter().max().copied().unwrap_or_default();
    figures.times("lag", lags);
    println!("{figures}");
    ensure!(worst < Duration::from_secs(5), "one came {worst:?} late");

    for came in reading {
        for frame in came.await?? {
            let due = plan.get(frame["id"].as_str().context("no id")?);
            ensure!(
                due.is_some_and(|due| content(&frame) == due.to_string()),
                "{frame}"
            );
        }
    }
    Ok(())
}

/// Processes over a store of a test's own: dispatchers alone.
struct Fleet {
    service: Service,
    key: String,
}

impl Fleet {
    fn over(url: &str) -> Self {
        let (key, text) = config("");
        let service = configure(Service::dispatcher(), &text, &[]).set("backend.url", url);
        Self { service, key }
    }

    async fn dispatcher(&self) -> Result<(Process, Api)> {
        let process = self.service.start().await?;
        let api = Api::new(Targets::new([process.http()]), self.key.clone())?;
        Ok((process, api))
    }
}

fn users_due(count: usize, due: Millis) -> Vec<(String, Millis)> {
    (0..count).map(|n| (format!("user-{n}"), due)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_outlives_a_crash_of_redis_and_of_every_dispatcher() -> Result<()> {
    let options = Options::default().persistence(Persistence::Always);
    let mut redis = Standalone::start(&options).await?;
    let fleet = Fleet::over(&redis.url());
    let (process, api) = fleet.dispatcher().await?;
    let now = clock::local_now();
    let mut wanted = users_due(50, now + 1_500);
    wanted.extend(users_due(50, now + 6_000));
    let plan = schedule(&[api], &wanted).await?;
    process.kill().await?;
    redis.kill().await?;
    // Some are due while nobody is there.
    let until = u64::try_from(now + 2_000 - clock::local_now()).unwrap_or_default();
    sleep(Duration::from_millis(until)).await;
    redis.restart().await?;
    let (_process, api) = fleet.dispatcher().await?;
    let listed = eventually("those that are due later are listed", SOON, async || {
        let request = api.request(Method::GET, "/api/users/user-7/scheduled");
        let page: Value = request.send().await?.json().await?;
        let waiting = page["notifications"].as_array().context("no list")?.len();
        ensure!(waiting == 1, "{page}");
        Ok(())
    });
    listed.await?;
    all_came(&redis, &plan).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_outlives_the_failover_of_redis() -> Result<()> {
    let _turn = turn().await;
    let mut redis = Sentinel::start(2, 3, &Options::default()).await?;
    let fleet = Fleet::over(&redis.url());
    let (_one, first) = fleet.dispatcher().await?;
    let (_other, second) = fleet.dispatcher().await?;
    let now = clock::local_now();
    let mut wanted = users_due(200, now + 3_000);
    wanted.extend(users_due(200, now + 8_000));
    let plan = schedule(&[first, second], &wanted).await?;
    let old = redis.kill_primary().await?;
    redis.wait_for_another_primary(old).await?;
    all_came(redis.primary().await?, &plan).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_meets_the_delivery_wins_or_loses_and_says_which() -> Result<()> {
    let redis = Standalone::start(&Options::default()).await?;
    let fleet = Fleet::over(&redis.url());
    let (_one, first) = fleet.dispatcher().await?;
    let (_other, second) = fleet.dispatcher().await?;
    let due = clock::local_now() + 4_000;
    let wanted: Vec<_> = (0..400)
        .map(|n| (format!("user-{n}"), due + n % 200))
        .collect();
    let apis = [first, second];
    let plan = schedule(&apis, &wanted).await?;
    let listed = async |api: &Api, user: &str| -> Result<Value> {
        let request = api.request(Method::GET, &format!("/api/users/{user}/scheduled"));
        Ok(request.send().await?.json().await?)
    };
    let mut ids = Vec::new();
    for (user, _) in &wanted {
        let page = listed(&apis[0], user).await?;
        let id = page["notifications"][0]["id"].as_str();
        ids.push(id.with_context(|| format!("{user}: {page}"))?.to_owned());
    }
    ensure!(clock::local_now() < due, "they were accepted too late");
    let cancels = wanted.iter().zip(&ids).zip(apis.iter().cycle()).enumerate();
    let answers = stream::iter(cancels).map(|(n, (((user, due), id), api))| async move {
        // About when the dispatchers look.
        let at = due + Millis::try_from(n)? * 61 % 240;
        let until = u64::try_from(at - clock::local_now()).unwrap_or_default();
        sleep(Duration::from_millis(until)).await;
        let path = format!("/api/users/{user}/scheduled/{id}");
        let answer = api.request(Method::DELETE, &path).send().await?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await?;
        match (status, &body["outcome"], &body["code"]) {
            (200, outcome, _) if outcome == "cancelled" => Ok((id.clone(), true)),
            (404, _, code) if code == "delivered_already" => Ok((id.clone(), false)),
            _ => anyhow::bail!("{status} {body}"),
        }
    });
    let cancelled: Vec<(String, bool)> =
        answers.buffer_unordered(wanted.len()).try_collect().await?;
    let mut left = plan;
    for (id, is_cancelled) in &cancelled {
        if *is_cancelled {
            left.remove(id);
        }
    }
    let count = wanted.len() - left.len();
    println!("{count} of {} were cancelled in time", wanted.len());
    ensure!(!left.is_empty() && count > 0, "they did not meet");
    all_came(&redis, &left).await?;
    for (user, _) in wanted.iter().take(20) {
        let page = listed(&apis[1], user).await?;
        ensure!(page["notifications"] == json!([]), "{page}");
    }
    Ok(())
}
