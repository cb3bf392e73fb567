//! `carillon broadcast`

use std::process::ExitCode;

use clap::Args;

use super::send::{ContentArgs, Destination, deliver};
use crate::{args::ApiArgs, failure::Failure, input::text};

const EXAMPLES: &str = "\
Examples:
  carillon broadcast --type maintenance --content 'Back in five minutes' --key-file ops.key
  carillon broadcast --channel orders --type order.new --data '{\"id\": 7}'

The API key needs the scope `broadcast`.";

/// Send a notification to everyone, or to a channel
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Broadcast {
    /// To the members of this channel instead of everyone
    #[arg(long, allow_hyphen_values = true, value_parser = text)]
    channel: Option<String>,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    api: ApiArgs,
}

impl Broadcast {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let api = self.api.client()?;
        let to = Destination {
            channel: self.channel.as_deref(),
            ..Destination::default()
        };
        deliver(&api, &self.content, to).await
    }
}
