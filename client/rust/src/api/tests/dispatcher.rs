//! A dispatcher that is played, for tests of whoever calls one.

use std::sync::Arc;

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse};
use parking_lot::Mutex;
use tokio::net::TcpListener;

/// What was asked: path, idempotency key, authorization.
pub(crate) type Asked = Arc<Mutex<Vec<[String; 3]>>>;

/// A dispatcher that gives these answers in turn, the last one for ever: its address, and what it was asked.
pub(crate) async fn play(answers: &'static [(u16, &'static str)]) -> (String, Asked) {
    let asked = Asked::default();
    let seen = asked.clone();
    let answer = move |request: Request| {
        let header = |name: &str| {
            let value = request.headers().get(name);
            value.map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let mut seen = seen.lock();
        seen.push([
            request.uri().path().to_owned(),
            header("idempotency-key"),
            header("authorization"),
        ]);
        let (status, body) = answers[(seen.len() - 1).min(answers.len() - 1)];
        std::future::ready((StatusCode::from_u16(status).unwrap(), body).into_response())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    (base, asked)
}
