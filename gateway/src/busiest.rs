//! Which users and channels a gateway has the most to do for, in bounded memory.
//!
//! Space-Saving (Metwally, Agrawal and El Abbadi 2005): so many are counted, and one that is not among them
//! takes the place of the least, with its count as what it may be too high by. Whoever has more than one part
//! in [`PLACES`] of everything is surely among them.

use std::{collections::HashMap, hash::Hash, time::Duration};

use carillon_common::ids::{ChannelName, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How many are counted, of each kind.
const PLACES: usize = 256;
/// What is answered is of the last one to two of these.
const WINDOW: Duration = Duration::from_secs(60);

/// Who has the most, for a while back.
pub(crate) struct Busiest {
    users: Mutex<Recent<UserId>>,
    channels: Mutex<Recent<ChannelName>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted<K> {
    pub key: K,
    /// No less than there were.
    pub count: u64,
    /// By how much it may be too high.
    pub over: u64,
}

/// What was counted in this window and in the one before it.
struct Recent<K> {
    now: Sketch<K>,
    before: Sketch<K>,
    since: Instant,
    before_since: Instant,
}

struct Sketch<K> {
    counted: Vec<Counted<K>>,
    places: HashMap<K, usize>,
    /// No count is less, once all places are taken.
    floor: u64,
    /// Where to look for the next that has only that.
    next: usize,
}

impl Busiest {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self {
            users: Mutex::new(Recent::new()),
            channels: Mutex::new(Recent::new()),
        }
    }

    /// A notification for a user.
    pub(crate) fn user(&self, user: &UserId) {
        self.users.lock().now.add(user, 1);
    }

    /// A channel's notification, for so many members.
    pub(crate) fn channel(&self, channel: &ChannelName, members: usize) {
        self.channels.lock().now.add(channel, members as u64);
    }

    /// Lets what is old go. To be called more often than once in a window.
    pub(crate) fn rotate(&self, now: Instant) {
        self.users.lock().rotate(now);
        self.channels.lock().rotate(now);
    }

    /// The users with the most notifications, and since when they are counted.
    pub(crate) fn users(&self, most: usize) -> (Vec<Counted<UserId>>, Instant) {
        self.users.lock().most(most)
    }

    /// The channels with the most deliveries, and since when they are counted.
    pub(crate) fn channels(&self, most: usize) -> (Vec<Counted<ChannelName>>, Instant) {
        self.channels.lock().most(most)
    }
}

impl<K: Eq + Hash + Clone + Ord> Recent<K> {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now: Sketch::new(),
            before: Sketch::new(),
            since: now,
            before_since: now,
        }
    }

    fn rotate(&mut self, now: Instant) {
        if now - self.since >= WINDOW {
            self.before = std::mem::replace(&mut self.now, Sketch::new());
            self.before_since = std::mem::replace(&mut self.since, now);
        }
    }

    fn most(&self, most: usize) -> (Vec<Counted<K>>, Instant) {
        let mut all: HashMap<&K, (u64, u64)> = HashMap::new();
        for one in self.before.counted.iter().chain(&self.now.counted) {
            let (count, over) = all.entry(&one.key).or_default();
            *count += one.count;
            *over += one.over;
        }
        let all = all.into_iter().map(|(key, (count, over))| Counted {
            key: key.clone(),
            count,
            over,
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
        all.truncate(most);
        (all, self.before_since)
    }
}

impl<K: Eq + Hash + Clone> Sketch<K> {
    fn new() -> Self {
        Self {
            counted: Vec::new(),
            places: HashMap::new(),
            floor: 0,
            next: 0,
        }
    }

    fn add(&mut self, key: &K, weight: u64) {
        if weight == 0 {
            return;
        }
        if let Some(at) = self.places.get(key) {
            self.counted[*at].count += weight;
            return;
        }
        let (at, over) = if self.counted.len() < PLACES {
            self.counted.push(Counted {
                key: key.clone(),
                count: 0,
                over: 0,
            });
            (self.counted.len() - 1, 0)
        } else {
            let at = self.least();
            self.places.remove(&self.counted[at].key);
            (at, self.counted[at].count)
        };
        self.counted[at] = Counted {
            key: key.clone(),
            count: over + weight,
            over,
        };
        self.places.insert(key.clone(), at);
    }

    /// Counts only grow, so whoever has the floor is a least one; a look at all of them is needed only when
    /// nobody has it any more.
    fn least(&mut self) -> usize {
        loop {
            for step in 0..PLACES {
                let at = (self.next + step) % PLACES;
                if self.counted[at].count == self.floor {
                    self.next = at + 1;
                    return at;
                }
            }
            let counts = self.counted.iter().map(|one| one.count);
            self.floor = counts.min().unwrap_or(self.floor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    /// A stream in which few have much: a number, by a fixed generator.
    fn stream(length: usize) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..length).map(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let part = (state >> 11) as f64 / (1_u64 << 53) as f64;
            // About one in k, for the k-th.
            (20_000_f64.powf(part)) as u64
        })
    }

    #[test]
    fn whoever_has_much_is_there_and_no_count_is_wrong_by_more_than_it_says() {
        let (mut sketch, mut exact) = (Sketch::new(), HashMap::<u64, u64>::new());
        let length = 200_000;
        for key in stream(length) {
            sketch.add(&key, 1);
            *exact.entry(key).or_default() += 1;
        }
        assert!(exact.len() > 10 * PLACES, "{}", exact.len());
        assert_eq!(
            (sketch.counted.len(), sketch.places.len()),
            (PLACES, PLACES)
        );
        for one in &sketch.counted {
            let truth = exact[&one.key];
            assert!(
                one.count - one.over <= truth && truth <= one.count,
                "{one:?} {truth}"
            );
        }
        for (key, count) in exact {
            let surely = count > (length / PLACES) as u64;
            assert!(
                !surely || sketch.places.contains_key(&key),
                "{key}: {count}"
            );
        }
        let sum: u64 = sketch.counted.iter().map(|one| one.count).sum();
        assert_eq!(sum, length as u64, "nothing is counted twice or not at all");
    }

    #[test]
    fn what_is_least_is_what_a_look_at_all_would_find() {
        let mut sketch = Sketch::new();
        for (at, key) in stream(20_000).enumerate() {
            if sketch.counted.len() == PLACES {
                let least = sketch.counted.iter().map(|one| one.count).min().unwrap();
                let found = sketch.least();
                assert_eq!(sketch.counted[found].count, least);
            }
            sketch.add(&key, 1 + (at % 7) as u64);
        }
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (busiest, began) = (Busiest::new(), Instant::now());
        let [alice, bob] = ["alice", "bob"].map(|name| UserId::new(name).unwrap());
        let counted = || {
            let (most, since) = busiest.users(5);
            let names = most.into_iter().map(|one| (one.key, one.count));
            (names.collect::<Vec<_>>(), since)
        };
        busiest.user(&alice);
        busiest.user(&alice);
        let first = began + WINDOW;
        busiest.rotate(began + WINDOW / 2);
        busiest.rotate(first);
        busiest.user(&bob);
        let (names, since) = counted();
        assert_eq!(names, [(alice, 2), (bob.clone(), 1)]);
        assert!(since <= began);
        assert_eq!(busiest.users(1).0.len(), 1);
        busiest.rotate(first + WINDOW);
        assert_eq!(counted(), (vec![(bob, 1)], first));
        let orders = ChannelName::new("orders").unwrap();
        busiest.channel(&orders, 0);
        assert_eq!(busiest.channels(5).0, []);
        busiest.channel(&orders, 40);
        assert_eq!(busiest.channels(5).0[0].count, 40);
    }

    /// Far below a delivery's microseconds, also where nobody is ever among them for long.
    #[test]
    fn counting_costs_next_to_nothing() {
        let users: Vec<_> = (0..15_000)
            .map(|number| UserId::new(&format!("user-{number}")).unwrap())
            .collect();
        let mut sketch = Sketch::new();
        let began = std::time::Instant::now();
        for user in users.iter().cycle().take(300_000) {
            sketch.add(black_box(user), 1);
        }
        let each = began.elapsed() / 300_000;
        eprintln!("{each:?} for each notification");
        // Debug builds and busy machines included.
        assert!(each < Duration::from_micros(20), "{each:?}");
    }
}
