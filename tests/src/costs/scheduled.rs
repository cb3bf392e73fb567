//! What waits for its time, with as much of it as may be.

use anyhow::{Result, ensure};
use carillon_common::{
    backend::{Cancellation, Fired, redis::keys::Keys},
    ids::{Millis, UserId},
};
use uuid::Uuid;

use super::{HOUR, Hall, ON_EACH, Who, order};

/// Users that are told of at once for whom something is due, and more.
const USERS: usize = 20;

impl Hall {
    /// Has one accepted that is due so many milliseconds from now.
    async fn schedule(&self, user: &UserId, in_ms: Millis) -> Result<Uuid> {
        let id = Uuid::new_v4();
        let mut order = order(user, id, HOUR);
        order.due = Some(self.backend.clock().now() + in_ms);
        self.backend.send(&order).await?;
        Ok(id)
    }

    /// Has so many accepted that are all due at once, tomorrow.
    pub(super) async fn schedule_all(&self, user: &UserId, count: u32) -> Result<Vec<Uuid>> {
        let due = self.backend.clock().now() + 86_400_000;
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = Uuid::new_v4();
            let mut order = order(user, id, HOUR);
            order.due = Some(due);
            self.backend.send(&order).await?;
            ids.push(id);
        }
        Ok(ids)
    }

    pub(super) async fn scheduled(&mut self) -> Result<()> {
        let grace: UserId = "grace".parse()?;
        for at in 0..self.gateways.len() {
            for number in 0..ON_EACH {
                self.connect(at, &grace, &Who::of(at, number)).await?;
            }
        }
        let ids = self.schedule_all(&grace, self.limits.scheduled - 1).await?;
        let one_more = async |hall: &Self, _| {
            hall.forget_times().await?;
            let id = hall.schedule(&grace, 3_600_000).await?;
            let cancelled = hall.backend.cancel(&grace, id).await?;
            ensure!(cancelled == Cancellation::Done, "{cancelled:?}");
            Ok(())
        };
        self.fastest("schedule", "the last that may be", one_more)
            .await?;
        // Until as many are noted as may be.
        for id in &ids[..300] {
            self.backend.cancel(&grace, *id).await?;
        }
        self.schedule_all(&grace, 300).await?;
        let cancel = async |hall: &Self, turn: usize| {
            hall.forget_times().await?;
            for expected in [Cancellation::Done, Cancellation::Left] {
                let cancelled = hall.backend.cancel(&grace, ids[300 + turn]).await?;
                ensure!(cancelled == expected, "{cancelled:?}");
            }
            Ok(())
        };
        self.fastest("cancel", "one of many, twice", cancel).await?;
        let awaited = async |hall: &Self, _| {
            hall.forget_times().await?;
            hall.backend.awaited(&grace, Uuid::new_v4()).await?;
            Ok(())
        };
        self.fastest("awaited", "one that is not known", awaited)
            .await?;
        let agenda = async |hall: &Self, _| {
            hall.forget_times().await?;
            let first = hall.backend.agenda(&grace, None, 1).await?;
            let after = first.waiting.last().map(|waiting| waiting.place());
            let page = hall.backend.agenda(&grace, after, 200).await?;
            ensure!(
                page.more && page.waiting.len() > 50,
                "{}",
                page.waiting.len()
            );
            Ok(())
        };
        self.fastest("agenda", "many that are due at once", agenda)
            .await?;
        self.firing().await
    }

    async fn firing(&mut self) -> Result<()> {
        let heidi = self.with_devices_away("heidi").await?;
        self.fill(&heidi, |_| HOUR).await?;
        self.schedule_all(&heidi, self.limits.scheduled - 1).await?;
        let pass_over = async |hall: &Self, _| {
            hall.schedule(&heidi, 0).await?;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            hall.forget_times().await?;
            let fired = hall.backend.fire(&heidi).await?;
            ensure!(matches!(fired, Fired::Done { .. }), "{fired:?}");
            Ok(())
        };
        self.fastest(
            "fire",
            "the devices that are away are passed over",
            pass_over,
        )
        .await?;
        let due = async |hall: &Self, turn: usize| {
            for user in of_one_partition(turn) {
                hall.schedule(&user, 0).await?;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            hall.forget_times().await?;
            let due = hall.backend.take_due().await?;
            ensure!(due.more, "{}", due.users.len());
            Ok(())
        };
        self.fastest("due", "as many as are told of at once", due)
            .await
    }
}

/// Users that are in one partition, others each time.
fn of_one_partition(turn: usize) -> Vec<UserId> {
    let keys = Keys::new("", vec![String::new(); 64]);
    let names = (0..).map(|n| format!("due-{turn}-{n}"));
    let there = names.filter(|name| keys.partition(name) == 7).take(USERS);
    there.filter_map(|name| name.parse().ok()).collect()
}
