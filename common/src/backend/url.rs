//! A store's address: in memory, or Redis as one server, with Sentinel, or a Cluster. The settings read it once.

mod error;

use std::fmt;
use std::path::PathBuf;

pub use error::UrlError;

use crate::tls::Tls;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Host and port of one Redis process. IPv6 hosts are kept without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// A host name or an IP address.
    pub host: String,
    /// A TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port` as Redis writes it (an IPv6 host without brackets, an empty host for
    /// "the one you asked").
    pub(crate) fn from_redis(text: &str, asked: &Address) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.split('@').next()?.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if host.is_empty() { &asked.host } else { host };
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// How the primaries are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deployment {
    /// One process owns every partition.
    Standalone(Address),
    /// The sentinels know the one primary of `service`.
    Sentinel {
        /// Asked in turn.
        sentinels: Vec<Address>,
        /// The name of the primary in the sentinels' configuration.
        service: String,
    },
    /// Several primaries share the 16 384 slots.
    Cluster {
        /// Any nodes of the cluster; the others are learned from them.
        seeds: Vec<Address>,
    },
}

/// A user and a password; the password shows in no output.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user, `default` if absent.
    pub user: Option<String>,
    /// The password in clear.
    pub password: Option<String>,
    /// The file that holds it instead.
    pub password_file: Option<PathBuf>,
}

impl Credentials {
    /// Whether there is anything to log in with.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The password, from its file if it is in one. A line break at the file's end is not part of it.
    ///
    /// # Errors
    /// Why the file gives none.
    pub fn read_password(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.password_file else {
            return Ok(self.password.clone());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{} is empty", path.display())),
            password => Ok(Some(password.to_owned())),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("password_file", &self.password_file)
            .finish()
    }
}

/// Which store a service works with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreUrl {
    /// In the process itself.
    #[default]
    Memory,
    /// A Redis deployment.
    Redis(Box<RedisUrl>),
}

impl StoreUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The first thing found wrong, with its remedy.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        match text.trim().split_once("://") {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => Err(UrlError::Memory),
            _ => RedisUrl::parse(text).map(|url| Self::Redis(Box::new(url))),
        }
    }

    /// Whether it is in memory, so of one process alone.
    pub fn is_memory(&self) -> bool {
        *self == Self::Memory
    }
}

/// A parsed Redis URL. `Debug` and `Display` leave the passwords out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    /// Where the primaries are.
    pub deployment: Deployment,
    /// For the data nodes.
    pub credentials: Credentials,
    /// For the sentinels, which keep users of their own.
    pub sentinel_credentials: Credentials,
    /// The database number, 0 in Cluster.
    pub db: u32,
    /// Present for the `rediss` schemes.
    pub tls: Option<Tls>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Standalone,
    Sentinel,
    Cluster,
}

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// The first thing found wrong, with its remedy.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or_default();
        let (tls, kind) = match scheme {
            "redis" => (None, Kind::Standalone),
            "rediss" => (Some(Tls::default()), Kind::Standalone),
            "redis+sentinel" => (None, Kind::Sentinel),
            "rediss+sentinel" => (Some(Tls::default()), Kind::Sentinel),
            "redis+cluster" => (None, Kind::Cluster),
            "rediss+cluster" => (Some(Tls::default()), Kind::Cluster),
            other => return Err(UrlError::Scheme(other.to_owned())),
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Unescaped);
        }
        let (authority, tail) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        // A password as it is, and not as a URL has it, tears the URL apart in the wrong place.
        if tail.contains(['@', '#']) || userinfo.contains(['@', '&']) {
            return Err(UrlError::Unescaped);
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        let default_port = if kind == Kind::Sentinel {
            SENTINEL_PORT
        } else {
            PORT
        };
        let hosts = parse_hosts(hosts, default_port)?;
        let mut parts = path
            .trim_matches('/')
            .split('/')
            .filter(|part| !part.is_empty());

        let deployment = match kind {
            Kind::Standalone => {
                let secure = if tls.is_some() { "rediss" } else { "redis" };
                let [host] =
                    <[Address; 1]>::try_from(hosts).map_err(|_| UrlError::OneHost(secure))?;
                Deployment::Standalone(host)
            }
            Kind::Sentinel => {
                let service = decode(parts.next().ok_or(UrlError::Service)?, "primary's name")?;
                Deployment::Sentinel {
                    sentinels: hosts,
                    service,
                }
            }
            Kind::Cluster => Deployment::Cluster { seeds: hosts },
        };
        let db = match parts.next() {
            None => 0,
            Some(number) => number.parse().map_err(|_| UrlError::Database)?,
        };
        if kind == Kind::Cluster && db != 0 {
            return Err(UrlError::Database);
        }
        if parts.next().is_some() {
            return Err(UrlError::Path);
        }
        let credentials = parse_userinfo(userinfo)?;
        let mut url = Self {
            deployment,
            credentials,
            sentinel_credentials: Credentials::default(),
            db,
            tls,
        };
        url.apply_query(query)?;
        Ok(url)
    }

    fn apply_query(&mut self, query: &str) -> Result<(), UrlError> {
        let sentinel = matches!(self.deployment, Deployment::Sentinel { .. });
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (at, pair) in pairs.enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "ca_file" => match &mut self.tls {
                    Some(tls) => tls.ca_file = Some(decode(value, "ca_file")?.into()),
                    None => return Err(UrlError::Misplaced("ca_file", "rediss")),
                },
                "sentinel_username" if sentinel => {
                    self.sentinel_credentials.user = Some(decode(value, "sentinel_username")?);
                }
                "sentinel_password" if sentinel => {
                    self.sentinel_credentials.password = Some(decode(value, "sentinel_password")?);
                }
                "sentinel_username" => {
                    return Err(UrlError::Misplaced("sentinel_username", "+sentinel"));
                }
                "sentinel_password" => {
                    return Err(UrlError::Misplaced("sentinel_password", "+sentinel"));
                }
                "insecure" => return Err(UrlError::Insecure),
                _ => return Err(UrlError::Parameter(at + 1)),
            }
        }
        Ok(())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, hosts, service) = match &self.deployment {
            Deployment::Standalone(host) => ("", std::slice::from_ref(host), None),
            Deployment::Sentinel { sentinels, service } => {
                ("+sentinel", sentinels.as_slice(), Some(service))
            }
            Deployment::Cluster { seeds } => ("+cluster", seeds.as_slice(), None),
        };
        write!(
            f,
            "redis{}{kind}://",
            if self.tls.is_some() { "s" } else { "" }
        )?;
        match (&self.credentials.user, &self.credentials.password) {
            (None, None) => {}
            (user, None) => write!(f, "{}@", user.as_deref().unwrap_or(""))?,
            (user, Some(_)) => write!(f, "{}:***@", user.as_deref().unwrap_or(""))?,
        }
        let hosts: Vec<String> = hosts.iter().map(Address::to_string).collect();
        write!(f, "{}", hosts.join(","))?;
        if let Some(service) = service {
            write!(f, "/{service}")?;
        }
        match self.db {
            0 => Ok(()),
            db => write!(f, "/{db}"),
        }
    }
}

fn parse_hosts(text: &str, default_port: u16) -> Result<Vec<Address>, UrlError> {
    text.split(',')
        .enumerate()
        .map(|(i, host)| parse_host(i + 1, host, default_port))
        .collect()
}

fn parse_host(position: usize, text: &str, default_port: u16) -> Result<Address, UrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or(UrlError::Port(position))?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(UrlError::Port(position)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::Host(position));
    }
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(UrlError::Port(position)),
        },
    };
    Ok(Address {
        host: host.to_owned(),
        port,
    })
}

fn parse_userinfo(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(decode(password, "password")?)),
        None => (text, None),
    };
    let user = if user.is_empty() {
        None
    } else {
        Some(decode(user, "user")?)
    };
    Ok(Credentials {
        user,
        password,
        password_file: None,
    })
}

fn decode(text: &str, what: &'static str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(UrlError::Encoding(what));
        };
        bytes.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding(what))
}

#[cfg(test)]
mod tests;
