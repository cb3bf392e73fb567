//! Services that send: each user's notifications one after the other, many users at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::client::{Accepted, Api, Journal, Refusal, broadcast, notification};
use crate::ledger::Ledger;
use crate::poll::eventually;

/// Callers at once.
const WRITERS: usize = 16;
/// A caller gives up after this: by then something is broken.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the announcer looks how far the sends are.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Before a refused request is repeated, as `Retry-After` would have it at least.
const AGAIN: Duration = Duration::from_millis(100);

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// To whom, in turn.
    pub users: Vec<String>,
    /// Personal notifications, of all users together.
    pub sends: usize,
    /// Broadcasts to everyone, spread evenly among the sends.
    pub broadcasts: usize,
    /// How long each caller rests after a send.
    pub pause: Duration,
}

/// Callers at work; what is accepted is entered in the ledger. They end when dropped.
#[derive(Debug)]
pub struct Traffic {
    callers: JoinSet<Result<()>>,
    book: Arc<Book>,
}

#[derive(Debug)]
struct Book {
    ledger: Ledger,
    accepted: AtomicUsize,
    notes: Mutex<Notes>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// When each accepted one was first asked for.
    pub asked: HashMap<String, Instant>,
    /// Refusals, by status and code; every one was repeated with the same key.
    pub refusals: BTreeMap<String, usize>,
    /// From the first attempt to the answer that accepted it.
    pub answers: Vec<Duration>,
}

impl Traffic {
    /// Starts the callers.
    #[must_use]
    pub fn start(api: &Api, ledger: &Ledger, load: &Load) -> Self {
        let book = Arc::new(Book {
            ledger: ledger.clone(),
            accepted: AtomicUsize::new(0),
            notes: Mutex::default(),
        });
        let mut callers = JoinSet::new();
        let writers = WRITERS.min(load.users.len()).max(1);
        for writer in 0..writers {
            // A user belongs to one caller: that makes the order of acceptance.
            let mine: Vec<String> = load
                .users
                .iter()
                .skip(writer)
                .step_by(writers)
                .cloned()
                .collect();
            let first = writer * load.sends / writers;
            let count = (writer + 1) * load.sends / writers - first;
            callers.spawn(write(api.clone(), book.clone(), mine, count, load.pause));
        }
        if load.broadcasts > 0 {
            callers.spawn(announce(api.clone(), book.clone(), load.clone()));
        }
        Self { callers, book }
    }

    /// How many personal notifications have been accepted.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.book.accepted.load(Ordering::Relaxed)
    }

    /// Waits until so many have been accepted.
    ///
    /// # Errors
    /// When they have not `within` this time.
    pub async fn reaches(&self, count: usize, within: Duration) -> Result<()> {
        eventually(&format!("{count} are accepted"), within, async || {
            ensure!(self.accepted() >= count, "{} are", self.accepted());
            Ok(())
        })
        .await
    }

    /// Waits until everything has been accepted.
    ///
    /// # Errors
    /// When something was refused for good, or for too long.
    pub async fn finish(mut self) -> Result<Notes> {
        while let Some(caller) = self.callers.join_next().await {
            caller??;
        }
        Ok(self.notes())
    }

    /// What has become of the requests until now.
    #[must_use]
    pub fn notes(&self) -> Notes {
        self.book.notes.lock().clone()
    }
}

impl Notes {
    /// How long each notification took from the first request to the client.
    #[must_use]
    pub fn latencies<'a>(&self, clients: impl IntoIterator<Item = &'a Journal>) -> Vec<Duration> {
        let mut latencies = Vec::new();
        for client in clients {
            let mut known = std::collections::HashSet::new();
            client.read(|record| {
                for received in &record.notifications {
                    if let Some(asked) = self.asked.get(&received.id)
                        && known.insert(received.id.clone())
                    {
                        latencies.push(received.at.duration_since(*asked));
                    }
                }
            });
        }
        latencies
    }
}

impl Book {
    fn note(&self, accepted: &Accepted, asked: Instant) {
        let mut notes = self.notes.lock();
        notes.asked.insert(accepted.id.clone(), asked);
        notes.answers.push(asked.elapsed());
    }
}

async fn write(
    api: Api,
    book: Arc<Book>,
    users: Vec<String>,
    count: usize,
    pause: Duration,
) -> Result<()> {
    for n in 0..count {
        let user = &users[n % users.len()];
        let body = notification(user, "test.sent", &n.to_string());
        let accepted = until_accepted(&api, &book, &Request::Send(body)).await?;
        book.ledger.accepted(user, &accepted.id);
        book.accepted.fetch_add(1, Ordering::Relaxed);
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}

/// Broadcasts keep pace with the sends.
async fn announce(api: Api, book: Arc<Book>, load: Load) -> Result<()> {
    for n in 0..load.broadcasts {
        let turn = n * load.sends / load.broadcasts;
        while book.accepted.load(Ordering::Relaxed) < turn {
            sleep(BETWEEN_LOOKS).await;
        }
        let body = broadcast(None, "test.announced", &n.to_string());
        let accepted = until_accepted(&api, &book, &Request::Broadcast(body)).await?;
        book.ledger.accepted_broadcast(&accepted.id);
    }
    Ok(())
}

enum Request {
    Send(Value),
    Broadcast(Value),
}

/// Repeats a request with one idempotency key until it is accepted.
async fn until_accepted(api: &Api, book: &Book, request: &Request) -> Result<Accepted> {
    let key = Uuid::new_v4().to_string();
    let asked = Instant::now();
    loop {
        let answer = match request {
            Request::Send(body) => api.send(body, Some(&key)).await,
            Request::Broadcast(body) => api.broadcast(body, Some(&key)).await,
        };
        let refusal = match answer {
            Ok(accepted) => {
                book.note(&accepted, asked);
                return Ok(accepted);
            }
            Err(refusal) => refusal,
        };
        let kind = match &refusal {
            Refusal::Problem { status, code, .. } => format!("{} {code}", status.as_u16()),
            Refusal::Unanswered(_) => "no answer".to_owned(),
        };
        *book.notes.lock().refusals.entry(kind).or_default() += 1;
        if !refusal.is_retryable() || asked.elapsed() > PATIENCE {
            return Err(anyhow!(refusal));
        }
        sleep(AGAIN).await;
    }
}
