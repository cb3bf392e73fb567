//! `carillon token revoke` and `carillon token revocations`

use std::process::ExitCode;

use carillon_client::{Revocation, Revoke as Tokens};
use carillon_common::{
    ids::{Millis, TokenId, UserId},
    notification::rfc3339,
};
use clap::{ArgGroup, Args};
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::{duration, moment, now_ms, text},
    terminal::{Style, say, shown},
};

const REVOKE_EXAMPLES: &str = "\
Examples:
  carillon token revoke --user alice --reason 'lost phone' --key-file ops.key
  carillon token revoke --user alice --issued-before 2h
  carillon token revoke --jti 4e9c… --expires-at 2026-01-01T00:00:00Z

Gateways refuse these tokens from now on, and close the connections that have one with 4001
token_revoked, within two seconds everywhere; dispatchers refuse those of services. Of a user, all
that were issued until now: whoever logs in again is let in. The key needs the scope `admin`.";

const LIST_EXAMPLES: &str = "\
Examples:
  carillon token revocations --key-file ops.key
  carillon token revocations --json | jq -r .user
  carillon token revocations --take-back dTphbGljZQ

The key needs the scope `admin`.";

/// Refuse tokens before their end, and close what they opened
#[derive(Debug, Args)]
#[command(
    after_help = REVOKE_EXAMPLES,
    group(ArgGroup::new("which").required(true).multiple(true).args(["user", "jti"]))
)]
pub(crate) struct Revoke {
    /// Whose tokens: their `sub`
    #[arg(long, allow_hyphen_values = true)]
    user: Option<UserId>,
    /// The token with this `jti`
    #[arg(long, allow_hyphen_values = true)]
    jti: Option<TokenId>,
    /// Only those that were issued before: a time, or how long ago [default of a user is now]
    #[arg(long, value_name = "TIME", value_parser = past)]
    issued_before: Option<Millis>,
    /// When the tokens end by themselves, if you know; the revocation is kept until then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<Millis>,
    /// Why, for those who look later
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    reason: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// List the revocations that are in force
#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct Revocations {
    /// Take the revocation of this id back instead
    #[arg(long, value_name = "ID")]
    take_back: Option<String>,
    #[command(flatten)]
    api: ApiArgs,
    /// Print one JSON object a line
    #[arg(long, conflicts_with = "take_back")]
    json: bool,
}

impl Revoke {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let tokens = Tokens {
            user: self.user.as_ref().map(UserId::as_str),
            jti: self.jti.as_ref().map(TokenId::as_str),
            issued_before: self.issued_before.map(rfc3339),
            expires_at: self.expires_at.map(rfc3339),
            reason: self.reason.as_deref(),
        };
        let revocation = self.api.client()?.revoke(&tokens).await?;
        say(&match self.json {
            true => json!(revocation).to_string(),
            false => {
                let style = Style::stdout();
                format!("{} revoked: {}", style.green("✓"), line(&revocation, style))
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Revocations {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let (api, style) = (self.api.client()?, Style::stdout());
        if let Some(id) = &self.take_back {
            api.take_back(id).await?;
            say(&format!("{} taken back: {}", style.green("✓"), shown(id)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let all = api.revocations().await?;
        for revocation in &all {
            say(&match self.json {
                true => json!(revocation).to_string(),
                false => line(revocation, style),
            })?;
        }
        if all.is_empty() && !self.json {
            say("nothing is revoked")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(revocation: &Revocation, style: Style) -> String {
    let which = match (&revocation.user, &revocation.jti) {
        (Some(user), Some(jti)) => format!("the token {} of {}", shown(jti), shown(user)),
        (Some(user), None) => format!("the tokens of {}", shown(user)),
        (None, Some(jti)) => format!("the token {}", shown(jti)),
        (None, None) => "nothing".to_owned(),
    };
    let before = revocation.issued_before.as_deref();
    let before = before.map(|time| format!(" issued before {}", shown(time)));
    let mut rest = format!("until {}", shown(&revocation.lapses_at));
    for (word, text) in [
        ("by", &revocation.revoked_by),
        ("because", &revocation.reason),
    ] {
        if let Some(text) = text {
            rest += &format!(", {word} {}", shown(text));
        }
    }
    rest += &format!("  {}", shown(&revocation.id));
    let which = which + &before.unwrap_or_default();
    format!("{} {}", style.bold(&which), style.dim(&rest))
}

/// The same, or how long ago that was.
fn past(text: &str) -> Result<Millis, String> {
    let ago = || {
        let ago = Millis::try_from(duration(text).ok()?.as_millis()).ok()?;
        Some(now_ms().saturating_sub(ago).max(0))
    };
    let rule =
        || "must be a time such as 2026-01-01T00:00:00Z, or how long ago, such as 2h".to_owned();
    moment(text).ok().or_else(ago).ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::dispatcher;

    const ANSWER: (u16, &str) = (
        200,
        r#"{"status":"ok","revocation":{"id":"dTphbGljZQ","user":"alice","jti":null,
            "issued_before":"2026-01-01T00:00:00.000Z","lapses_at":"2026-02-01T00:00:00.000Z",
            "revoked_at":"2026-01-01T00:00:00.000Z","revoked_by":"ops","reason":"lost"}}"#,
    );
    const FIRST: (u16, &str) = (
        200,
        r#"{"revocations":[{"id":"a","user":"alice","lapses_at":"x"}],"next":"a"}"#,
    );
    const LAST: (u16, &str) = (
        200,
        r#"{"revocations":[{"id":"b","jti":"7","lapses_at":"x"}],"next":null}"#,
    );

    #[tokio::test]
    async fn it_is_asked_for_and_told() {
        let (api, asked) = dispatcher(&[ANSWER]).await;
        let tokens = Tokens {
            user: Some("alice"),
            ..Tokens::default()
        };
        let revocation = api.revoke(&tokens).await.unwrap();
        assert_eq!(asked.lock()[0][0], "/api/tokens/revoke");
        assert_eq!(
            line(&revocation, Style::stdout()),
            "the tokens of alice issued before 2026-01-01T00:00:00.000Z until 2026-02-01T00:00:00.000Z, by ops, \
             because lost  dTphbGljZQ"
        );
    }

    #[tokio::test]
    async fn all_pages_are_listed_and_one_is_taken_back_by_its_id() {
        let (api, asked) = dispatcher(&[FIRST, LAST]).await;
        let all = api.revocations().await.unwrap();
        let ids: Vec<_> = all.iter().map(|it| it.id.as_str()).collect();
        assert_eq!((ids, asked.lock().len()), (vec!["a", "b"], 2));
        assert_eq!(line(&all[1], Style::stdout()), "the token 7 until x  b");
        let (api, asked) = dispatcher(&[(200, r#"{"status":"ok","id":"a/b"}"#)]).await;
        api.take_back("a/b").await.unwrap();
        assert_eq!(asked.lock()[0][0], "/api/tokens/revocations/a%2Fb");
    }

    #[test]
    fn a_time_is_one_or_how_long_ago() {
        assert_eq!(moment("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        assert_eq!(past("2026-01-01T00:00:00Z"), Ok(1_767_225_600_000));
        let ago = now_ms() - past("2h").unwrap();
        assert!((7_200_000..7_260_000).contains(&ago), "{ago}");
        for wrong in ["", "yesterday", "10"] {
            assert!(past(wrong).is_err() && moment(wrong).is_err(), "{wrong}");
        }
        assert!(moment("2h").is_err());
    }
}
