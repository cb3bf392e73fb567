//! Connections are ended whose token's key has gone, or whose token was revoked.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use carillon_common::auth::Revoked;
use tokio::time::sleep;

use crate::{parts::Gateway, session::Event};

/// Connections are told in this many parts, with this pause after each, so that waking all of them does not hold up the
/// others.
const PARTS: usize = 10;
const BETWEEN_PARTS: Duration = Duration::from_millis(50);
/// A connection whose token's key went ends within this time; until then its client may renew the token.
const REVOKED: Duration = Duration::from_millis(900);

/// When keys went, has every connection check whether its token's key is one of them. Those whose key it
/// is end one after the other, all of them within two seconds, a busy machine's delays among them.
pub(super) async fn close_with_their_keys(gateway: Arc<Gateway>) {
    let mut gone = gateway.rules().keyring.keys_gone();
    while gone.changed().await.is_ok() {
        ask_all(&gateway, || {
            Event::Revocation(REVOKED.mul_f64(rand::random_range(0.3..1.0)))
        })
        .await;
    }
}

/// When tokens were revoked, has those check who may have one of them: the connections of the users that are named, and
/// all where only a token is, since nobody here knows whose that is.
pub(super) async fn close_with_their_tokens(gateway: Arc<Gateway>) {
    let Some(revocations) = gateway.rules().keyring.revocations().cloned() else {
        return;
    };
    let mut changes = revocations.changes();
    // Who comes later is judged on the way in.
    let (_, mut seen) = revocations.since(0);
    while changes.changed().await.is_ok() {
        let news;
        (news, seen) = revocations.since(seen);
        let users: BTreeSet<_> = news.iter().filter_map(Revoked::user).collect();
        for user in users {
            gateway.hub.post(user, |_| true, || Event::Revoked);
        }
        if news.iter().any(|it| it.user().is_none()) {
            ask_all(&gateway, || Event::Revoked).await;
        }
    }
}

/// Posts to every connection, a part at a time.
async fn ask_all(gateway: &Gateway, event: impl Fn() -> Event) {
    let all = gateway.hub.all();
    for some in all.chunks(all.len().div_ceil(PARTS).max(1)) {
        for handle in some {
            handle.mailbox.post(event());
        }
        sleep(BETWEEN_PARTS).await;
    }
}
