//! A wire that can be cut: the page's sockets go through this process to a gateway, byte by byte, so that one can
//! end as in a network that fails, which no page can bring about itself.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use carillon_common::http::Problem;
use http::{StatusCode, Uri};
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, net::TcpStream};
use url::form_urlencoded;

use super::{Demo, gateways::Wire};

/// Asks a gateway what the page asks, and carries what follows.
pub(super) async fn lay(State(demo): State<Arc<Demo>>, mut request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let session = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "session")
        .map(|(_, session)| session.into_owned());
    let wire = match demo.gateways.lay(session.unwrap_or_default()).await {
        Ok(wire) => wire,
        Err(error) => return unavailable(&format!("no gateway for the page: {error:#}")),
    };
    let asked = onward(&request, demo.gateways.path());
    let mut answer = match ask(asked, wire.address).await {
        Ok(answer) => answer,
        Err(error) => return unavailable(&error.to_string()),
    };
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (page, gateway) = (upgrade::on(&mut request), upgrade::on(&mut answer));
        demo.gateways.tasks.spawn(carry(page, gateway, wire));
    }
    answer.map(Body::new).into_response()
}

/// The same request, to the gateway's own path.
fn onward(request: &Request, path: &str) -> Result<Request, http::Error> {
    let target = format!("{path}?{}", request.uri().query().unwrap_or_default());
    let mut onward = Request::new(Body::empty());
    *onward.uri_mut() = Uri::try_from(target)?;
    *onward.headers_mut() = request.headers().clone();
    Ok(onward)
}

async fn ask(
    request: Result<Request, http::Error>,
    gateway: SocketAddr,
) -> anyhow::Result<http::Response<Incoming>> {
    let stream = TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request?).await?)
}

/// Until one side ends, or the wire is cut: then neither hears a word.
async fn carry(page: OnUpgrade, gateway: OnUpgrade, wire: Wire) {
    let (Ok(page), Ok(gateway)) = tokio::join!(page, gateway) else {
        return;
    };
    let (mut page, mut gateway) = (TokioIo::new(page), TokioIo::new(gateway));
    let carrying = copy_bidirectional(&mut page, &mut gateway);
    // How it ended is the business of those at its ends.
    drop(wire.cut.run_until_cancelled(carrying).await);
}

fn unavailable(detail: &str) -> Response {
    Problem::new(503, "unavailable", "Unavailable")
        .detail(detail)
        .into_response()
}
