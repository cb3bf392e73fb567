//! A dispatcher that is played, as the tests of the client have it.

#[path = "../../../client/rust/src/api/tests/dispatcher.rs"]
mod dispatcher;

use std::time::Duration;

use carillon_client::{Api, Secret};
use dispatcher::{Asked, play};

/// A client of a dispatcher that gives these answers in turn, the last one for ever, and what it was asked.
pub(super) async fn dispatcher(answers: &'static [(u16, &'static str)]) -> (Api, Asked) {
    let (base, asked) = play(answers).await;
    let key = Secret::new("ck_test".to_owned());
    (
        Api::new(&base, key, Duration::from_secs(20)).unwrap(),
        asked,
    )
}
