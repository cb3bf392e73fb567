//! What callers are told of their allowance: the fields of draft-ietf-httpapi-ratelimit-headers-10, which are lists
//! of structured fields (RFC 9651).

use std::{fmt::Write, time::Duration};

use carillon_common::backend::AccountKind;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{account::Standing, machine::Short};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// How the accounts of a request stand, as far as they are limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(super) service: Option<Standing>,
    pub(super) user: Option<Standing>,
}

/// A request that was refused because it was one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    pub(crate) short: Short,
    pub(crate) told: Told,
}

/// The name of a limit, in fields, metrics and texts.
pub(crate) fn name_of(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Service => "key",
        AccountKind::User => "user",
    }
}

impl Told {
    /// Adds the fields, if there is a limit.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        let (mut policy, mut left) = (String::new(), String::new());
        for (kind, standing) in [
            (AccountKind::Service, self.service),
            (AccountKind::User, self.user),
        ] {
            let Some(standing) = standing else {
                continue;
            };
            let separator = if policy.is_empty() { "" } else { ", " };
            let (name, quota) = (name_of(kind), standing.quota);
            let window = seconds(Duration::from_secs_f64(quota.window_ms() / 1e3)).max(1);
            let (remaining, whole_in) = (standing.remaining, seconds(standing.whole_in));
            // Writing to a text does not fail.
            write!(policy, "{separator}\"{name}\";q={};w={window}", quota.burst)
                .unwrap_or_default();
            write!(left, "{separator}\"{name}\";r={remaining};t={whole_in}").unwrap_or_default();
        }
        for (field, text) in [(POLICY, policy), (LEFT, left)] {
            if let Ok(value) = HeaderValue::try_from(text)
                && !value.is_empty()
            {
                headers.insert(field, value);
            }
        }
    }
}

impl RateLimited {
    /// The name of the limit.
    pub(crate) fn limit(&self) -> &'static str {
        name_of(self.short.kind)
    }

    /// What the caller is told.
    pub(crate) fn detail(&self) -> String {
        let (whose, standing) = match self.short.kind {
            AccountKind::Service => ("this API key or token may send", self.told.service),
            AccountKind::User => ("this user may be sent", self.told.user),
        };
        let limit = self.limit();
        standing.map_or_else(String::new, |standing| {
            let (rate, burst) = (standing.quota.per_second, standing.quota.burst);
            format!(
                "{whose} {rate} notifications a second, and {burst} at once, by all dispatchers together (the limit \
                 {limit:?}); nothing was accepted"
            )
        })
    }
}

/// Whole ones, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use carillon_common::backend::Quota;

    use super::*;

    fn standing(per_second: u32, burst: u32, remaining: u32) -> Standing {
        Standing {
            quota: Quota { per_second, burst },
            remaining,
            whole_in: Duration::from_millis(1_200),
        }
    }

    fn fields(told: Told) -> (Option<String>, Option<String>) {
        let mut headers = HeaderMap::new();
        told.put(&mut headers);
        let text = |name| {
            let value = headers.get(name).map(|value| value.to_str().unwrap());
            value.map(str::to_owned)
        };
        (text(POLICY), text(LEFT))
    }

    #[test]
    fn the_fields_are_lists_of_the_limits_that_there_are() {
        assert_eq!(fields(Told::default()), (None, None));
        let service = Some(standing(10, 25, 7));
        let told = Told {
            service,
            user: None,
        };
        assert_eq!(
            fields(told),
            (
                Some("\"key\";q=25;w=3".into()),
                Some("\"key\";r=7;t=2".into())
            )
        );
        let user = Some(standing(1_000, 1, 0));
        assert_eq!(
            fields(Told { service, user }),
            (
                Some("\"key\";q=25;w=3, \"user\";q=1;w=1".into()),
                Some("\"key\";r=7;t=2, \"user\";r=0;t=2".into())
            )
        );
    }

    #[test]
    fn who_is_refused_is_told_by_which_limit() {
        let limited = RateLimited {
            short: Short {
                kind: AccountKind::User,
                retry_after: Duration::from_secs(1),
            },
            told: Told {
                service: None,
                user: Some(standing(2, 4, 0)),
            },
        };
        assert_eq!(limited.limit(), "user");
        let detail = limited.detail();
        assert!(detail.contains("this user may be sent 2 notifications a second, and 4 at once"));
    }
}
