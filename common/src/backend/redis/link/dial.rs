//! Opens connections: log-in, encryption, and what a failure means.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError, TlsCertificates,
};

use super::error::{LinkError, fault_of};
use super::stats::LinkStats;
use super::{LinkSettings, probe};
use crate::backend::url::{Address, Credentials, RedisUrl};
use crate::backend::{Fault, FaultKind};

/// What receives push messages. It runs inside the connection's task and must never block.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// How long a connection is silent before the kernel asks the peer whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Everything but the address that opening a connection takes.
pub(crate) struct Dialer {
    pub(crate) url: RedisUrl,
    pub(crate) settings: LinkSettings,
    pub(crate) stats: Arc<LinkStats>,
}

impl Dialer {
    /// Opens a RESP3 connection to a data node and hands its push messages to `on_push`.
    pub(crate) async fn open(
        &self,
        address: &Address,
        on_push: OnPush,
    ) -> Result<MultiplexedConnection, LinkError> {
        let session = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.url.db.into());
        let config = self.config().set_push_sender(move |info| {
            on_push(info);
            Ok::<(), Infallible>(())
        });
        self.dial(address, session, &self.url.credentials, config)
            .await
    }

    /// Opens a connection to a sentinel.
    pub(crate) async fn open_sentinel(
        &self,
        address: &Address,
    ) -> Result<MultiplexedConnection, LinkError> {
        let session = RedisConnectionInfo::default();
        let credentials = &self.url.sentinel_credentials;
        let dialed = self.dial(address, session, credentials, self.config());
        dialed.await.map_err(|error| of_sentinel(address, error))
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.settings.connect_timeout))
            .set_response_timeout(Some(self.settings.response_timeout))
            .set_pipeline_buffer_size(self.settings.max_in_flight.clamp(1, 1024))
    }

    async fn dial(
        &self,
        address: &Address,
        session: RedisConnectionInfo,
        credentials: &Credentials,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, LinkError> {
        let opened = async {
            let session = log_in(session, credentials)?;
            let client = self.client(address, session)?;
            let opened = client
                .get_multiplexed_async_connection_with_config(&config)
                .await;
            match opened {
                Ok(connection) => Ok(connection),
                Err(error) => Err(self.why(address, &error).await),
            }
        };
        match opened.await {
            Ok(connection) => {
                self.stats.connects.inc();
                Ok(connection)
            }
            Err(error) => {
                self.stats.connect_failures.inc();
                self.stats.faults.report(&error);
                Err(error)
            }
        }
    }

    fn client(&self, address: &Address, session: RedisConnectionInfo) -> Result<Client, LinkError> {
        let (host, port) = (address.host.clone(), address.port);
        let target = match self.url.tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(_) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
        };
        // Keepalive finds a peer that vanished behind a connection nobody used for a while.
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
        let unusable = |error: RedisError| unavailable(address, &error);
        let info = target
            .into_connection_info()
            .map_err(unusable)?
            .set_tcp_settings(tcp)
            .set_redis_settings(session.set_lib_name("carillon", env!("CARGO_PKG_VERSION")));
        let Some(files) = &self.url.tls else {
            return Client::open(info).map_err(unusable);
        };
        let pem = files.read().map_err(|error| {
            let detail = format!("backend.{error}");
            LinkError::Refused(Fault::new(FaultKind::Misconfigured, detail))
        })?;
        let identity = |(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        };
        let certificates = TlsCertificates {
            client_tls: pem.identity.map(identity),
            root_cert: pem.authorities,
        };
        Client::build_with_tls(info, certificates).map_err(unusable)
    }

    /// What a failed attempt shows.
    async fn why(&self, address: &Address, error: &RedisError) -> LinkError {
        if let Some(fault) = answered(address, error) {
            return LinkError::Refused(fault);
        }
        match probe::explain(address, self.url.tls.as_ref(), error).await {
            Some(fault) => LinkError::Refused(fault),
            None => unavailable(address, error),
        }
    }
}

/// The session with the log-in, whose password may be in a file: one that was changed is used from the
/// next connection on.
fn log_in(
    session: RedisConnectionInfo,
    credentials: &Credentials,
) -> Result<RedisConnectionInfo, LinkError> {
    let password = credentials
        .read_password()
        .map_err(|detail| LinkError::Refused(Fault::new(FaultKind::Misconfigured, detail)))?;
    let session = match &credentials.user {
        Some(user) => session.set_username(user),
        None => session,
    };
    Ok(match (password, &credentials.user) {
        (Some(password), _) => session.set_password(password),
        // Without a password the library would not name the user either.
        (None, Some(_)) => session.set_password(""),
        (None, None) => session,
    })
}

/// The fault in what the server answered to the log-in.
fn answered(address: &Address, error: &RedisError) -> Option<Fault> {
    let fault = match error.kind() {
        ErrorKind::AuthenticationFailed => Fault::new(FaultKind::Auth, error.to_string()),
        ErrorKind::RESP3NotSupported => Fault::new(FaultKind::WrongServer, error.to_string()),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            fault_of(error.code()?, error.detail().unwrap_or_default())
        }
        _ => return None,
    };
    let reported = !matches!(fault.kind, FaultKind::NotReady | FaultKind::Unexpected);
    reported.then(|| Fault {
        detail: format!("{address}: {}", fault.detail),
        ..fault
    })
}

/// A sentinel keeps users of its own, so another setting is to be corrected.
pub(super) fn of_sentinel(address: &Address, error: LinkError) -> LinkError {
    match error {
        LinkError::Refused(fault) if fault.kind == FaultKind::Auth => {
            let detail = format!("sentinel {address}: {}", fault.detail);
            LinkError::Refused(Fault::new(FaultKind::Auth, detail).with_remedy(
                "correct backend.sentinel_username and backend.sentinel_password_file, or what \
                 stands for them in backend.url",
            ))
        }
        other => other,
    }
}

fn unavailable(address: &Address, error: &RedisError) -> LinkError {
    LinkError::Unavailable(format!("cannot connect to {address}: {error}"))
}
