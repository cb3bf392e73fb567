//! Who reaches the dispatcher, with an API key or without.

use futures_util::FutureExt;
use tokio::time::sleep;

use super::strangers::hold;
use super::{Attack, Floor};

pub(super) const UNFINISHED_HEADS: Attack = Attack {
    name: "2 000 heads of 15 KB without an end",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let head = format!(
                "POST /api/notifications/send HTTP/1.1\r\nX: {}",
                "x".repeat(15_000)
            );
            let held = hold(aim.dispatcher, 2_000, head.as_bytes()).await;
            sleep(lasts).await;
            drop(held);
            Ok(())
        }
        .boxed()
    },
};

pub(super) const IDLE: Attack = Attack {
    name: "6 000 connections to the dispatcher that say nothing",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let held = hold(aim.dispatcher, 6_000, b"").await;
            sleep(lasts).await;
            drop(held);
            Ok(())
        }
        .boxed()
    },
};

pub(super) const SLOW_BODIES: Attack = Attack {
    name: "4 200 bodies under one key that do not arrive",
    floor: Floor::Listener,
    run: |aim, lasts| {
        async move {
            let head = format!(
                "POST /api/notifications/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{{",
                aim.key
            );
            let held = hold(aim.dispatcher, 4_200, head.as_bytes()).await;
            sleep(lasts).await;
            drop(held);
            Ok(())
        }
        .boxed()
    },
};
