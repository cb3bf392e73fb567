//! Connections whose token's key has gone are ended.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{parts::Gateway, session::Event};

/// In so many parts connections are told that keys went, and so long after each other: none stands idle
/// while all are woken.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Within this, a connection whose token's key went ends; first its client may renew the token.
const REVOKED: Duration = Duration::from_millis(1_200);

/// When keys went, has every connection look whether its token's is one of them. Those whose is end one
/// after the other, all of them within two seconds.
pub(super) async fn close_revoked(gateway: Arc<Gateway>) {
    let mut revocations = gateway.rules.keyring.revocations();
    while revocations.changed().await.is_ok() {
        let all = gateway.hub.all();
        for some in all.chunks(all.len().div_ceil(LOOKS).max(1)) {
            for handle in some {
                let ends_in = REVOKED.mul_f64(rand::random_range(0.3..1.0));
                handle.mailbox.post(Event::Revocation(ends_in));
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }
}
