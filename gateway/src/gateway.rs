//! The gateway as a whole: what it is made of, how it starts and ends, how a socket becomes a
//! connection.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::any};
use carillon_common::{
    auth::Claims,
    backend::{Backend, Membership},
    http::Health,
    ids::{GatewayId, SessionId, UserId},
    protocol::{ClientFrame, CloseCode, Dialect, ErrorCode, Request, ServerFrame},
    settings::Settings,
    telemetry::GatewayMetrics,
};
use futures_util::{SinkExt, StreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Uri, header};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{Request as Handshake, Response},
        protocol::WebSocketConfig,
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept,
    admission::Admission,
    bus::Bus,
    calls::Calls,
    channels::Channels,
    connection::{self, Opened, Socket, Surroundings},
    hello::{self, Hello, Since, TurnedAway},
    hub::{Handle, Hub},
    metrics::Metrics,
    refusals::Refusals,
    session::{Identity, Now, Rules, Session},
    upkeep,
};

/// A read buffer of its own costs every idle connection this much.
const READ_BUFFER: usize = 512;
/// What tungstenite writes itself is rare, and goes out at once.
const WRITE_BUFFER: usize = 0;

/// A running gateway.
pub struct Gateway {
    rules: Arc<Rules>,
    settings: Arc<Settings>,
    hub: Arc<Hub>,
    channels: Arc<Channels>,
    membership: Arc<dyn Membership>,
    around: Arc<Surroundings>,
    admission: Admission,
    refusals: Refusals,
    metrics: Metrics,
    health: Health,
    name: GatewayId,
    /// Everything this gateway has started, connections included.
    tasks: TaskTracker,
    /// Ends the upkeep, after the last connection.
    over: CancellationToken,
}

impl Gateway {
    /// Joins the deployment. `descriptors`: the hard limit of open files.
    ///
    /// # Errors
    /// A setting that does not fit this machine, a key that cannot be read, or a store that does
    /// not answer.
    pub fn start(
        settings: Arc<Settings>,
        backend: Arc<dyn Backend>,
        metrics: GatewayMetrics,
        health: Health,
        descriptors: u64,
    ) -> BoxFuture<'static, anyhow::Result<Arc<Self>>> {
        Box::pin(Self::started(
            settings,
            backend,
            metrics,
            health,
            descriptors,
        ))
    }

    async fn started(
        settings: Arc<Settings>,
        backend: Arc<dyn Backend>,
        metrics: GatewayMetrics,
        health: Health,
        descriptors: u64,
    ) -> anyhow::Result<Arc<Self>> {
        let verifier = settings.auth.credentials()?.verifier;
        let name = name(&settings)?;
        let limit = settings.gateway.connection_limit(descriptors)?;
        let admission = Admission::new(
            limit,
            settings.gateway.handshake_rate,
            settings.gateway.handshake_burst,
        );
        let tasks = TaskTracker::new();
        let over = CancellationToken::new();
        let metrics = Metrics::new(metrics);
        let hub = Arc::new(Hub::new(
            settings.gateway.per_user_connections,
            settings.socket.outbox_bytes,
        ));
        let channels = Arc::new(Channels::new(
            hub.clone(),
            settings.clone(),
            metrics.clone(),
            tasks.clone(),
        ));
        let bus = Arc::new(Bus::new(hub.clone(), channels.clone(), metrics.clone()));
        let membership = backend.join(name.clone(), bus.clone()).await?;
        channels.join_deployment(membership.clone()).await?;
        let calls = Calls::new(
            membership.clone(),
            hub.clone(),
            channels.clone(),
            metrics.clone(),
            tasks.clone(),
        );
        let around = Arc::new(Surroundings {
            calls,
            clock: backend.clock(),
            metrics: metrics.clone(),
            slow: settings.socket.slow_consumer_timeout,
            close_grace: settings.drain.close_grace,
        });
        let gateway = Arc::new(Self {
            rules: Arc::new(Rules::new((*settings).clone(), verifier)),
            refusals: Refusals::new(&settings.gateway),
            settings,
            hub,
            channels,
            membership,
            around,
            admission,
            metrics,
            health,
            name,
            tasks,
            over,
        });
        upkeep::start(&gateway, &bus, &backend);
        gateway.health.set_started();
        tracing::info!(gateway = %gateway.name, limit, "joined the deployment");
        Ok(gateway)
    }

    /// Its name in the deployment.
    pub fn name(&self) -> &GatewayId {
        &self.name
    }

    /// How many connections it has.
    pub fn connections(&self) -> usize {
        self.hub.len()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn channels(&self) -> &Arc<Channels> {
        &self.channels
    }

    pub(crate) fn membership(&self) -> &Arc<dyn Membership> {
        &self.membership
    }

    pub(crate) fn calls(&self) -> &Calls {
        &self.around.calls
    }

    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Serves until `shutdown`, then drains. `http` answers what is not a WebSocket upgrade.
    ///
    /// # Errors
    /// Never yet; a broken listener is logged and tried again.
    pub fn run(
        self: &Arc<Self>,
        listener: TcpListener,
        http: Router,
        shutdown: CancellationToken,
    ) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.serve(listener, http, shutdown))
    }

    async fn serve(
        self: &Arc<Self>,
        listener: TcpListener,
        http: Router,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let http = http.route(
            &self.settings.gateway.path,
            any(|| async { accept::upgrade_required() }),
        );
        let stop = CancellationToken::new();
        let accepting = accept::accept(self, listener, http, stop.clone(), &self.tasks);
        tokio::pin!(accepting);
        tokio::select! {
            () = &mut accepting => {}
            () = shutdown.cancelled() => {}
        }
        self.health.set_draining();
        self.metrics.all.draining.set(1);
        tracing::info!(connections = self.hub.len(), "draining");
        // Still accepting: whoever routes to us has yet to hear of it.
        drop(timeout(self.settings.drain.delay, &mut accepting).await);
        stop.cancel();
        accepting.await;
        self.drain("draining").await;
        self.over.cancel();
        self.tasks.close();
        // Calls that are still under way are the last words about connections, and bounded.
        drop(timeout(Duration::from_secs(20), self.tasks.wait()).await);
        if let Err(error) = self.membership.leave().await {
            tracing::warn!(%error, "the lease could not be given up; it will be reaped");
        }
        tracing::info!("drained");
        Ok(())
    }

    /// Makes a connection of a socket whose upgrade request was looked at.
    pub(crate) async fn upgrade(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        uri: Uri,
        headers: HeaderMap,
    ) -> Option<Box<Opened>> {
        let place = match self.admission.admit(Instant::now()) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(refused.reason);
                accept::refuse(stream, &refused).await;
                return None;
            }
        };
        let hello = Hello::read(&uri, &headers, &self.settings.gateway);
        let protocol = hello::answered(&headers);
        let within = self.settings.gateway.handshake_timeout;
        let socket = match timeout(within, self.handshake(stream, protocol)).await {
            Ok(Some(socket)) => socket,
            _ => {
                self.rejected("handshake");
                return None;
            }
        };
        match hello {
            Ok(hello) => self.welcome(socket, peer, hello, place).await,
            Err(TurnedAway { code, reason }) => {
                self.rejected(reason);
                connection::turn_away(socket, code, reason).await;
                None
            }
        }
    }

    /// Runs a connection to its end.
    pub(crate) async fn hold(&self, opened: Box<Opened>) {
        self.metrics.all.connections_opened.inc();
        self.metrics.all.connections.inc();
        let handle = opened.handle.clone();
        let end = connection::run(opened, &self.around).await;
        self.hub.remove(&handle);
        self.metrics.all.connections.dec();
        let code = end.code.to_string();
        self.metrics
            .all
            .connections_closed
            .with_label_values(&[&code, end.initiator])
            .inc();
        tracing::debug!(code = end.code, initiator = end.initiator, "closed");
    }

    fn rejected(&self, reason: &str) {
        self.metrics
            .all
            .handshakes_rejected
            .with_label_values(&[reason])
            .inc();
    }

    async fn handshake(&self, stream: TcpStream, protocol: Option<HeaderValue>) -> Option<Socket> {
        let frame_bytes = self.settings.socket.frame_bytes;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        #[expect(
            clippy::result_large_err,
            reason = "the callback's type is tungstenite's"
        )]
        let answer = |_: &Handshake, mut response: Response| {
            if let Some(name) = protocol {
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_PROTOCOL, name);
            }
            Ok(response)
        };
        accept_hdr_async_with_config(stream, answer, Some(config))
            .await
            .ok()
    }

    /// Authenticates, and opens the session.
    async fn welcome(
        &self,
        mut socket: Socket,
        peer: SocketAddr,
        mut hello: Hello,
        place: OwnedSemaphorePermit,
    ) -> Option<Box<Opened>> {
        let mut authenticated = None;
        if hello.token.is_none() && hello.dialect == Dialect::V1 {
            let within = self.settings.gateway.auth_timeout;
            if let Ok(Some((token, reference))) = timeout(within, first_frame(&mut socket)).await {
                hello.token = Some(token);
                authenticated = Some(reference);
            }
        }
        let now = self.around.clock.now();
        let verdict = match &hello.token {
            None => Err("token_missing"),
            Some(token) => self
                .rules
                .verifier
                .verify(token, now)
                .map_err(|error| error.code()),
        };
        let user = verdict.and_then(|claims| match UserId::new(&claims.sub) {
            Ok(user) => Ok((user, claims)),
            Err(_) => Err("token_claim"),
        });
        let (user, claims) = match user {
            Ok(user) => user,
            Err(reason) => {
                self.turn_away_unauthenticated(socket, peer, hello.token.as_deref(), reason)
                    .await;
                return None;
            }
        };
        if let Some(reference) = authenticated {
            let expires_at = carillon_common::notification::rfc3339(claims.exp_ms);
            let frame = ServerFrame::Authenticated {
                reference: reference.as_ref(),
                expires_at,
            };
            socket.send(Message::text(frame.encode())).await.ok()?;
        }
        if hello.since == Since::Unreadable && hello.dialect == Dialect::V1 {
            let frame = ServerFrame::Error {
                reference: None,
                code: ErrorCode::InvalidField,
                message: "\"since\" is not a cursor that this service gave out; it is ignored",
                retryable: false,
                channel: None,
            };
            socket.send(Message::text(frame.encode())).await.ok()?;
        }
        self.open(socket, hello, user, claims, place).await
    }

    async fn open(
        &self,
        socket: Socket,
        hello: Hello,
        user: UserId,
        claims: Claims,
        place: OwnedSemaphorePermit,
    ) -> Option<Box<Opened>> {
        let now = Now {
            mono: Instant::now(),
            wall: self.around.clock.now(),
        };
        let identity = Identity {
            opened: now.wall,
            user,
            device: hello.device,
            session: hello.session.unwrap_or_else(new_session),
            dialect: hello.dialect,
            since: match hello.since {
                Since::At(cursor) if hello.dialect == Dialect::V1 => Some(cursor),
                _ => None,
            },
        };
        let handle = Handle::new(
            identity.user.clone(),
            identity.device.clone(),
            identity.session.clone(),
        );
        // In the hub before it is registered: hints may come at once.
        if !self.hub.insert(&handle) {
            let code = CloseCode::TooManyConnections;
            self.rejected(code.reason());
            connection::turn_away(socket, code, code.reason()).await;
            return None;
        }
        let mut first = Vec::new();
        let broadcast = self.channels.broadcast_position();
        let session = Session::open(
            self.rules.clone(),
            identity,
            claims,
            broadcast,
            now,
            &mut first,
        );
        Some(Box::new(Opened {
            socket,
            session,
            first,
            handle,
            place,
        }))
    }

    async fn turn_away_unauthenticated(
        &self,
        socket: Socket,
        peer: SocketAddr,
        token: Option<&str>,
        reason: &'static str,
    ) {
        self.rejected(reason);
        if let Some((hold, _place)) =
            token.and_then(|token| self.refusals.refuse(peer.ip(), token, Instant::now()))
        {
            tokio::select! {
                () = tokio::time::sleep(hold) => {}
                () = self.over.cancelled() => {}
            }
        }
        connection::turn_away(socket, CloseCode::Unauthenticated, reason).await;
    }
}

/// The token of the first frame, if that is an `auth`.
async fn first_frame(
    socket: &mut Socket,
) -> Option<(String, Option<carillon_common::protocol::Ref>)> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => {
                return match ClientFrame::parse(&text).ok()? {
                    ClientFrame {
                        request: Request::Auth { token },
                        reference,
                    } => Some((token, reference)),
                    _ => None,
                };
            }
            Message::Ping(_) | Message::Pong(_) => {}
            _ => return None,
        }
    }
}

fn new_session() -> SessionId {
    #[expect(
        clippy::expect_used,
        reason = "a UUID is within the rule for session names"
    )]
    SessionId::new(&uuid::Uuid::new_v4().simple().to_string()).expect("a UUID is a valid session")
}

fn name(settings: &Settings) -> anyhow::Result<GatewayId> {
    if let Some(name) = settings.gateway_name()? {
        return Ok(name);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.'))
        .take(40)
        .collect();
    Ok(GatewayId::new(&format!(
        "{host}-{:08x}",
        rand::random::<u32>()
    ))?)
}
