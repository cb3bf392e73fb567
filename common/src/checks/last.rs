//! What a service saw when it last looked, for whoever asks it.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::Serialize;

use super::{Finding, Level};
use crate::{ids::Millis, notification::rfc3339};

/// What was seen last; nothing yet in a process that does not look. A few findings for each primary of the store.
#[derive(Debug, Clone, Default)]
pub struct LastLook(Arc<RwLock<Look>>);

/// What was seen, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Look {
    /// The worst of it; none where nothing was looked at.
    pub verdict: Option<Level>,
    /// When the store was looked at; none before it could be.
    pub store_looked_at: Option<String>,
    /// All of it, what is well too.
    pub findings: Vec<Finding>,
}

impl LastLook {
    /// What there is.
    pub fn current(&self) -> Look {
        self.0.read().clone()
    }

    /// Takes the place of what was seen before.
    pub(super) fn saw(&self, findings: &[Finding], store_looked_at: Option<Millis>) {
        *self.0.write() = Look {
            verdict: findings.iter().map(|finding| finding.level).max(),
            store_looked_at: store_looked_at.map(rfc3339),
            findings: findings.to_vec(),
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_is_the_verdict() {
        let last = LastLook::default();
        let nothing = json!({"verdict": null, "store_looked_at": null, "findings": []});
        assert_eq!(serde_json::to_value(last.current()).unwrap(), nothing);
        let good = Finding::ok("issuers", "1 configured");
        last.saw(std::slice::from_ref(&good), None);
        assert_eq!(last.current().verdict, Some(Level::Ok));
        let bad = Finding::failure("eviction", "lru", "set it");
        last.saw(
            &[good, Finding::warning("store", "x", "y"), bad],
            Some(1_767_225_600_000),
        );
        let told = serde_json::to_value(last.current()).unwrap();
        assert_eq!(told["verdict"], "failure");
        assert_eq!(told["store_looked_at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(
            told["findings"][2],
            json!({"level": "failure", "what": "eviction", "detail": "lru", "remedy": "set it"})
        );
    }
}
