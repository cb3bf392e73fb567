//! Where the services are: addresses as people write them.

use url::{Host, Url};

/// The gateway's endpoint, where an address names a server alone.
const ENDPOINT: &str = "/ws/notifications";

/// A text that is no address of a service; it says how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given}: {why}")]
pub struct AddressError {
    given: String,
    why: String,
}

impl AddressError {
    pub(crate) fn new(given: impl Into<String>, why: impl Into<String>) -> Self {
        let (given, why) = (given.into(), why.into());
        Self { given, why }
    }
}

/// The address of a gateway's WebSockets, completed: `http` becomes `ws`, as `https` becomes `wss`, for it
/// is the same address; no path becomes the endpoint's.
///
/// # Errors
/// When it is none.
pub fn gateway_url(given: &str) -> Result<Url, AddressError> {
    let wrong = |why: String| AddressError::new(given, why);
    let Some((scheme, rest)) = given.split_once("://") else {
        return Err(wrong(format!(
            "has no scheme; write ws://{given} or wss://{given}"
        )));
    };
    let scheme = match scheme {
        "ws" | "http" => "ws",
        "wss" | "https" => "wss",
        _ => return Err(wrong("must start with ws:// or wss://".to_owned())),
    };
    let mut url = Url::parse(&format!("{scheme}://{rest}"))
        .map_err(|error| wrong(format!("is no URL: {error}")))?;
    if url.path() == "/" {
        url.set_path(ENDPOINT);
    }
    Ok(url)
}

/// The address of a dispatcher's REST API.
///
/// # Errors
/// When it is none.
pub fn api_url(given: &str) -> Result<Url, AddressError> {
    let wrong = |why: String| AddressError::new(given, why);
    let Some((scheme, rest)) = given.split_once("://") else {
        return Err(wrong(format!(
            "has no scheme; write http://{given} or https://{given}"
        )));
    };
    match (scheme, Url::parse(given)) {
        ("http" | "https", Ok(mut url)) => {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
            Ok(url)
        }
        ("http" | "https", Err(error)) => Err(wrong(format!("is no URL: {error}"))),
        ("ws" | "wss", _) => Err(wrong(format!(
            "is a gateway's, for sockets; REST is the dispatcher's: http://{rest}, at its port"
        ))),
        _ => Err(wrong("must start with http:// or https://".to_owned())),
    }
}

/// Whether it is on this machine, where a proxy would be in the way.
#[must_use]
pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_address_is_completed() {
        for (given, completed) in [
            ("ws://h:1", "ws://h:1/ws/notifications"),
            ("https://h/", "wss://h/ws/notifications"),
            ("http://h:1/", "ws://h:1/ws/notifications"),
            ("wss://h/other", "wss://h/other"),
        ] {
            assert_eq!(gateway_url(given).unwrap().as_str(), completed);
        }
    }

    #[test]
    fn a_dispatchers_address_ends_without_a_slash() {
        for (given, read) in [
            ("http://127.0.0.1:8081", "http://127.0.0.1:8081/"),
            ("https://a.example/carillon/", "https://a.example/carillon"),
        ] {
            assert_eq!(api_url(given).unwrap().as_str(), read);
        }
    }

    #[test]
    fn an_address_that_is_none_is_told_how_to_be_one() {
        type Read = fn(&str) -> Result<Url, AddressError>;
        for (read, given, told) in [
            (gateway_url as Read, "redis://h", "ws:// or wss://"),
            (gateway_url, "h:8080", "write ws://h:8080"),
            (gateway_url, "ws://", "is no URL"),
            (gateway_url, "httpx://h", "ws:// or wss://"),
            (api_url, "127.0.0.1:8081", "write http://127.0.0.1:8081 or"),
            (api_url, "localhost:8081", "write http://localhost:8081 or"),
            (
                api_url,
                "ws://localhost:8080",
                "REST is the dispatcher's: http://localhost:8080",
            ),
            (api_url, "redis://localhost", "must start with http://"),
            (api_url, "http://", "is no URL"),
        ] {
            let error = read(given).unwrap_err().to_string();
            assert!(error.starts_with(given) && error.contains(told), "{error}");
        }
    }
}
