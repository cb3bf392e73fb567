//! `GET /api/channels`

use std::sync::Arc;

use axum::{Json, extract::State};
use carillon_common::{ids::ChannelName, protocol::schema::names};
use serde::Serialize;
use utoipa::{
    IntoParams, ToSchema,
    openapi::path::{Parameter, ParameterIn},
};

use super::{caller::may, question::Question};
use crate::{
    app::App,
    contract::{self, Asking, OfLists, limit, optional, query},
    dispatch::deliver,
    error::ApiError,
    extract::{FieldReader, Fields},
    paths::CHANNELS,
};

/// Channels of a page: at most, and where the caller does not say.
const MOST: u32 = 1_000;
const USUAL: u32 = 100;

/// What may be asked.
enum ChannelsQuery {}

impl IntoParams for ChannelsQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut prefix = names::channel();
        prefix["description"] = "What the names begin with".into();
        let mut after = names::channel();
        after["description"] = "Only names after this one: the `next` of the page before".into();
        query(vec![
            optional("prefix", prefix),
            optional("after", after),
            optional("limit", limit(USUAL, MOST)),
        ])
    }
}

/// Lists the channels that somebody follows now
///
/// By name: those that a client is on, or was less than `channels.linger` ago. Up to a second old. Of channels that the
/// API key has nothing to do with nothing is told.
#[utoipa::path(
    get,
    path = CHANNELS,
    tag = "channels",
    params(Asking, ChannelsQuery),
    responses(
        (status = 200, description = "A page of them", body = ChannelList, headers(
            ("X-Request-Id" = String, description = "The request's name in the log"),
        )),
        OfLists,
    ),
    security(("api_key" = ["read"])),
)]
pub(crate) async fn channels(
    State(app): State<Arc<App>>,
    question: Question<may::Read>,
) -> Result<Json<ChannelList>, ApiError> {
    let wanted = Wanted::read(&question.parameters()?)?;
    let until = app.store_deadline(question.caller.deadline);
    let followed = deliver(until, || app.backend.followed()).await?.answer;
    let service = &question.caller.service;
    let may = |channel: &ChannelName| service.may_reach_channel(channel.as_str());
    Ok(Json(wanted.page(&followed, may)))
}

/// Which of them.
struct Wanted {
    prefix: Option<ChannelName>,
    after: Option<ChannelName>,
    limit: usize,
}

impl Wanted {
    fn read(fields: &Fields<'_>) -> Result<Self, ApiError> {
        let mut reader = FieldReader::new(fields);
        let prefix = reader.written("prefix");
        let after = reader.written("after");
        let limit = reader.number("limit", 1..=MOST).unwrap_or(USUAL);
        reader.all_right()?;
        Ok(Self {
            prefix,
            after,
            limit: limit as usize,
        })
    }

    /// A page of the channels, which are in order.
    fn page(&self, followed: &[ChannelName], may: impl Fn(&ChannelName) -> bool) -> ChannelList {
        let prefix = self.prefix.as_ref().map_or("", ChannelName::as_str);
        let after = self.after.as_ref().map_or("", ChannelName::as_str);
        let first = followed.partition_point(|it| it.as_str() < prefix || it.as_str() <= after);
        let mut wanted = followed[first..]
            .iter()
            .take_while(|it| it.as_str().starts_with(prefix))
            .filter(|it| may(it));
        let channels: Vec<_> = wanted
            .by_ref()
            .take(self.limit)
            .map(|name| ListedChannel { name: name.clone() })
            .collect();
        let last = channels.last().map(|channel| channel.name.clone());
        ChannelList {
            next: last.filter(|_| wanted.next().is_some()),
            channels,
        }
    }
}

/// A page of the channels that are followed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChannelList {
    channels: Vec<ListedChannel>,
    /// `after` for the next page; null where there is none.
    #[schema(value_type = Option<contract::Channel>, required)]
    next: Option<ChannelName>,
}

/// A channel that is followed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedChannel {
    #[schema(value_type = contract::Channel)]
    name: ChannelName,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> (Vec<String>, Option<String>) {
        let followed = ["a", "orders", "orders.eu", "orders.us", "z"];
        let followed = followed.map(|name| name.parse::<ChannelName>().unwrap());
        let wanted = Wanted::read(&Fields::from_query(query).unwrap()).unwrap();
        let page = wanted.page(&followed, |channel| channel.as_str() != "orders.us");
        let names = page.channels.iter().map(|it| it.name.to_string());
        (names.collect(), page.next.map(|next| next.to_string()))
    }

    #[test]
    fn pages_follow_each_other_and_leave_out_what_is_not_the_callers() {
        for (query, names, next) in [
            ("", &["a", "orders", "orders.eu", "z"][..], None),
            ("limit=2", &["a", "orders"], Some("orders")),
            ("limit=2&after=orders", &["orders.eu", "z"], None),
            ("prefix=orders", &["orders", "orders.eu"], None),
            ("prefix=orders&limit=1", &["orders"], Some("orders")),
            ("prefix=orders.&after=a", &["orders.eu"], None),
            ("prefix=orders&after=orders.eu", &[], None),
            ("prefix=b", &[], None),
            ("after=zz", &[], None),
        ] {
            let (found, after) = page(query);
            assert_eq!((found.join(" "), after.as_deref()), (names.join(" "), next));
        }
    }
}
