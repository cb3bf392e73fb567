//! A bounded number of connections: where all places are taken, the one that has waited longest gives way.
//!
//! So nobody who connects and then keeps silent, or takes long to say what is wanted, keeps others out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;

/// For one that gives way to be gone: it may have begun to do something just then.
const GONE_WITHIN: Duration = Duration::from_millis(50);
/// So many may be on their way out, and no more than an eighth of all.
const LEAVING: usize = 32;

/// Places for connections.
#[derive(Debug, Clone)]
pub struct Crowd {
    most: usize,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// A place is free again.
    left: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Those that give way included, for as long as they have a descriptor.
    present: usize,
    turn: u64,
    /// Those that give way, the longest waiting first.
    waiting: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Since when its client has been saying something, if it has begun.
    speaking: Option<Instant>,
    gone: CancellationToken,
}

/// A connection's place, which is free again when it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    /// Its turn among those that wait; 0 while it does not.
    turn: AtomicU64,
    gone: CancellationToken,
}

impl Crowd {
    /// For at most so many connections.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            shared: Arc::default(),
        }
    }

    /// A place for one more that waits: the longest waiting gives way to it. `None`: each has something under way.
    pub fn place(&self) -> Option<Place> {
        let mut inner = self.shared.inner.lock();
        if inner.present >= self.most {
            let (_, waiting) = inner.waiting.pop_first()?;
            waiting.gone.cancel();
        }
        inner.present += 1;
        drop(inner);
        let place = Place {
            shared: self.shared.clone(),
            turn: AtomicU64::new(0),
            gone: CancellationToken::new(),
        };
        place.waits();
        Some(place)
    }

    /// When nearly all that give way have gone: each has its descriptor until then, so accepting is not to be far
    /// ahead of leaving. Where it takes longer, the next one comes all the same.
    pub async fn settles(&self) {
        if self.has_room() {
            return;
        }
        let room = async {
            loop {
                let left = self.shared.left.notified();
                if self.has_room() {
                    return;
                }
                left.await;
            }
        };
        drop(timeout(GONE_WITHIN, room).await);
    }

    fn has_room(&self) -> bool {
        self.shared.inner.lock().present <= self.most + LEAVING.min(self.most / 8)
    }

    /// Has those give way whose client has been saying for longer than `within` what it wants.
    pub fn hurry(&self, within: Duration) -> usize {
        let now = Instant::now();
        let late = |waiting: &Waiting| {
            waiting
                .speaking
                .is_some_and(|since| now.duration_since(since) > within)
        };
        let mut inner = self.shared.inner.lock();
        let gone = inner.waiting.extract_if(.., |_, waiting| late(waiting));
        gone.map(|(_, waiting)| waiting.gone.cancel()).count()
    }

    #[cfg(test)]
    fn present(&self) -> usize {
        self.shared.inner.lock().present
    }
}

impl Place {
    /// It waits for its client from now on.
    pub fn waits(&self) {
        let mut inner = self.shared.inner.lock();
        inner.turn += 1;
        let turn = inner.turn;
        let before = self.turn.swap(turn, Ordering::Relaxed);
        inner.waiting.remove(&before);
        let waiting = Waiting {
            speaking: None,
            gone: self.gone.clone(),
        };
        inner.waiting.insert(turn, waiting);
    }

    /// Its client has begun to say what it wants, if it waited for that.
    pub fn speaks(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        if turn == 0 {
            return;
        }
        if let Some(waiting) = self.shared.inner.lock().waiting.get_mut(&turn) {
            waiting.speaking.get_or_insert_with(Instant::now);
        }
    }

    /// It does something for its client, and does not give way.
    pub fn works(&self) {
        let turn = self.turn.swap(0, Ordering::Relaxed);
        self.shared.inner.lock().waiting.remove(&turn);
    }

    /// Whether it is to give way.
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// When it is to give way.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let turn = *self.turn.get_mut();
        let mut inner = self.shared.inner.lock();
        inner.waiting.remove(&turn);
        inner.present -= 1;
        drop(inner);
        self.shared.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, future::join_all};

    use super::*;

    /// As accepting does it.
    async fn enter(crowd: &Crowd) -> Option<Place> {
        let place = crowd.place()?;
        crowd.settles().await;
        Some(place)
    }

    fn has_gone(place: &Place) -> bool {
        place.gone().now_or_never().is_some()
    }

    async fn three(crowd: &Crowd) -> [Place; 3] {
        let entered = [enter(crowd), enter(crowd), enter(crowd)];
        let entered = join_all(entered).await;
        entered
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }

    #[tokio::test]
    async fn the_longest_waiting_gives_way_and_who_works_does_not() {
        let crowd = Crowd::new(3);
        let [a, b, c] = three(&crowd).await;
        a.works();
        let d = enter(&crowd).await.unwrap();
        assert_eq!([&a, &b, &c, &d].map(has_gone), [false, true, false, false]);
        drop(b);
        c.works();
        c.waits();
        let e = enter(&crowd).await.unwrap();
        assert!(has_gone(&d) && !has_gone(&c), "c has waited for less long");
        drop(d);
        c.works();
        e.works();
        assert!(enter(&crowd).await.is_none());
        assert_eq!(crowd.present(), 3);
        drop(e);
        assert!(enter(&crowd).await.is_some());
    }

    #[tokio::test]
    async fn the_next_one_waits_until_who_gives_way_has_gone() {
        let crowd = Crowd::new(1);
        let first = enter(&crowd).await.unwrap();
        let leaving = async {
            first.gone().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(enter(&crowd), leaving);
        assert_eq!(crowd.present(), 1);
        // One that does not go in time is not waited for any longer.
        let begun = Instant::now();
        let third = enter(&crowd).await.unwrap();
        assert_eq!(crowd.present(), 2);
        assert!(begun.elapsed() >= GONE_WITHIN);
        drop((second, third));
        assert_eq!(crowd.present(), 0);
    }

    #[tokio::test]
    async fn who_speaks_too_slowly_gives_way() {
        let crowd = Crowd::new(9);
        let [silent, slow, working] = three(&crowd).await;
        slow.speaks();
        working.speaks();
        working.works();
        assert_eq!(crowd.hurry(Duration::from_secs(60)), 0);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(crowd.hurry(Duration::from_millis(1)), 1);
        assert_eq!(
            [&silent, &slow, &working].map(has_gone),
            [false, true, false]
        );
        // One that works again waits anew.
        working.waits();
        assert_eq!(crowd.hurry(Duration::ZERO), 0);
    }
}
