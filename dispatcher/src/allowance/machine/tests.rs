//! Dispatchers that borrow from one store, in virtual time.

use super::*;

/// Random numbers that are the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the whole deployment has: a bucket for each account, as a store would keep it.
#[derive(Default)]
struct Store {
    used_until: HashMap<(AccountKind, Arc<str>), Duration>,
    away: bool,
    asked: usize,
}

impl Store {
    fn lend(&mut self, asks: &[Ask], now: Duration) -> Option<Vec<Lent>> {
        self.asked += asks.len();
        let lent = |ask: &Ask| {
            let every = Duration::from_secs(1) / ask.quota.per_second;
            let limit = now + every * ask.quota.burst;
            let until = self.used_until.entry((ask.kind, ask.account.clone()));
            let until = until.or_insert(now);
            *until = (*until).max(now);
            let mut units = 0;
            while units < ask.wanted && *until + every <= limit {
                *until += every;
                units += 1;
            }
            let left = (limit.saturating_sub(*until)).as_secs_f64() / every.as_secs_f64();
            Lent { units, left }
        };
        (!self.away).then(|| asks.iter().map(lent).collect())
    }
}

/// A dispatcher, and when it asks next.
struct Dispatcher {
    machine: Machine,
    asks_at: Duration,
    counts_at: Duration,
    hurries: bool,
    allowed: u32,
    refused: u32,
}

struct Deployment {
    start: Instant,
    now: Duration,
    store: Store,
    dispatchers: Vec<Dispatcher>,
    dice: Dice,
}

const STEP: Duration = Duration::from_millis(1);

impl Deployment {
    fn of(count: u32, seed: u64) -> Self {
        let start = Instant::now();
        let dispatcher = |_| {
            let mut machine = Machine::new(start);
            machine.counted(count, start);
            Dispatcher {
                machine,
                asks_at: Duration::ZERO,
                counts_at: Duration::from_secs(1),
                hurries: false,
                allowed: 0,
                refused: 0,
            }
        };
        Self {
            start,
            now: Duration::ZERO,
            store: Store::default(),
            dispatchers: (0..count).map(dispatcher).collect(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        }
    }

    fn take(&mut self, at: usize, claims: &[Claim<'_>]) -> Taken {
        let now = self.start + self.now;
        let dispatcher = &mut self.dispatchers[at];
        let taken = dispatcher.machine.take(claims, now);
        dispatcher.hurries |= taken.hurries;
        match taken.result {
            Ok(()) => dispatcher.allowed += 1,
            Err(_) => dispatcher.refused += 1,
        }
        taken
    }

    /// A millisecond passes; who is due asks, and is answered at the next one.
    fn step(&mut self) {
        self.now += STEP;
        let now = self.start + self.now;
        let count = u32::try_from(self.dispatchers.len()).unwrap();
        for dispatcher in &mut self.dispatchers {
            if self.now >= dispatcher.counts_at && !self.store.away {
                dispatcher.machine.counted(count, now);
                dispatcher.counts_at = self.now + Duration::from_secs(1);
            }
            let hurries = std::mem::take(&mut dispatcher.hurries);
            if self.now < dispatcher.asks_at && !hurries {
                continue;
            }
            dispatcher.asks_at = self.now + Duration::from_millis(50 + self.dice.below(100));
            let asks = dispatcher.machine.asks(now);
            match self.store.lend(&asks, self.now) {
                Some(lent) => dispatcher.machine.answered(asks, &lent, now),
                None => dispatcher.machine.unanswered(asks),
            }
        }
    }

    /// Runs for so long; `rates`: how often a second each dispatcher is asked for one unit of a service.
    fn run(&mut self, time: Duration, rates: &[u64], quota: Quota) {
        let end = self.now + time;
        while self.now < end {
            for (at, rate) in rates.iter().enumerate() {
                for _ in 0..rate / 1_000 + u64::from(self.dice.below(1_000) < rate % 1_000) {
                    self.take(at, &[one("shop", quota)]);
                }
            }
            self.step();
        }
    }

    fn allowed(&self) -> f64 {
        let all = self.dispatchers.iter();
        all.map(|dispatcher| f64::from(dispatcher.allowed)).sum()
    }

    fn forget(&mut self) {
        for dispatcher in &mut self.dispatchers {
            (dispatcher.allowed, dispatcher.refused) = (0, 0);
        }
    }
}

fn one(account: &str, quota: Quota) -> Claim<'_> {
    Claim {
        kind: AccountKind::Service,
        account,
        quota,
        units: 1,
    }
}

fn quota(per_second: u32, burst: u32) -> Quota {
    Quota { per_second, burst }
}

const TEN: Duration = Duration::from_secs(10);

/// However the load is spread, in ten seconds what is allowed comes through, within a tenth.
#[test]
fn the_sum_of_all_dispatchers_is_what_is_allowed() {
    for (rates, per_second, burst) in [
        (&[200, 200, 200][..], 100, 100),
        (&[900, 50, 50], 100, 100),
        (&[1_000, 0, 0], 100, 20),
        (&[3_000, 3_000, 10], 1_000, 1_000),
        (&[400, 300, 200, 100, 50, 25], 200, 400),
        (&[40, 40, 40], 20, 20),
        (&[600], 50, 50),
    ] {
        for seed in 1..6 {
            let count = u32::try_from(rates.len()).unwrap();
            let mut deployment = Deployment::of(count, seed);
            deployment.run(TEN, rates, quota(per_second, burst));
            let most = f64::from(burst) + 10.0 * f64::from(per_second);
            let of_most = deployment.allowed() / most;
            assert!(
                (0.9..=1.1).contains(&of_most),
                "{rates:?}, {per_second} and {burst}, seed {seed}: {of_most}"
            );
        }
    }
}

#[test]
fn who_stays_below_the_limit_is_not_refused_wherever_it_sends() {
    for rates in [&[60, 10, 5][..], &[0, 75, 0], &[25, 25, 25]] {
        for seed in 1..6 {
            let mut deployment = Deployment::of(3, seed);
            deployment.run(TEN, rates, quota(100, 100));
            let refused: u32 = deployment.dispatchers.iter().map(|it| it.refused).sum();
            assert_eq!(refused, 0, "{rates:?}, seed {seed}");
        }
    }
}

/// One through which much more is sent than through the others takes nothing from those who send little there.
#[test]
fn a_dispatcher_with_little_load_gets_its_share() {
    for seed in 1..6 {
        let mut deployment = Deployment::of(3, seed);
        let quota = quota(100, 100);
        deployment.run(TEN, &[2_000, 10, 10], quota);
        deployment.forget();
        deployment.run(TEN, &[2_000, 10, 10], quota);
        for quiet in &deployment.dispatchers[1..] {
            let all = quiet.allowed + quiet.refused;
            let part = f64::from(quiet.allowed) / f64::from(all);
            assert!(part > 0.5, "seed {seed}: {part} of {all}");
        }
    }
}

#[test]
fn a_store_that_is_away_leaves_each_its_share() {
    for seed in 1..6 {
        let mut deployment = Deployment::of(3, seed);
        let (quota, rates) = (quota(100, 50), [300, 300, 300]);
        deployment.run(Duration::from_secs(2), &rates, quota);
        deployment.store.away = true;
        deployment.run(Duration::from_secs(2), &rates, quota);
        let now = deployment.start + deployment.now;
        let all = deployment.dispatchers.iter();
        assert!(all.clone().all(|it| it.machine.is_alone(now)));
        deployment.forget();
        deployment.run(TEN, &rates, quota);
        let of_rate = deployment.allowed() / 1_000.0;
        assert!(
            (0.9..=1.1).contains(&of_rate),
            "seed {seed}, away: {of_rate}"
        );
        deployment.store.away = false;
        deployment.run(Duration::from_secs(2), &rates, quota);
        deployment.forget();
        deployment.run(TEN, &rates, quota);
        let of_rate = deployment.allowed() / 1_000.0;
        assert!(
            (0.9..=1.1).contains(&of_rate),
            "seed {seed}, back: {of_rate}"
        );
    }
}

#[test]
fn many_accounts_are_each_their_own() {
    let mut deployment = Deployment::of(3, 7);
    let quota = quota(2, 4);
    let names: Vec<_> = (0..700).map(|at| format!("user-{at}")).collect();
    let mut used = HashMap::new();
    for _ in 0..10_000 {
        for _ in 0..5 {
            let (at, name) = (deployment.dice.below(3), deployment.dice.below(700));
            let name = &names[usize::try_from(name).unwrap()];
            let claim = Claim {
                kind: AccountKind::User,
                ..one(name, quota)
            };
            let taken = deployment.take(usize::try_from(at).unwrap(), &[claim]);
            *used.entry(name).or_insert(0) += u32::from(taken.result.is_ok());
        }
        deployment.step();
    }
    // Each was wanted 71 times, and may be used 24 times.
    let sum: u32 = used.values().sum();
    let of_all = f64::from(sum) / (700.0 * 24.0);
    assert!((0.9..=1.1).contains(&of_all), "{of_all}");
    let most = used.values().max().unwrap();
    assert!(*most <= 24 + 4, "{most}");
}

#[test]
fn users_who_are_sent_little_cost_the_store_nothing() {
    let mut deployment = Deployment::of(3, 1);
    let quota = quota(10, 60);
    for at in 0..3_000_usize {
        let name = format!("user-{}", at % 1_500);
        let taken = deployment.take(at % 3, &[one(&name, quota)]);
        assert!(taken.result.is_ok());
        deployment.step();
    }
    assert_eq!(deployment.store.asked, 0);
}

/// Nothing is used of one account where another has too little.
#[test]
fn a_claim_is_met_whole_or_not_at_all() {
    let mut deployment = Deployment::of(1, 1);
    let (many, few) = (quota(1_000, 1_000), quota(1, 1));
    let user = |name| Claim {
        kind: AccountKind::User,
        ..one(name, few)
    };
    let taken = deployment.take(0, &[one("shop", many), user("alice")]);
    assert!(taken.result.is_ok());
    for _ in 0..50 {
        let taken = deployment.take(0, &[one("shop", many), user("alice")]);
        let short = taken.result.unwrap_err();
        assert_eq!(short.kind, AccountKind::User);
        assert!(short.retry_after <= Duration::from_secs(1));
        assert_eq!(taken.user.unwrap().remaining, 0);
        assert_eq!(taken.service.unwrap().remaining, 999);
    }
    let taken = deployment.take(0, &[one("shop", many), user("bob")]);
    assert!(taken.result.is_ok());
}

/// A request for more than may ever be sent at once goes through where all is there, and is paid for.
#[test]
fn a_large_request_goes_through_in_time() {
    for (units, least) in [(30, 540.0), (250, 600.0)] {
        let mut deployment = Deployment::of(3, 3);
        let quota = quota(50, 50);
        let claim = Claim {
            units,
            ..one("shop", quota)
        };
        let mut through = Vec::new();
        for _ in 0..20 {
            if deployment.take(0, &[claim]).result.is_ok() {
                through.push(deployment.now);
            }
            let until = deployment.now + Duration::from_secs(1);
            while deployment.now < until {
                deployment.step();
            }
        }
        let sum = f64::from(units) * through.len() as f64;
        assert!(
            sum <= 50.0 * 21.0 + f64::from(units),
            "{units}: {through:?}"
        );
        assert!(sum >= least, "{units}: {through:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let start = Instant::now();
    let mut machine = Machine::new(start);
    let quota = quota(1, 100);
    for at in 0..2 * REMEMBERED {
        let name = at.to_string();
        assert!(machine.take(&[one(&name, quota)], start).result.is_ok());
    }
    assert!(machine.accounts() <= REMEMBERED);
    assert!(machine.due.len() <= 2 * REMEMBERED);
    assert!(machine.take_forgotten() > 0);
    let later = start + Duration::from_secs(200);
    machine.forget(later);
    assert_eq!(machine.accounts(), 0);
}
