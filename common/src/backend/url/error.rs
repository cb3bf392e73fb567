//! What is wrong with a URL.

use std::fmt;

const SCHEMES: &str = "memory://, redis://, redis+sentinel:// or redis+cluster:// (with TLS rediss://, \
                       rediss+sentinel://, rediss+cluster://)";

/// Why a URL was refused. No variant repeats what may be part of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Not one of the schemes; empty if there is none at all.
    Scheme(String),
    /// Something behind `memory://`.
    Memory,
    /// A character that is part of a URL where it can only be part of a password.
    Unescaped,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    Encoding(&'static str),
    /// An empty host.
    Host(usize),
    /// A port that is not 1–65535.
    Port(usize),
    /// Several hosts where one is meant.
    OneHost(&'static str),
    /// Sentinel without a service name.
    Service,
    /// Not a database number, or one in Cluster.
    Database,
    /// Something after the path's last expected part.
    Path,
    /// An unknown `?name=`, by its place: it may be the rest of a password.
    Parameter(usize),
    /// A known parameter that does not fit the scheme.
    Misplaced(&'static str, &'static str),
    /// Certificate checks cannot be switched off.
    Insecure,
}

impl UrlError {
    /// What is wrong.
    pub fn problem(&self) -> String {
        match self {
            Self::Scheme(scheme) if is_word(scheme) => format!("there is no store `{scheme}://`"),
            Self::Scheme(_) => "is not a URL".to_owned(),
            Self::Memory => "memory:// has neither host nor path".to_owned(),
            Self::Unescaped => {
                "user or password hold a character that a URL has other uses for (one \
                                of @ / ? # % & or a space)"
                    .to_owned()
            }
            Self::Encoding(what) => format!("the {what} is not valid percent-encoded UTF-8"),
            Self::Host(at) => format!("host {at} is empty"),
            Self::Port(at) => format!("the port of host {at} is not a number from 1 to 65535"),
            Self::OneHost(scheme) => format!("{scheme}:// takes one host"),
            Self::Service => "the name of the primary is missing".to_owned(),
            Self::Database => "the database is not a number, or one of a cluster".to_owned(),
            Self::Path => "the path has too many parts".to_owned(),
            Self::Parameter(at) => format!("its parameter {at} is not known"),
            Self::Misplaced(name, scheme) => format!("`{name}` needs a {scheme} URL"),
            Self::Insecure => "`insecure` is not supported".to_owned(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Scheme(_) => format!("use {SCHEMES}"),
            Self::Memory => "write memory:// alone".to_owned(),
            Self::Unescaped | Self::Encoding(_) => {
                "leave user and password out of the URL and name backend.username and \
                 backend.password_file, or percent-encode them: @ %40, / %2F, ? %3F, # %23, % %25, \
                 & %26, space %20"
                    .to_owned()
            }
            Self::Host(_) => "write host:port".to_owned(),
            Self::Port(_) => "write host:port, an IPv6 host in brackets ([::1]:6379)".to_owned(),
            Self::OneHost(scheme) => {
                format!("for several use {scheme}+sentinel:// or {scheme}+cluster://")
            }
            Self::Service => "write it after the hosts: …:26379/mymaster".to_owned(),
            Self::Database => "write …/0; a cluster has none but 0".to_owned(),
            Self::Path => "end it with the database's number".to_owned(),
            Self::Parameter(_) => {
                "known are ca_file, sentinel_username and sentinel_password; an & \
                                   within one of them is %26"
                    .to_owned()
            }
            Self::Misplaced(_, scheme) => format!("leave it out, or use a {scheme} URL"),
            Self::Insecure => "name the authority to trust in backend.ca_file".to_owned(),
        }
    }
}

/// Whether it looks like a scheme, and not like a secret in the wrong place.
fn is_word(scheme: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || "+-.".contains(c);
    !scheme.is_empty() && scheme.len() <= 20 && scheme.chars().all(letters)
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem(), self.remedy())
    }
}

impl std::error::Error for UrlError {}
