//! The commands and what is common to their help.

use std::process::ExitCode;

use clap::{
    Parser, Subcommand,
    builder::styling::{AnsiColor, Styles},
};

use crate::{commands, failure::Failure};

const EXIT_CODES: &str = "\
Exit codes:
  0   it worked
  1   it failed, or what was checked is not as it should be
  2   the command line is wrong
  3   the other side cannot be reached
  64  the configuration is wrong
(`doctor`: 0 all well, 1 warnings, 2 failures.)

Colours appear on a terminal only, and never when NO_COLOR is set.

Start here:
  carillon standalone --dev";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Real-time notifications that arrive: the server, and the tools around it.
#[derive(Debug, Parser)]
#[command(
    name = "carillon",
    version,
    after_help = EXIT_CODES,
    styles = STYLES,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    infer_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Standalone(commands::Standalone),
    #[command(subcommand)]
    Token(commands::Token),
    #[command(subcommand)]
    Apikey(commands::Apikey),
    Send(commands::Send),
    Broadcast(commands::Broadcast),
    Subscribe(commands::Subscribe),
    Inbox(commands::Inbox),
    Receipt(commands::Receipt),
    Retract(commands::Retract),
    #[command(subcommand)]
    Scheduled(commands::Scheduled),
    #[command(subcommand)]
    User(commands::User),
    Presence(commands::Presence),
    Online(commands::Online),
    Disconnect(commands::Disconnect),
    Channels(commands::Channels),
    #[command(subcommand)]
    Channel(commands::Channel),
    Gateways(commands::Gateways),
    Drain(commands::Drain),
    Rebalance(commands::Rebalance),
    Check(commands::Check),
    #[command(subcommand)]
    Redis(commands::Redis),
    Doctor(commands::Doctor),
    Top(commands::Top),
    Trace(commands::Trace),
    #[command(subcommand)]
    Bench(Box<commands::Bench>),
    #[command(subcommand)]
    Config(commands::Config),
    Completions(commands::Completions),
}

impl Command {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Standalone(command) => command.run().await,
            Self::Token(command) => command.run().await,
            Self::Apikey(command) => command.run(),
            Self::Send(command) => command.run().await,
            Self::Broadcast(command) => command.run().await,
            Self::Subscribe(command) => command.run().await,
            Self::Inbox(command) => command.run().await,
            Self::Receipt(command) => command.run().await,
            Self::Retract(command) => command.run().await,
            Self::Scheduled(command) => command.run().await,
            Self::User(command) => command.run().await,
            Self::Presence(command) => command.run().await,
            Self::Online(command) => command.run().await,
            Self::Disconnect(command) => command.run().await,
            Self::Channels(command) => command.run().await,
            Self::Channel(command) => command.run().await,
            Self::Gateways(command) => command.run().await,
            Self::Drain(command) => command.run().await,
            Self::Rebalance(command) => command.run().await,
            Self::Check(command) => command.run().await,
            Self::Redis(command) => command.run().await,
            Self::Doctor(command) => command.run().await,
            Self::Top(command) => command.run().await,
            Self::Trace(command) => command.run().await,
            Self::Bench(command) => command.run().await,
            Self::Config(command) => command.run(),
            Self::Completions(command) => command.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_parser_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_and_how_to_type_it() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let mut children = command.get_subcommands().peekable();
            if children.peek().is_none() {
                let help = command.get_after_help().map(ToString::to_string);
                assert!(
                    help.is_some_and(|help| help.contains(path.trim())),
                    "{path}: no example"
                );
                assert!(command.get_about().is_some(), "{path}: no description");
            }
            children.for_each(|child| check(child, &path));
        }
        check(&Cli::command(), "");
    }

    /// The words of a shell's line up to the first redirection, pipe or comment.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for character in line.chars() {
            match (quote, character) {
                (Some(open), _) if open == character => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(character);
                    word.get_or_insert_default();
                }
                (None, '>' | '<' | '|' | '&' | '#' | ')') => break,
                (None, ' ') => words.extend(word.take()),
                _ => word.get_or_insert_default().push(character),
            }
        }
        words.extend(word);
        words
    }

    /// Parses every command line of ours that stands in `text`, and counts them.
    #[track_caller]
    fn check_examples(text: &str) -> usize {
        let text = text.replace("\\\n", "");
        let lines = text.lines().map(str::trim_start);
        let ours: Vec<_> = lines.filter(|line| line.starts_with("carillon ")).collect();
        for line in &ours {
            if let Err(error) = Cli::try_parse_from(words(line)) {
                panic!("{line}: {error}");
            }
        }
        ours.len()
    }

    #[test]
    fn the_examples_of_the_help_parse() {
        fn check(command: &clap::Command) -> usize {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            check_examples(&help) + command.get_subcommands().map(check).sum::<usize>()
        }
        assert!(check(&Cli::command()) > 30);
    }

    #[test]
    fn the_command_lines_of_the_readme_parse() {
        let readme = include_str!("../../README.md");
        let blocks = readme
            .split("```")
            .filter(|block| block.starts_with("sh\n"));
        assert!(blocks.map(check_examples).sum::<usize>() > 5);
    }

    #[test]
    fn command_lines_that_must_parse() {
        for line in [
            "standalone --dev",
            "standalone --config c.toml --listen 127.0.0.1:0 --redis redis://h --addresses-file a",
            "token mint --user alice",
            "token mint --user alice --ttl 2h --channels a,b* --secret - --issuer i --audience a",
            "token inspect x.y.z",
            "token revoke --user alice --key-file k",
            "token revoke --jti 1 --issued-before 2h --expires-at 2026-01-01T00:00:00Z --reason r --json",
            "token revocations --json",
            "token revocations --take-back a",
            "apikey new --name orders --scopes send,broadcast --json",
            "send --user alice --type t --content hello",
            "send --user alice --type t --content - --data {} --ttl 10m --count 5 --rate 2",
            "send --user alice --type t --deliver-at 2026-01-01T00:00:00Z",
            "send --user alice --type t --deliver-at 2h",
            "scheduled list alice --limit 5 --json",
            "scheduled list alice --all --key-file k",
            "scheduled cancel alice 0199d2c4-7f3a-7000-8000-000000000000 --json",
            "broadcast --type t --channel orders --content x --key-file k",
            "subscribe --token-file t --channel a --channel b --since 1-2 --json --count 3",
            "presence alice --api http://h --key-file k --json",
            "disconnect alice --api http://h --key-file k",
            "disconnect alice --device phone --session s1 --code 4001 --reason logged_out --json",
            "channels --prefix orders. --json",
            "channel history orders --after 1-2 --limit 5 --json",
            "channel presence orders --json",
            "online --api http://h",
            "gateways --api http://h --json",
            "gateways --backend redis://h",
            "drain carillon-gateway-1-a --wait --timeout 5m --key-file k",
            "rebalance --api http://h --key-file k --json",
            "rebalance --wait --timeout 5m",
            "check --url ws://g --api http://d --token-file t --key-file k --timeout 10s --json",
            "apikey new --name orders --scopes send --secret carillon-auth",
            "doctor --kubernetes --namespace shop",
            "redis load",
            "redis prune --dry-run",
            "doctor --json",
            "top",
            "top a:9090 b:9090 --once --json --every 5s",
            "top --kubernetes --namespace shop",
            "trace 0199a1b2-c3d4-7000-8000-000000000001",
            "trace 12-7 --user alice --backend redis://h --json",
            "trace 0199a1b2-c3d4-7000-8000-000000000001 --channel *",
            "bench ledger --secret-file s --key-file k --users 10 --sends 100 --devices 2",
            "bench churn --secret-file s --key-file k --url ws://a --url ws://b --duration 5s",
            "bench connect --secret-file s --connections 10 --rate 5",
            "completions bash",
            "config check c.toml",
            "config defaults",
            "config print",
        ] {
            let words = std::iter::once("carillon").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
    }

    /// What a command line came to, by the name of an argument.
    fn given(line: &[&str], argument: &str) -> String {
        let matches = Cli::command().try_get_matches_from(line);
        let matches = matches.unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let mut last = &matches;
        while let Some((_, inner)) = last.subcommand() {
            last = inner;
        }
        let mut values = last.get_raw(argument).unwrap();
        values.next().unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        let send = ["carillon", "send", "--user", "alice", "--type", "t"];
        for (more, argument) in [
            (["--content", "-5 °C"], "content"),
            (["--content", "-"], "content"),
            (["--content=--json", "--json"], ""),
            (["--data", "-5"], "data"),
            (["--channel", "-a"], "channel"),
            (["--idempotency-key", "-k"], "idempotency_key"),
        ] {
            let line: Vec<_> = send.into_iter().chain(more).collect();
            match argument {
                "" => assert!(Cli::try_parse_from(&line).is_err(), "{line:?}"),
                argument => assert_eq!(given(&line, argument), more[1]),
            }
        }
        assert_eq!(given(&["carillon", "presence", "-x"], "user"), "-x");
        let help = Cli::try_parse_from(["carillon", "presence", "-h"]).unwrap_err();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
        let forgotten = [
            "carillon",
            "send",
            "--user",
            "a",
            "--type",
            "t",
            "--content",
            "--json",
        ];
        assert!(Cli::try_parse_from(forgotten).is_err());
    }

    #[test]
    fn every_free_text_takes_a_hyphen() {
        // Those that name a place, a time or a number never begin with one.
        fn arguments(command: &clap::Command, path: &str, found: &mut Vec<(String, bool)>) {
            let path = format!("{path} {}", command.get_name());
            for argument in command.get_arguments() {
                let named = argument.get_value_names().unwrap_or_default();
                let name = named.first().map_or("", |name| name.as_str());
                let is_text = argument.get_action().takes_values()
                    && [
                        "USER", "CONTENT", "TYPE", "JSON", "CHANNEL", "CHANNELS", "KEY", "JWT",
                        "NAME", "DEVICE", "ISSUER", "AUDIENCE",
                    ]
                    .contains(&name);
                if is_text {
                    let free = argument.is_allow_hyphen_values_set();
                    found.push((format!("{path} {}", argument.get_id()), free));
                }
            }
            command
                .get_subcommands()
                .for_each(|child| arguments(child, &path, found));
        }
        let mut found = Vec::new();
        arguments(&Cli::command(), "", &mut found);
        assert!(found.len() > 15, "{found:?}");
        let strict: Vec<_> = found.iter().filter(|(_, free)| !free).collect();
        assert!(strict.is_empty(), "without allow_hyphen_values: {strict:?}");
    }

    #[test]
    fn help_shows_what_is_typed() {
        // `{n}` in a help is a line break.
        fn check(command: &clap::Command) {
            let texts = [command.get_about(), command.get_after_help()];
            let help = command.get_arguments().map(|it| it.get_help());
            for text in texts.into_iter().chain(help).flatten() {
                assert!(!text.to_string().contains("{n}"), "{text}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn command_lines_that_must_not_parse() {
        for line in [
            "send --user alice",
            "send --user alice --type t --ttl soon",
            "send --user alice --type t --deliver-at tomorrow",
            "broadcast --type t --deliver-at 2h",
            "scheduled",
            "scheduled list",
            "scheduled list alice --all --limit 5",
            "scheduled cancel alice",
            "send --user alice --type t --data {",
            "send --user alice --type t --count 0",
            "send --user alice --type t --rate 0",
            "subscribe --since yesterday",
            "apikey new --name x --scopes fly",
            "presence alice --backend redis://h",
            "online --config c.toml",
            "disconnect",
            "disconnect alice --device a/b",
            "channels orders",
            "channel history",
            "channel history orders --after yesterday",
            "channel history orders --limit 0",
            "channel presence",
            "drain",
            "drain a --timeout 5m",
            "rebalance a",
            "rebalance --timeout 5m",
            "apikey new --name orders --scopes send --secret s --json",
            "doctor --namespace shop",
            "top --namespace shop",
            "top --kubernetes a:9090",
            "top --every 1ms",
            "trace",
            "trace yesterday --user alice",
            "trace 12-7 --user alice --channel orders",
            "token mint",
            "token revoke --reason r",
            "token revocations --json --take-back a",
            "token mint --user a --secret - --secret-file f",
            "standalone --dev --config c.toml",
            "bench ledger --sends 5 --duration 5s --secret-file s --key-file k",
        ] {
            let words = std::iter::once("carillon").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
