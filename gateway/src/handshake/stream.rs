//! The way of a request for an event stream to a connection.

use http::{Method, Version, request::Parts};
use tokio::{
    io::AsyncWriteExt,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use super::{
    Guest, cors,
    deny::{Denied, deny, head_of},
    enter::{NotEntered, reason_for},
    forwarded,
    hello::{Hello, TurnedAway},
    refuse::last_answer,
    request::{Refusal, has_no_body, has_one_host, says_each_thing_once},
};
use crate::{
    connection::Arrived,
    limits::{Reason, Refused},
    parts::Gateway,
    stream::{self, Framing},
};

/// To a browser that asks what a page may send (Fetch standard, section 3.3.3), and for how long it knows.
const PREFLIGHT: &str = "HTTP/1.1 204 No Content\r\naccess-control-allow-methods: GET, HEAD\r\n\
                         access-control-allow-headers: authorization, last-event-id, cache-control\r\n\
                         access-control-max-age: 86400\r\n";

/// Who is let in, and its part of the gateway's limit.
type Entered = (Arrived, OwnedSemaphorePermit);

impl Gateway {
    /// Makes a stream of a request for one; any other is answered.
    pub(super) async fn stream(
        &self,
        mut guest: Guest,
        request: &Parts,
    ) -> Option<Box<stream::Opened>> {
        let rules = self.rules();
        let cors = cors::fields(&request.headers, &rules.settings);
        if request.method == Method::OPTIONS {
            let answer = format!("{PREFLIGHT}{cors}connection: close\r\n\r\n");
            last_answer(guest, answer.as_bytes()).await;
            return None;
        }
        let begun = Instant::now();
        match forwarded::client(guest.address, &request.headers, &rules.settings.gateway) {
            Ok(address) => guest.address = address,
            Err(refusal) => {
                self.rejected("handshake");
                deny(guest, request, &refusal.into(), &cors).await;
                return None;
            }
        }
        match self.enter_stream(&guest, request).await {
            Ok(Some(entered)) => {
                let opened = self
                    .begin_stream(guest, request.version, &cors, entered)
                    .await?;
                if !opened.arrived.handle.user.is_canary() {
                    let took = begun.elapsed().as_secs_f64();
                    self.metrics.all.handshake_duration.observe(took);
                }
                Some(opened)
            }
            Ok(None) => {
                let framing = Framing::of(request.version);
                let answer = stream::head(framing, self.settings.sse.retry, &cors);
                last_answer(guest, head_of(&answer)).await;
                None
            }
            Err(denied) => {
                deny(guest, request, &denied, &cors).await;
                None
            }
        }
    }

    /// Reachable and registered, before its client can see that. `None`: only the head of an answer is asked for.
    async fn enter_stream(
        &self,
        guest: &Guest,
        request: &Parts,
    ) -> Result<Option<Entered>, Denied> {
        if ![Method::GET, Method::HEAD].contains(&request.method) {
            self.rejected("handshake");
            return Err(Denied::by_method());
        }
        by_the_letter(request).inspect_err(|_| self.rejected("handshake"))?;
        self.admission
            .is_open()
            .inspect_err(|refused| self.rejected(refused.reason.as_str()))?;
        let rules = self.rules();
        let hello = Hello::of_stream(&request.uri, &request.headers, &rules.settings)
            .inspect_err(|away| self.rejected(away.reason))
            .inspect_err(|away| self.tell_of(away, &request.headers))?;
        let (user, claims) = self
            .authenticate(hello.shown.as_ref())
            .await
            .inspect_err(|reason| self.rejected(reason))
            .map_err(TurnedAway::by_token)?;
        if request.method == Method::HEAD {
            return Ok(None);
        }
        let place = self
            .let_in(&guest.stream, &user)
            .inspect_err(|refused| self.rejected(reason_for(&user, refused.reason.as_str())))?;
        match self.enter(&hello, guest.address, user, claims).await {
            Ok(arrived) => Ok(Some((arrived, place))),
            Err(NotEntered::TurnedAway(away)) => Err(away.into()),
            Err(NotEntered::Unregistered) => Err(Refused::later(Reason::Store).into()),
        }
    }

    /// Answers 200.
    async fn begin_stream(
        &self,
        guest: Guest,
        version: Version,
        cors: &str,
        (arrived, place): Entered,
    ) -> Option<Box<stream::Opened>> {
        let mut stream = guest.stream;
        let framing = Framing::of(version);
        let retry = self.settings.sse.retry;
        let retry = retry.mul_f64(rand::random_range(0.5..1.5));
        let head = stream::head(framing, retry, cors);
        let within = self.settings.gateway.handshake_timeout;
        if !matches!(timeout(within, stream.write_all(&head)).await, Ok(Ok(()))) {
            self.rejected("handshake");
            self.depart(arrived);
            return None;
        }
        Some(Box::new(stream::Opened {
            stream,
            framing,
            retry,
            arrived,
            place,
        }))
    }
}

/// What a proxy on the way could take for something else is refused.
fn by_the_letter(request: &Parts) -> Result<(), Refusal> {
    if request.version != Version::HTTP_10 {
        has_one_host(&request.headers)?;
    }
    has_no_body(&request.headers)?;
    says_each_thing_once(&request.uri, &request.headers)
}
