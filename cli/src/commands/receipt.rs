//! `carillon receipt` and `carillon retract`

use std::process::ExitCode;

use carillon_client::{DeviceReceipt, Receipt as Told};
use clap::Args;
use serde_json::json;

use crate::{
    args::ApiArgs,
    failure::Failure,
    input::text,
    terminal::{Style, say, shown},
};

const EXAMPLES: &str = "\
Examples:
  carillon receipt alice 1767225600123-2874613
  carillon receipt alice 0199d2c4-7f3a-7000-8000-000000000000 --json

By the cursor or the id that the send answered; the cursor is known for longer. The key needs the scope `read`.
Exit code 1 unless every device for which it is has acked it.";

/// Tell what became of a notification, at each device
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Receipt {
    /// To whom it was sent
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// The notification's cursor or id
    #[arg(value_name = "CURSOR_OR_ID")]
    which: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Receipt {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let receipt = self.api.client()?.receipt(&self.user, &self.which).await?;
        if self.json {
            say(&json!(receipt).to_string())?;
        } else {
            for line in lines(&receipt, Style::stdout()) {
                say(&line)?;
            }
        }
        Ok(ExitCode::from(u8::from(receipt.status != "delivered")))
    }
}

fn lines(receipt: &Told, style: Style) -> Vec<String> {
    // Without a position it is known by its id.
    let name = receipt.cursor.as_ref().or(receipt.id.as_ref());
    let mut lines = vec![format!(
        "{} {}",
        style.bold(&shown(name.map_or("", String::as_str))),
        coloured(&receipt.status, style)
    )];
    if let Some(at) = &receipt.deliver_at {
        let at = format!("will be delivered {}", shown(at));
        lines.push(format!("  {}", style.dim(&at)));
        return lines;
    }
    if let (Some(accepted), Some(expires)) = (&receipt.accepted_at, &receipt.expires_at) {
        let times = format!("accepted {}, until {}", shown(accepted), shown(expires));
        lines.push(format!("  {}", style.dim(&times)));
    }
    lines.extend(
        receipt
            .devices
            .iter()
            .map(|device| of_device(device, style)),
    );
    if receipt.devices.is_empty() {
        lines.push("  no device of the user's is known".to_owned());
    }
    lines
}

fn of_device(device: &DeviceReceipt, style: Style) -> String {
    let name = device.device.as_deref().unwrap_or("(without a name)");
    let at = device
        .at
        .as_deref()
        .map(|at| format!(" {}", style.dim(&shown(at))));
    let status = coloured(&device.status, style);
    format!("  {} {status}{}", shown(name), at.unwrap_or_default())
}

fn coloured(status: &str, style: Style) -> String {
    let text = shown(&status.replace('_', " "));
    match status {
        "delivered" => style.green(&text),
        "queued" | "scheduled" | "not_addressed" => text,
        _ => style.yellow(&text),
    }
}

const RETRACT_EXAMPLES: &str = "\
Examples:
  carillon retract alice 1767225600123-2874613
  carillon retract alice 0199d2c4-7f3a-7000-8000-000000000000 --json

Whoever has not been given it is not given it any more; connected devices that may show it are told. Asking again
does no harm. The key needs the scope `send`.";

/// Take a notification back
#[derive(Debug, Args)]
#[command(after_help = RETRACT_EXAMPLES)]
pub(crate) struct Retract {
    /// To whom it was sent
    #[arg(allow_hyphen_values = true, value_parser = text)]
    user: String,
    /// The notification's cursor or id
    #[arg(value_name = "CURSOR_OR_ID")]
    which: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    api: ApiArgs,
}

impl Retract {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let retracted = self.api.client()?.retract(&self.user, &self.which).await?;
        let style = Style::stdout();
        say(&match (self.json, &*retracted.outcome) {
            (true, _) => json!(retracted).to_string(),
            (false, "retracted") => {
                let told = match retracted.devices {
                    0 => "nobody is connected".to_owned(),
                    1 => "1 connected device is told".to_owned(),
                    count => format!("{count} connected devices are told"),
                };
                format!("{} it is taken back; {told}", style.green("✓"))
            }
            (false, _) => "it had left before: taken back, replaced or expired".to_owned(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::from_value;

    use super::*;

    #[test]
    fn what_waits_says_until_when() {
        let receipt: Told = from_value(json!({
            "id": "018f", "cursor": null, "status": "scheduled", "deliver_at": "2026-01-01T00:00:00.000Z",
            "accepted_at": null, "expires_at": null, "devices": [],
        }))
        .unwrap();
        let expected = [
            "018f scheduled",
            "  will be delivered 2026-01-01T00:00:00.000Z",
        ];
        assert_eq!(lines(&receipt, Style::stdout()), expected);
    }

    #[test]
    fn a_receipt_has_a_line_for_each_device() {
        let receipt: Told = from_value(json!({
            "id": null, "cursor": "5-9", "status": "partly_delivered", "accepted_at": null, "expires_at": null,
            "devices": [
                { "device": null, "status": "queued", "at": null },
                { "device": "phone", "status": "delivered", "at": "2026-01-01T00:00:00.000Z" },
            ],
        }))
        .unwrap();
        assert_eq!(
            lines(&receipt, Style::stdout()),
            [
                "5-9 partly delivered",
                "  (without a name) queued",
                "  phone delivered 2026-01-01T00:00:00.000Z",
            ]
        );
    }
}
