//! Connections whose token's key has gone are ended.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{parts::Gateway, session::Event};

/// Connections are told in this many parts that keys went, with this pause after each, so that waking all
/// of them does not hold up the others.
const PARTS: usize = 10;
const BETWEEN_PARTS: Duration = Duration::from_millis(50);
/// A connection whose token's key went ends within this time; until then its client may renew the token.
const REVOKED: Duration = Duration::from_millis(900);

/// When keys went, has every connection check whether its token's key is one of them. Those whose key it
/// is end one after the other, all of them within two seconds, a busy machine's delays among them.
pub(super) async fn close_revoked(gateway: Arc<Gateway>) {
    let mut revocations = gateway.rules.keyring.revocations();
    while revocations.changed().await.is_ok() {
        let all = gateway.hub.all();
        for some in all.chunks(all.len().div_ceil(PARTS).max(1)) {
            for handle in some {
                let ends_in = REVOKED.mul_f64(rand::random_range(0.3..1.0));
                handle.mailbox.post(Event::Revocation(ends_in));
            }
            sleep(BETWEEN_PARTS).await;
        }
    }
}
