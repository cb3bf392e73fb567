//! Development without a configuration: credentials that live as long as the process, and what to
//! type next.

use std::{net::Ipv4Addr, time::Duration};

use crate::{
    failure::Failure,
    input::now_ms,
    terminal::{Style, say},
};
use carillon_common::{
    auth::{ApiKeys, NewToken, Secret, mint},
    notification::rfc3339,
    process::Addresses,
    settings::{ApiKeySettings, IssuerSettings, Scope, Settings},
};

/// Life of the printed tokens.
const TOKEN_LIFE: Duration = Duration::from_secs(86_400);
/// Nobody waits for a drain at a keyboard.
const DRAIN: Duration = Duration::from_secs(1);

/// The credentials of one process.
pub(crate) struct Dev {
    pub(crate) issuer: IssuerSettings,
    pub(crate) key: Secret<String>,
}

impl Dev {
    /// Makes credentials, and settings that accept them, on this machine alone.
    pub(crate) fn prepare(settings: &mut Settings) -> Self {
        let mut bytes = [0_u8; 32];
        rand::fill(&mut bytes);
        let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let issuer = IssuerSettings::hs256("dev", &secret);
        let (key, hash) = ApiKeys::generate();
        settings.auth.issuers.push(issuer.clone());
        settings.auth.api_keys.push(ApiKeySettings {
            name: "dev".to_owned(),
            hash,
            scopes: vec![
                Scope::Send,
                Scope::Broadcast,
                Scope::Read,
                Scope::Admin,
                Scope::Tickets,
            ],
            users: None,
            channels: None,
            sends_per_second: None,
            sends_burst: None,
        });
        settings.gateway.listen.set_ip(Ipv4Addr::LOCALHOST.into());
        settings.admin.listen.set_ip(Ipv4Addr::LOCALHOST.into());
        settings.drain.delay = Duration::ZERO;
        settings.drain.window = DRAIN;
        Self { issuer, key }
    }

    /// Says on stdout what there is and what to type next.
    pub(crate) fn greet(&self, at: &Addresses, settings: &Settings) -> Result<(), Failure> {
        let now = now_ms();
        let until = now + i64::try_from(TOKEN_LIFE.as_millis()).unwrap_or(i64::MAX);
        let (alice, bob) = (
            self.token("alice", now, until)?,
            self.token("bob", now, until)?,
        );
        let key = self.key.expose();
        let address = at.public;
        let path = &settings.gateway.path;
        let store = match settings.backend.store.is_memory() {
            true => "everything is in memory and ends with this process",
            false => "over the Redis that you named",
        };
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "carillon".to_owned());
        let style = Style::stdout();
        let row =
            |name: &str, value: &str| format!("  {} {value}", style.dim(&format!("{name:<9}")));
        let title = |text: &str| format!("\n{}", style.bold(text));
        let code = |text: &str| style.green(text);
        let lines = [
            style.bold(&format!(
                "Carillon {} for development",
                env!("CARGO_PKG_VERSION")
            )),
            format!("On this machine alone; {store}."),
            title("See what it does, in a browser"),
            code(&format!("  http://{address}/\n")),
            row("sockets", &format!("ws://{address}{path}")),
            row("REST", &format!("http://{address}/api/notifications/…")),
            row(
                "console",
                &format!("http://{}/console, with the API key", at.admin),
            ),
            row("health", &format!("http://{}/readyz, /metrics\n", at.admin)),
            row("API key", key),
            row("alice", &alice),
            row("bob", &bob),
            row(
                "",
                &style.dim(&format!(
                    "the tokens are valid for 1 day, until {}",
                    rfc3339(until)
                )),
            ),
            title("Or see alice's notifications, in a second terminal"),
            code(&format!(
                "  {program} subscribe --url ws://{address} --token {alice}"
            )),
            title("Send her one, in a third"),
            code(&format!(
                "  curl http://{address}/api/notifications/send \\"
            )),
            code(&format!("    -H 'Authorization: Bearer {key}' \\")),
            code("    -H 'Content-Type: application/json' \\"),
            code(
                r#"    -d '{"target_user":"alice","notification_type":"hello","content":"It works"}'"#,
            ),
            title("Or see them in a browser's console"),
            code(&format!(
                "  socket = new WebSocket('ws://{address}{path}?token={alice}')"
            )),
            code("  socket.onmessage = event => console.log(JSON.parse(event.data))"),
            format!("\n{}", style.dim("Ctrl-C ends it.")),
        ];
        say(&lines.join("\n"))?;
        Ok(())
    }

    pub(crate) fn token(&self, user: &str, now: i64, until: i64) -> Result<String, Failure> {
        let token = NewToken {
            sub: user,
            exp: until / 1000,
            iat: Some(now / 1000),
            ..NewToken::default()
        };
        mint(&self.issuer, &token).map_err(|error| Failure::Failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use carillon_common::auth::{TokenTimes, Verifier};

    use super::*;

    #[test]
    fn the_settings_accept_the_credentials() {
        let mut settings = Settings::default();
        let dev = Dev::prepare(&mut settings);
        let now = now_ms();
        let token = dev.token("alice", now, now + 60_000).unwrap();
        let verifier = Verifier::new(&settings.auth.issuers, TokenTimes::default()).unwrap();
        assert_eq!(&*verifier.verify(&token, now).unwrap().sub, "alice");
        let keys = ApiKeys::new(&settings.auth.api_keys).unwrap();
        assert!(
            keys.authenticate(dev.key.expose())
                .unwrap()
                .allows(Scope::Broadcast)
        );
        assert!(settings.gateway.listen.ip().is_loopback());
        assert!(settings.admin.listen.ip().is_loopback());
    }
}
