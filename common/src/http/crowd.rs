//! A bounded number of connections: where all places are taken, the one that has waited longest gives way.
//!
//! So nobody who connects and then keeps silent, or takes long to say what is wanted, keeps others out.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// Places for connections.
#[derive(Debug, Clone)]
pub struct Crowd {
    most: usize,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
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
    inner: Arc<Mutex<Inner>>,
    /// Its turn among those that wait; 0 while it does not.
    turn: AtomicU64,
    gone: CancellationToken,
}

impl Crowd {
    /// For at most so many connections.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            inner: Arc::default(),
        }
    }

    /// A place for one more that waits. `None`: each has something under way.
    pub fn enter(&self) -> Option<Place> {
        let mut inner = lock(&self.inner);
        if inner.present >= self.most {
            let (_, waiting) = inner.waiting.pop_first()?;
            waiting.gone.cancel();
        }
        inner.present += 1;
        drop(inner);
        let place = Place {
            inner: self.inner.clone(),
            turn: AtomicU64::new(0),
            gone: CancellationToken::new(),
        };
        place.waits();
        Some(place)
    }

    /// Has those give way whose client has been saying for longer than `within` what it wants.
    pub fn hurry(&self, within: Duration) -> usize {
        let now = Instant::now();
        let late = |waiting: &Waiting| {
            waiting
                .speaking
                .is_some_and(|since| now.duration_since(since) > within)
        };
        let mut inner = lock(&self.inner);
        let gone = inner.waiting.extract_if(.., |_, waiting| late(waiting));
        gone.map(|(_, waiting)| waiting.gone.cancel()).count()
    }

    #[cfg(test)]
    fn present(&self) -> usize {
        lock(&self.inner).present
    }
}

impl Place {
    /// It waits for its client from now on.
    pub fn waits(&self) {
        let mut inner = lock(&self.inner);
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
        if let Some(waiting) = lock(&self.inner).waiting.get_mut(&turn) {
            waiting.speaking.get_or_insert_with(Instant::now);
        }
    }

    /// It does something for its client, and does not give way.
    pub fn works(&self) {
        let turn = self.turn.swap(0, Ordering::Relaxed);
        lock(&self.inner).waiting.remove(&turn);
    }

    /// When it is to give way.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.waiting.remove(self.turn.get_mut());
        inner.present -= 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn has_gone(place: &Place) -> bool {
        place.gone().now_or_never().is_some()
    }

    #[test]
    fn the_longest_waiting_gives_way_and_who_works_does_not() {
        let crowd = Crowd::new(3);
        let [a, b, c] = [(); 3].map(|()| crowd.enter().unwrap());
        a.works();
        let d = crowd.enter().unwrap();
        assert_eq!([&a, &b, &c, &d].map(has_gone), [false, true, false, false]);
        drop(b);
        c.works();
        c.waits();
        let e = crowd.enter().unwrap();
        assert!(has_gone(&d) && !has_gone(&c), "c has waited for less long");
        drop(d);
        c.works();
        e.works();
        assert!(crowd.enter().is_none());
        assert_eq!(crowd.present(), 3);
        drop(e);
        assert!(crowd.enter().is_some());
    }

    #[test]
    fn who_speaks_too_slowly_gives_way() {
        let crowd = Crowd::new(9);
        let [silent, slow, working] = [(); 3].map(|()| crowd.enter().unwrap());
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
