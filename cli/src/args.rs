//! Where the services are, and who asks them: the arguments that several commands have.

use std::{path::PathBuf, time::Duration};

use carillon_client::{Api, Error, Secret, TokenSource};
use carillon_common::auth::CredentialKind;
use clap::Args;
use url::Url;

use crate::{
    failure::Failure,
    input::{duration, secret_file, secret_variable, text},
};

/// Where the API is and who calls.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// The dispatcher [default is standalone's; a dispatcher of its own listens on 8081]
    #[arg(
        long,
        value_name = "URL",
        env = "CARILLON_API",
        default_value = "http://127.0.0.1:8080"
    )]
    api: String,
    /// File with the API key [or the environment's CARILLON_API_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The API key; other users of this machine can see it, prefer the file or the variable
    #[arg(long, value_name = "KEY", conflicts_with = "key_file", value_parser = text, allow_hyphen_values = true)]
    key: Option<String>,
    /// How long a call is tried again while the service is away, always under one idempotency key; the
    /// last attempt is at the end of this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    retry_for: Duration,
}

impl ApiArgs {
    /// A client of that API.
    pub(crate) fn client(&self) -> Result<Api, Failure> {
        let key = match (&self.key_file, &self.key) {
            (Some(file), _) => secret_file(file)?,
            (None, Some(key)) => Secret::new(key.clone()),
            (None, None) => secret_variable("CARILLON_API_KEY").ok_or_else(|| {
                Failure::Usage(
                    "no API key: pass --key-file FILE or set CARILLON_API_KEY \
                     (`carillon apikey new` makes one)"
                        .to_owned(),
                )
            })?,
        };
        match CredentialKind::of(key.expose()) {
            Some(CredentialKind::Token) => Err(Failure::Usage(
                "this is a token (JWT), which clients show to a gateway: a call of the API needs an \
                 API key, which begins with ck_ (`carillon apikey new` makes one)"
                    .to_owned(),
            )),
            Some(CredentialKind::KeyHash) => Err(Failure::Usage(
                "this is the hash of an API key, as the configuration holds it: pass the key itself, \
                 which begins with ck_"
                    .to_owned(),
            )),
            Some(CredentialKind::ApiKey) | None => {
                Api::new(&self.api, key, self.retry_for).map_err(|error| match error {
                    Error::Address(error) => Failure::Usage(format!("--api {error}")),
                    error => error.into(),
                })
            }
        }
    }
}

/// Where the token of a client comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    /// File with the token, read again at every connection [or the environment's CARILLON_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token; other users of this machine can see it, prefer the file or the variable
    #[arg(long, value_name = "JWT", conflicts_with = "token_file", value_parser = text, allow_hyphen_values = true)]
    token: Option<String>,
}

impl TokenArgs {
    pub(crate) fn source(&self) -> Result<TokenSource, Failure> {
        match (&self.token_file, &self.token) {
            (Some(file), _) => {
                let file = file.clone();
                let read = move || secret_file(&file).map_err(|failure| failure.to_string().into());
                Ok(TokenSource::new(read))
            }
            (None, Some(token)) => Ok(TokenSource::fixed(token)),
            (None, None) => match secret_variable("CARILLON_TOKEN") {
                Some(token) => Ok(TokenSource::fixed(token.expose())),
                None => {
                    let text = "no token: pass --token-file FILE or set CARILLON_TOKEN \
                                (`carillon token mint` makes one)";
                    Err(Failure::Usage(text.to_owned()))
                }
            },
        }
    }
}

/// The gateway that `--url` names.
pub(crate) fn gateway_url(given: &str) -> Result<Url, Failure> {
    carillon_client::gateway_url(given).map_err(|error| Failure::Usage(format!("--url {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_address_is_told_with_its_option() {
        let args = ApiArgs {
            api: "localhost:8081".to_owned(),
            key_file: None,
            key: Some("ck_key".to_owned()),
            retry_for: Duration::ZERO,
        };
        for (told, failure) in [
            ("--api localhost:8081: has no", args.client().unwrap_err()),
            ("--url h:1: has no scheme", gateway_url("h:1").unwrap_err()),
        ] {
            assert!(matches!(failure, Failure::Usage(_)), "{failure}");
            assert!(failure.to_string().starts_with(told), "{failure}");
        }
    }
}
