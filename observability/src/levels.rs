//! The service levels: what is promised, how much of it is missed in each window, and who is told when the
//! budget of a month burns too fast.
//!
//! A budget of 30 days is gone in 2 days at a rate of 14.4 (2 % of it in an hour), in 5 at 6, in 10 at 3 and in
//! 30 at 1. A long window decides, a short one of a twelfth ends the alert soon after the cause has. With fewer
//! than 100 events in the long window nobody is told: of ten sends, one that fails would be a tenth.

/// Labels that tell deployments apart.
pub(crate) const BY: &str = "cluster, namespace, job";
/// Events in the long window, below which nothing is concluded.
const FLOOR: u32 = 100;
const WINDOWS: [&str; 7] = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// How fast a budget burns, over which windows, and how urgent that is.
struct Burn {
    rate: f64,
    long: &'static str,
    short: &'static str,
    severity: &'static str,
}

const BURNS: [Burn; 4] = [
    burn(14.4, "1h", "5m", "page"),
    burn(6.0, "6h", "30m", "page"),
    burn(3.0, "1d", "2h", "ticket"),
    burn(1.0, "3d", "6h", "ticket"),
];

const fn burn(rate: f64, long: &'static str, short: &'static str, severity: &'static str) -> Burn {
    Burn {
        rate,
        long,
        short,
        severity,
    }
}

/// Something that is promised of all events but a small part.
pub struct Level {
    /// In the names of recordings.
    pub name: &'static str,
    /// The alert.
    pub alert: &'static str,
    /// The part of all events that may miss it.
    pub budget: f64,
    /// What is missed, in words.
    what: &'static str,
    /// The events that missed it, as a sum of counters: each is put into `rate` or `increase`.
    missed: &'static [&'static str],
    /// All events.
    events: &'static [&'static str],
    /// What is counted as met, where that is what a metric tells.
    met: &'static [&'static str],
}

/// The three of them.
pub const LEVELS: [Level; 3] = [
    Level {
        name: "publish",
        alert: "CarillonPublishErrorBudgetBurn",
        budget: 0.0005,
        what: "Sends and broadcasts that are answered 5xx",
        missed: &[
            r#"carillon_dispatcher_http_requests_total{route=~"/api/notifications/(send|broadcast)", code=~"5.."}"#,
        ],
        events: &[
            r#"carillon_dispatcher_http_requests_total{route=~"/api/notifications/(send|broadcast)"}"#,
        ],
        met: &[],
    },
    Level {
        name: "delivery",
        alert: "CarillonDeliveryLatencyBudgetBurn",
        budget: 0.001,
        what: "Deliveries to connected clients later than 500 ms",
        missed: &[],
        events: &["carillon_gateway_delivery_latency_seconds_count"],
        met: &[r#"carillon_gateway_delivery_latency_seconds_bucket{le="0.5"}"#],
    },
    Level {
        name: "connect",
        alert: "CarillonConnectErrorBudgetBurn",
        budget: 0.001,
        what: "Handshakes that are refused for our own reasons",
        missed: &[REFUSED],
        events: &["carillon_gateway_connections_opened_total", REFUSED],
        met: &[],
    },
];

const REFUSED: &str =
    r#"carillon_gateway_handshakes_rejected_total{reason=~"arrivals|connections|rate|store"}"#;

impl Level {
    /// How many events a second, over a window.
    fn sum(counters: &[&str], window: &str) -> String {
        let each = counters
            .iter()
            .map(|counter| format!("sum by ({BY}) (rate({counter}[{window}]))"));
        let each: Vec<String> = each.collect();
        match each.as_slice() {
            [only] => only.clone(),
            // A counter with labels is not there before the first event; the first one always is.
            [first, rest @ ..] => rest.iter().fold(first.clone(), |sum, next| {
                format!("({sum} + ({next} or 0 * {first}))")
            }),
            [] => String::new(),
        }
    }

    /// The part of the events that missed it, over a window; nothing where there were none.
    fn ratio(&self, window: &str) -> String {
        let events = Self::sum(self.events, window);
        let missed = match self.met {
            [] => format!("({} or 0 * {events})", Self::sum(self.missed, window)),
            met => format!("({events} - {})", Self::sum(met, window)),
        };
        format!("{missed} / ({events} > 0)")
    }

    /// The name of the recording of a window.
    pub fn recorded(&self, window: &str) -> String {
        format!("carillon:{}_errors:ratio_rate{window}", self.name)
    }

    fn counted(&self, window: &str) -> String {
        format!("carillon:{}_events:rate{window}", self.name)
    }

    fn burns(&self, burn: &Burn) -> String {
        let Burn {
            rate, long, short, ..
        } = burn;
        let most = format!("{:.6}", rate * self.budget);
        let most = most.trim_end_matches('0');
        format!(
            "{} > {most} and {} > {most} and {} * {} >= {FLOOR}",
            self.recorded(long),
            self.recorded(short),
            self.counted(long),
            seconds(long)
        )
    }
}

fn seconds(window: &str) -> u32 {
    let (number, unit) = window.split_at(window.len() - 1);
    let unit = match unit {
        "m" => 60,
        "h" => 3_600,
        _ => 86_400,
    };
    number.parse::<u32>().unwrap_or(0) * unit
}

/// The rule file.
pub(crate) fn rules() -> String {
    let mut text = String::from(
        "# Made by `make dashboards` from observability/src/levels.rs; do not edit.\n\
         # The service levels: which part of the events missed them, and who is told when a month's budget burns fast.\n\
         groups:\n",
    );
    for level in &LEVELS {
        level.write(&mut text);
    }
    text
}

impl Level {
    fn write(&self, text: &mut String) {
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("  - name: carillon-level-{}", self.name));
        line("    rules:".to_owned());
        for window in WINDOWS {
            line(format!("      - record: {}", self.recorded(window)));
            line(format!("        expr: {}", self.ratio(window)));
        }
        for window in BURNS.map(|burn| burn.long) {
            line(format!("      - record: {}", self.counted(window)));
            line(format!("        expr: {}", Self::sum(self.events, window)));
        }
        for burn in &BURNS {
            let Burn {
                rate,
                long,
                short,
                severity,
            } = burn;
            let days = 30.0 / rate;
            line(format!("      - alert: {}", self.alert));
            line(format!("        expr: {}", self.burns(burn)));
            line(format!(
                "        labels: {{severity: {severity}, long: {long}, short: {short}}}"
            ));
            line("        annotations:".to_owned());
            line(format!(
                "          summary: \"{}: {{{{ $value | humanizePercentage }}}} in {long} \
                 ({{{{ $labels.namespace }}}} {{{{ $labels.job }}}})\"",
                self.what
            ));
            line(format!(
                "          description: The budget is {} of all in 30 days. At this rate it is gone in {days:.0} days.",
                percent(self.budget)
            ));
        }
    }
}

fn percent(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burn_is_an_alert_in_both_windows_and_with_enough_events() {
        assert_eq!(
            LEVELS[0].burns(&BURNS[0]),
            "carillon:publish_errors:ratio_rate1h > 0.0072 and carillon:publish_errors:ratio_rate5m > 0.0072 \
             and carillon:publish_events:rate1h * 3600 >= 100"
        );
        assert_eq!(percent(0.0005), "0.05 %");
    }

    #[test]
    fn every_window_of_a_burn_is_recorded() {
        for burn in BURNS {
            assert!(WINDOWS.contains(&burn.long) && WINDOWS.contains(&burn.short));
        }
    }
}
