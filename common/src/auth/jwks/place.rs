//! Where an issuer publishes its keys.

use std::path::PathBuf;

use url::{Host, Url};

/// Longest URL, in bytes.
const MAX_BYTES: usize = 2048;

/// A URL, and whom its host is believed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(super) url: Url,
    /// The authorities to trust instead of the public ones.
    pub(super) ca_file: Option<PathBuf>,
}

impl Place {
    /// `http`: whether another machine may be asked without TLS. Whoever can answer in its name can sign.
    ///
    /// # Errors
    /// What is wrong with the URL, and the remedy.
    pub(in crate::auth) fn new(
        url: &str,
        ca_file: Option<PathBuf>,
        http: bool,
    ) -> Result<Self, (&'static str, &'static str)> {
        let remedy =
            "write where the issuer's keys are, such as \"https://id.example.com/jwks.json\"";
        let parsed = Url::parse(url).ok().filter(|_| url.len() <= MAX_BYTES);
        let url = parsed
            .filter(Url::has_host)
            .ok_or(("is not a URL", remedy))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(("holds a user or password", "publish the keys to everyone"));
        }
        if url.fragment().is_some() {
            return Err(("has a fragment (#), which no server sees", remedy));
        }
        match url.scheme() {
            "https" => {}
            "http" if http || is_this_machine(&url) => {}
            "http" => {
                let remedy =
                    "use https; where the network itself is to be trusted, set auth.jwks_http";
                return Err(("would fetch keys from another machine without TLS", remedy));
            }
            _ => return Err(("is neither https nor http", remedy)),
        }
        Ok(Self { url, ca_file })
    }

    /// Its host, for the log.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_unless_they_come_from_here() {
        for (url, fits, fits_with_http) in [
            ("https://id.example.com/jwks.json", true, true),
            ("https://id.example.com:8443/realms/a/certs?x=1", true, true),
            ("https://10.0.0.1/", true, true),
            ("http://127.0.0.1:8000/jwks", true, true),
            ("http://127.9.9.9/jwks", true, true),
            ("http://[::1]:8000/jwks", true, true),
            ("http://localhost/jwks", true, true),
            ("http://id.localhost/jwks", false, true),
            ("http://id.example.com/jwks", false, true),
            ("http://localhost.example.com/jwks", false, true),
            ("http://10.0.0.1/jwks", false, true),
            ("http://169.254.169.254/latest", false, true),
            ("ftp://id.example.com/jwks", false, false),
            ("file:///etc/passwd", false, false),
            ("https://", false, false),
            ("id.example.com/jwks", false, false),
            ("https://user:pass@id.example.com/jwks", false, false),
            ("https://id.example.com/jwks#a", false, false),
        ] {
            let judged = [false, true].map(|http| Place::new(url, None, http).is_ok());
            assert_eq!(judged, [fits, fits_with_http], "{url}");
        }
        let long = format!("https://id.example.com/{}", "a".repeat(MAX_BYTES));
        assert!(Place::new(&long, None, true).is_err());
    }
}
