//! `--api`: where the dispatcher is.

use url::Url;

use crate::failure::Failure;

/// The address that `--api` names, told how to write it where it is none.
pub(super) fn read(given: &str) -> Result<Url, Failure> {
    let wrong = |why: String| Err(Failure::Usage(format!("--api {given}: {why}")));
    let Some((scheme, rest)) = given.split_once("://") else {
        return wrong(format!(
            "has no scheme; write http://{given} or https://{given}"
        ));
    };
    match (scheme, Url::parse(given)) {
        ("http" | "https", Ok(url)) => Ok(url),
        ("http" | "https", Err(error)) => wrong(format!("is no URL: {error}")),
        ("ws" | "wss", _) => wrong(format!(
            "is a gateway's, for sockets; REST is the dispatcher's: http://{rest}, at its port"
        )),
        _ => wrong("must start with http:// or https://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_none_is_told_how_to_be_one() {
        assert!(read("http://127.0.0.1:8081").is_ok());
        assert!(read("https://api.example.com/carillon").is_ok());
        for (given, told) in [
            ("127.0.0.1:8081", "write http://127.0.0.1:8081 or"),
            ("localhost:8081", "write http://localhost:8081 or"),
            (
                "ws://localhost:8080",
                "REST is the dispatcher's: http://localhost:8080",
            ),
            ("redis://localhost", "must start with http://"),
            ("http://", "is no URL"),
        ] {
            let failure = read(given).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)), "{given}");
            assert!(failure.to_string().contains(told), "{failure}");
        }
    }
}
