//! The servers a client may go to; they can change while it runs.

use std::sync::Arc;

use parking_lot::RwLock;
use rand::seq::IndexedRandom;

/// Base URLs of interchangeable servers (`ws://host:port` or `http://host:port`), shared by the
/// clients that were given it.
#[derive(Clone, Debug)]
pub struct Targets(Arc<RwLock<Vec<String>>>);

impl Targets {
    /// These servers.
    pub fn new(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let urls = urls.into_iter().map(Into::into).collect();
        Self(Arc::new(RwLock::new(urls)))
    }

    /// Replaces the servers, for all who share them.
    pub fn set(&self, urls: impl IntoIterator<Item = impl Into<String>>) {
        *self.0.write() = urls.into_iter().map(Into::into).collect();
    }

    /// Any of them, another than `except` if there is one.
    #[must_use]
    pub fn pick(&self, except: Option<&str>) -> String {
        let targets = self.0.read();
        let others: Vec<_> = targets
            .iter()
            .filter(|url| Some(url.as_str()) != except)
            .collect();
        let mut rng = rand::rng();
        let picked = others
            .choose(&mut rng)
            .copied()
            .or_else(|| targets.choose(&mut rng));
        picked.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn avoids_one_if_there_is_another() {
        let targets = Targets::new(["a", "b"]);
        assert!((0..20).all(|_| targets.pick(Some("a")) == "b"));
        targets.set(["a"]);
        assert_eq!(targets.pick(Some("a")), "a");
    }
}
