//! `carillon token`

use std::{path::PathBuf, process::ExitCode, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use carillon_common::{
    auth::{CredentialKind, NewToken, TokenTimes, Verifier, mint},
    ids::{TokenId, UserId},
    notification::rfc3339,
    settings::{IssuerSettings, SettingsErrors},
};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::revoke::{Revocations, Revoke};
use crate::{
    failure::Failure,
    input::{
        SigningArgs, duration, human, now_ms, secret_file, secret_variable, settings, stdin, text,
    },
    terminal::{Style, say, shown},
};

const MINT_EXAMPLES: &str = "\
Examples:
  carillon token mint --user alice --secret-file jwt.secret
  carillon token mint --user alice --ttl 8h --channels 'orders,private:team-*' --secret - < jwt.secret
  CARILLON_TOKEN=$(carillon token mint --user alice --secret-file jwt.secret) carillon subscribe

For development and for tests: in production, whoever authenticates your users signs their tokens.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  carillon token inspect eyJhbGciOi…
  carillon token inspect - < token.txt
  carillon token inspect - --config carillon.toml < token.txt
  carillon token inspect - --secret-file jwt.secret < token.txt

Without a configuration (--config, or CARILLON_CONFIG) and without a secret (--secret-file, or
CARILLON_SECRET) the signature is not checked: a token that looks well may still be forged.
Exit code 1 when a gateway would refuse the token.";

/// Make, read or revoke tokens
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Mint(Mint),
    Inspect(Inspect),
    Revoke(Revoke),
    Revocations(Revocations),
}

/// Sign a token for a user with HS256
#[derive(Debug, Args)]
#[command(after_help = MINT_EXAMPLES)]
pub(crate) struct Mint {
    /// The user's id (`sub`)
    #[arg(long, allow_hyphen_values = true)]
    user: UserId,
    /// How long it lasts
    #[arg(long, default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// Names and globs of channels that it opens beyond the public ones
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true, value_parser = text)]
    channels: Vec<String>,
    /// Its own id (`jti`), by which it can be revoked alone
    #[arg(long, allow_hyphen_values = true)]
    jti: Option<TokenId>,
    #[command(flatten)]
    signing: SigningArgs,
}

/// Show what a token says, and why it would be refused
#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct Inspect {
    /// The token; `-` reads it from stdin
    token: String,
    /// A gateway's configuration, to check signature, issuer and audience against
    #[arg(long, value_name = "FILE", env = "CARILLON_CONFIG")]
    config: Option<PathBuf>,
    /// File with the HS256 secret to check the signature with, instead of the configuration
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Token {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Mint(mint) => mint.run(),
            Self::Inspect(inspect) => inspect.run().await,
            Self::Revoke(revoke) => revoke.run().await,
            Self::Revocations(revocations) => revocations.run().await,
        }
    }
}

impl Mint {
    fn run(self) -> Result<ExitCode, Failure> {
        let issuer = self.signing.issuer()?;
        let now = now_ms() / 1000;
        let life = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        let channels: Vec<_> = self.channels.iter().map(String::as_str).collect();
        let token = NewToken {
            sub: self.user.as_str(),
            exp: now.saturating_add(life),
            iat: Some(now),
            channels: &channels,
            jti: self.jti.as_ref().map(TokenId::as_str),
            ..NewToken::default()
        };
        let token = mint(&issuer, &token).map_err(|error| Failure::Failed(error.to_string()))?;
        say(&token)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Inspect {
    async fn run(self) -> Result<ExitCode, Failure> {
        let token = match self.token.as_str() {
            "-" => stdin()?,
            token => token.to_owned(),
        };
        let token = token.trim();
        let now = now_ms();
        let parts = Parts::read(token);
        let mut objections = match &parts {
            Ok(parts) => parts.objections(now),
            Err(why) => vec![why.clone()],
        };
        let parts = parts.unwrap_or_default();
        let verifier = self.verifier(&parts).await?;
        if let Some(verifier) = &verifier {
            let refused = verifier.verify(token, now).err();
            objections.extend(refused.map(|error| error.to_string()));
        }
        objections.dedup();
        if self.json {
            let Parts { header, claims } = &parts;
            let object = json!({
                "header": header,
                "claims": claims,
                "signature_checked": verifier.is_some(),
                "objections": objections,
            });
            say(&object.to_string())?;
        } else {
            parts.show(now, &objections, verifier.is_some())?;
        }
        Ok(ExitCode::from(u8::from(!objections.is_empty())))
    }

    /// What it is checked against: a secret that was named, else the configuration, else the secret of
    /// the environment.
    async fn verifier(&self, parts: &Parts) -> Result<Option<Verifier>, Failure> {
        let secret = match (&self.secret_file, &self.config) {
            (Some(file), _) => Some(secret_file(file)?),
            (None, Some(config)) => {
                let auth = settings(Some(config))?.auth;
                return Ok(Some(auth.fetched_credentials().await?.verifier));
            }
            (None, None) => secret_variable("CARILLON_SECRET"),
        };
        let Some(secret) = secret else {
            return Ok(None);
        };
        let mut issuer = IssuerSettings::hs256("command line", secret.expose());
        // Only the signature is asked about; whom the token is meant for is the configuration's to say.
        issuer.audience = parts.claims["aud"].as_str().map(str::to_owned);
        Verifier::new(&[issuer], TokenTimes::default())
            .map(Some)
            .map_err(|errors| SettingsErrors(errors).into())
    }
}

/// The two readable parts of a token.
#[derive(Debug, Default)]
struct Parts {
    header: Value,
    claims: Value,
}

impl Parts {
    fn read(token: &str) -> Result<Self, String> {
        let parts: Vec<_> = token.split('.').collect();
        let [header, claims, _signature] = parts[..] else {
            return Err(match CredentialKind::of(token) {
                Some(CredentialKind::ApiKey) => {
                    "it is an API key, which services show to a dispatcher; a client's token is a JWT"
                }
                _ => "it is not a signed JWT: that has three parts with dots between",
            }
            .into());
        };
        Ok(Self {
            header: object("header", header)?,
            claims: object("claims", claims)?,
        })
    }

    /// Why every gateway would refuse it, whatever its keys are.
    fn objections(&self, now: i64) -> Vec<String> {
        let mut objections = Vec::new();
        let mut object = |text: String| objections.push(text);
        match self.header["alg"].as_str() {
            Some(
                "HS256" | "HS384" | "HS512" | "RS256" | "RS384" | "RS512" | "PS256" | "PS384"
                | "PS512" | "ES256" | "ES384" | "EdDSA",
            ) => {}
            Some("none") => object("it is not signed (alg: none)".into()),
            Some(other) => object(format!("the algorithm {} is not accepted", shown(other))),
            None => object("its header names no algorithm (alg)".into()),
        }
        if self.header.get("crit").is_some() {
            object("it demands an extension (crit)".into());
        }
        match self.claims["sub"].as_str().map(UserId::new) {
            None => object("it names no user (sub)".into()),
            Some(Err(error)) => object(format!("sub: {error}")),
            Some(Ok(_)) => {}
        }
        match self.time("exp") {
            None => object("it has no end (exp)".into()),
            Some(exp) if exp <= now => object(format!("it expired {} ago", distance(now, exp))),
            Some(_) => {}
        }
        for (claim, verb) in [("nbf", "begins"), ("iat", "was issued")] {
            if let Some(time) = self.time(claim).filter(|time| *time > now) {
                object(format!(
                    "it {verb} in {} ({claim}): is a clock wrong?",
                    distance(time, now)
                ));
            }
        }
        objections
    }

    /// A claim that is a time, in Unix milliseconds.
    fn time(&self, claim: &str) -> Option<i64> {
        let seconds = self.claims.get(claim)?.as_f64()?;
        // Saturates, which is right for dates out of range.
        Some((seconds * 1000.0) as i64)
    }

    fn show(&self, now: i64, objections: &[String], checked: bool) -> Result<(), Failure> {
        let style = Style::stdout();
        for (title, part) in [("header", &self.header), ("claims", &self.claims)] {
            for (name, value) in part.as_object().into_iter().flatten() {
                let mut line = format!("{title:<8}{name:<10}{}", shown(&value.to_string()));
                if let (true, Some(time)) = (
                    matches!(name.as_str(), "exp" | "nbf" | "iat"),
                    self.time(name),
                ) {
                    let apart = match time >= now {
                        true => format!("in {}", distance(time, now)),
                        false => format!("{} ago", distance(now, time)),
                    };
                    line += &style.dim(&format!("  {} ({apart})", rfc3339(time)));
                }
                say(&line)?;
            }
        }
        for objection in objections {
            say(&format!("{} {objection}", style.red("refused:")))?;
        }
        match (objections, checked) {
            ([], true) => say(&style.green("its signature is right, and a gateway accepts it"))?,
            ([], false) => say(&style.yellow(
                "nothing against it, but its signature was not checked: pass --config FILE, as a \
                 gateway has it, or --secret-file FILE",
            ))?,
            _ => {}
        }
        Ok(())
    }
}

fn object(what: &str, part: &str) -> Result<Value, String> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| format!("it is not a JWT: its {what} is not base64url"))?;
    serde_json::from_slice(&bytes)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| format!("it is not a JWT: its {what} is not a JSON object"))
}

/// The time from `from` to `to`, in whole seconds.
fn distance(to: i64, from: i64) -> String {
    human(Duration::from_secs(to.abs_diff(from) / 1000))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn minted(exp: i64, iat: i64) -> String {
        let token = NewToken {
            sub: "alice",
            exp,
            iat: Some(iat),
            channels: &["a", "b*"],
            ..NewToken::default()
        };
        mint(&IssuerSettings::hs256("test", SECRET), &token).unwrap()
    }

    #[test]
    fn what_is_minted_can_be_read_and_verified() {
        let now = now_ms();
        let token = minted(now / 1000 + 60, now / 1000);
        let parts = Parts::read(&token).unwrap();
        assert_eq!(parts.objections(now), Vec::<String>::new());
        assert_eq!(parts.claims["channels"], json!(["a", "b*"]));
        let verifier = Verifier::new(
            &[IssuerSettings::hs256("test", SECRET)],
            TokenTimes::default(),
        )
        .unwrap();
        assert_eq!(&*verifier.verify(&token, now).unwrap().sub, "alice");
    }

    #[test]
    fn the_reason_of_a_refusal_is_told() {
        let told = |token: &str, now| match Parts::read(token) {
            Ok(parts) => parts.objections(now).join("; "),
            Err(why) => why,
        };
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let made =
            |header: &str, claims: &str| format!("{}.{}.x", encoded(header), encoded(claims));
        let good = r#"{"alg":"HS256"}"#;
        for (token, reason) in [
            (minted(100, 0), "expired 1m 40s ago"),
            (minted(1000, 900), "issued in 11m 40s"),
            (made(good, "{}"), "names no user (sub); it has no end (exp)"),
            (
                made(r#"{"alg":"none"}"#, r#"{"sub":"a","exp":999}"#),
                "not signed",
            ),
            (
                made(r#"{"alg":"ES512"}"#, r#"{"sub":"a","exp":999}"#),
                "ES512 is not accepted",
            ),
            (made(good, r#"{"sub":"","exp":999}"#), "1 to 255 bytes"),
            (made(good, r#"[1]"#), "claims is not a JSON object"),
            ("a.b".to_owned(), "three parts"),
            ("!.b.c".to_owned(), "not base64url"),
            ("ck_abc".to_owned(), "an API key"),
        ] {
            let told = told(&token, 200_000);
            assert!(told.contains(reason), "{told:?} does not say {reason:?}");
        }
    }

    #[tokio::test]
    async fn the_signature_is_checked_with_whatever_there_is() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "\u{feff}{SECRET}").unwrap();
        let now = now_ms();
        let token = minted(now / 1000 + 60, now / 1000);
        let inspect = async |token: &str| {
            let inspect = Inspect {
                token: token.to_owned(),
                config: None,
                secret_file: Some(file.path().to_owned()),
                json: true,
            };
            inspect.run().await.unwrap()
        };
        assert_eq!(inspect(&token).await, ExitCode::SUCCESS);
        let forged = mint(
            &IssuerSettings::hs256("other", &SECRET.replace('0', "x")),
            &NewToken {
                sub: "alice",
                exp: now / 1000 + 60,
                ..NewToken::default()
            },
        );
        assert_eq!(inspect(&forged.unwrap()).await, ExitCode::FAILURE);
    }
}
