//! How fast a service may send.

use crate::backend::Quota;
use crate::settings::ApiKeySettings;

/// What is said of one service's sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendRate {
    /// Nothing: what is said of all holds.
    #[default]
    Usual,
    /// Any.
    Any,
    /// So much, over all dispatchers.
    Limited(Quota),
}

impl SendRate {
    /// Of an API key.
    ///
    /// # Errors
    /// The setting that is wrong, and what is wrong with it.
    pub(super) fn new(settings: &ApiKeySettings) -> Result<Self, (&'static str, &'static str)> {
        let at_once = settings.sends_burst;
        match (settings.sends_per_second, at_once) {
            (_, Some(0)) => Err(("sends_burst", "0 would let nothing through")),
            (None | Some(0), Some(_)) => Err((
                "sends_burst",
                "says how many at once, but there is no rate in sends_per_second",
            )),
            (None, None) => Ok(Self::Usual),
            (Some(0), None) => Ok(Self::Any),
            (Some(per_second), at_once) => Ok(Self::Limited(Quota {
                per_second,
                burst: at_once.unwrap_or(per_second),
            })),
        }
    }

    /// What that comes to, where all others have `usual`; none for any.
    pub fn quota(self, usual: Option<Quota>) -> Option<Quota> {
        match self {
            Self::Usual => usual,
            Self::Any => None,
            Self::Limited(quota) => Some(quota),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_own_rate_or_the_usual_one() {
        let rate = |per_second, burst| {
            SendRate::new(&ApiKeySettings {
                name: "a".into(),
                hash: String::new(),
                scopes: Vec::new(),
                users: None,
                channels: None,
                sends_per_second: per_second,
                sends_burst: burst,
            })
        };
        let quota = |per_second, burst| Quota { per_second, burst };
        assert_eq!(rate(None, None), Ok(SendRate::Usual));
        assert_eq!(rate(Some(0), None), Ok(SendRate::Any));
        assert_eq!(rate(Some(5), None), Ok(SendRate::Limited(quota(5, 5))));
        assert_eq!(rate(Some(5), Some(50)), Ok(SendRate::Limited(quota(5, 50))));
        for (per_second, burst) in [(None, 5), (Some(0), 5), (Some(5), 0)] {
            assert_eq!(rate(per_second, Some(burst)).unwrap_err().0, "sends_burst");
        }
        let usual = Some(quota(1, 1));
        assert_eq!(SendRate::Usual.quota(usual), usual);
        assert_eq!(SendRate::Any.quota(usual), None);
        assert_eq!(
            SendRate::Limited(quota(2, 2)).quota(usual),
            Some(quota(2, 2))
        );
    }
}
