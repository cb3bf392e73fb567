//! The table that people look at.

use super::{Dispatcher, Gateway, Service};
use crate::terminal::{Style, shown};

/// How a cell is to strike.
#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Watch,
    Wrong,
}

struct Cell {
    text: String,
    tone: Tone,
}

fn plain(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        tone: Tone::Plain,
    }
}

/// Something that should be zero.
fn unwanted(rate: f64, tone: Tone) -> Cell {
    Cell {
        text: number(rate),
        tone: if rate > 0.0 { tone } else { Tone::Plain },
    }
}

const GATEWAYS: [&str; 12] = [
    "GATEWAY",
    "CONNECTED",
    "+/s",
    "-/s",
    "BROKEN",
    "SLOW",
    "REFUSED",
    "SENT/s",
    "P50",
    "P99",
    "WAITING",
    "STATE",
];
const DISPATCHERS: [&str; 8] = [
    "DISPATCHER",
    "BUSY",
    "REQ/s",
    "SENDS/s",
    "5xx/s",
    "4xx/s",
    "P50",
    "P99",
];
const COMMON: [&str; 4] = ["REDIS P99", "ERR/s", "CPU", "MEMORY"];

/// All of it, line by line.
pub(crate) fn drawn(services: &[Service], away: &[(String, String)], style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let gateways = services.iter().filter_map(|service| {
        let row = gateway_row(&service.instance, service.gateway.as_ref()?);
        Some(row.into_iter().chain(common_row(service)).collect())
    });
    let gateways: Vec<Vec<Cell>> = gateways.collect();
    let dispatchers = services.iter().filter_map(|service| {
        let row = dispatcher_row(&service.instance, service.dispatcher.as_ref()?);
        Some(row.into_iter().chain(common_row(service)).collect())
    });
    let dispatchers: Vec<Vec<Cell>> = dispatchers.collect();
    if !gateways.is_empty() {
        lines.extend(table(&heads(&GATEWAYS), &gateways, style));
    }
    if !dispatchers.is_empty() {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(table(&heads(&DISPATCHERS), &dispatchers, style));
    }
    for (instance, why) in away {
        let told = format!("{} {}", shown(instance), style.red(&shown(why)));
        lines.push(told);
    }
    lines
}

fn heads(own: &[&'static str]) -> Vec<&'static str> {
    own.iter().copied().chain(COMMON).collect()
}

fn gateway_row(instance: &str, gateway: &Gateway) -> Vec<Cell> {
    let full = gateway.connections >= 0.85 * gateway.connections_limit;
    vec![
        plain(shown(instance)),
        Cell {
            text: format!(
                "{}/{}",
                number(gateway.connections),
                number(gateway.connections_limit)
            ),
            tone: if full { Tone::Watch } else { Tone::Plain },
        },
        plain(number(gateway.opened_per_second)),
        plain(number(gateway.closed_per_second)),
        unwanted(gateway.broken_per_second, Tone::Watch),
        unwanted(gateway.slow_per_second, Tone::Wrong),
        unwanted(gateway.refused_per_second, Tone::Watch),
        plain(number(gateway.delivered_per_second)),
        plain(seconds(gateway.delivery_p50_seconds)),
        late(gateway.delivery_p99_seconds),
        plain(bytes(gateway.waiting_bytes)),
        match gateway.draining {
            true => Cell {
                text: "draining".to_owned(),
                tone: Tone::Watch,
            },
            false => plain("open"),
        },
    ]
}

fn dispatcher_row(instance: &str, dispatcher: &Dispatcher) -> Vec<Cell> {
    let full = dispatcher.in_flight >= 0.85 * dispatcher.in_flight_limit;
    vec![
        plain(shown(instance)),
        Cell {
            text: format!(
                "{}/{}",
                number(dispatcher.in_flight),
                number(dispatcher.in_flight_limit)
            ),
            tone: if full { Tone::Watch } else { Tone::Plain },
        },
        plain(number(dispatcher.requests_per_second)),
        plain(number(dispatcher.sends_per_second)),
        unwanted(dispatcher.failed_per_second, Tone::Wrong),
        unwanted(dispatcher.refused_per_second, Tone::Watch),
        plain(seconds(dispatcher.request_p50_seconds)),
        late(dispatcher.request_p99_seconds),
    ]
}

fn common_row(service: &Service) -> Vec<Cell> {
    let redis = match service.redis_up {
        Some(false) => Cell {
            text: "DOWN".to_owned(),
            tone: Tone::Wrong,
        },
        Some(true) => late(service.redis_call_p99_seconds),
        None => plain("memory"),
    };
    vec![
        redis,
        unwanted(service.redis_errors_per_second, Tone::Wrong),
        plain(format!("{:.2}", service.cpu)),
        plain(bytes(service.memory_bytes)),
    ]
}

/// Above the service level of deliveries.
fn late(time: Option<f64>) -> Cell {
    Cell {
        text: seconds(time),
        tone: match time {
            Some(time) if time > 0.5 => Tone::Watch,
            _ => Tone::Plain,
        },
    }
}

/// The first column to the left, the others to the right.
fn table(heads: &[&str], rows: &[Vec<Cell>], style: Style) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].text.chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let padded = |column: usize, text: &str| match column {
        0 => format!("{text:<0$}", widths[0]),
        _ => format!("{text:>0$}", widths[column]),
    };
    let head = heads.iter().enumerate().map(|(at, head)| padded(at, head));
    let mut lines = vec![style.bold(&head.collect::<Vec<_>>().join("  "))];
    for row in rows {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let text = padded(at, &cell.text);
            match cell.tone {
                Tone::Plain => text,
                Tone::Watch => style.yellow(&text),
                Tone::Wrong => style.red(&text),
            }
        });
        lines.push(cells.collect::<Vec<_>>().join("  "));
    }
    lines
}

/// `0`, `0.4`, `12`, `20.0k`.
fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.1}k", value / 1e3),
        value if value == value.trunc() || value >= 10.0 => format!("{value:.0}"),
        value => format!("{value:.1}"),
    }
}

fn seconds(time: Option<f64>) -> String {
    match time {
        None => "–".to_owned(),
        Some(time) if time >= 1.0 => format!("{time:.2}s"),
        Some(time) => format!("{:.1}ms", time * 1e3),
    }
}

fn bytes(count: f64) -> String {
    match count {
        count if count >= 1024.0 * 1024.0 * 1024.0 => {
            format!("{:.1}GiB", count / (1024.0 * 1024.0 * 1024.0))
        }
        count if count >= 1024.0 * 1024.0 => format!("{:.1}MiB", count / (1024.0 * 1024.0)),
        count if count >= 1024.0 => format!("{:.1}KiB", count / 1024.0),
        count => format!("{count:.0}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(instance: &str) -> Service {
        Service {
            instance: instance.to_owned(),
            gateway: None,
            dispatcher: None,
            redis_up: Some(true),
            redis_call_p99_seconds: Some(0.0004),
            redis_errors_per_second: 0.0,
            cpu: 0.25,
            memory_bytes: 3.0 * 1024.0 * 1024.0,
        }
    }

    fn gateway() -> Gateway {
        Gateway {
            connections: 15_000.0,
            connections_limit: 20_000.0,
            draining: true,
            opened_per_second: 0.5,
            closed_per_second: 12.0,
            broken_per_second: 0.0,
            slow_per_second: 0.0,
            refused_per_second: 0.0,
            delivered_per_second: 1_234.5,
            delivery_p50_seconds: None,
            delivery_p99_seconds: Some(1.5),
            waiting_bytes: 0.0,
        }
    }

    #[test]
    fn every_row_has_as_many_cells_as_heads() {
        let row = gateway_row("a", &gateway());
        assert_eq!(row.len() + COMMON.len(), heads(&GATEWAYS).len());
        let dispatcher = Dispatcher {
            in_flight: 1.0,
            in_flight_limit: 2.0,
            requests_per_second: 0.0,
            sends_per_second: 0.0,
            request_p50_seconds: None,
            request_p99_seconds: None,
            failed_per_second: 0.0,
            refused_per_second: 0.0,
        };
        let row = dispatcher_row("a", &dispatcher);
        assert_eq!(row.len() + COMMON.len(), heads(&DISPATCHERS).len());
        assert_eq!(common_row(&service("a")).len(), COMMON.len());
    }

    #[test]
    fn columns_stand_below_each_other() {
        let one = Service {
            gateway: Some(gateway()),
            ..service("127.0.0.1:9090")
        };
        let other = Service {
            instance: "b".to_owned(),
            redis_up: Some(false),
            ..one.clone()
        };
        let away = [("c:9090".to_owned(), "refused".to_owned())];
        let lines = drawn(&[one, other], &away, Style::plain());
        assert_eq!(lines.len(), 4);
        let lengths: Vec<_> = lines[..3].iter().map(|line| line.chars().count()).collect();
        assert!(
            lengths.iter().all(|length| *length == lengths[0]),
            "{lines:#?}"
        );
        for part in [
            "15.0k/20.0k",
            "0.5",
            "1234",
            "–",
            "1.50s",
            "draining",
            "0.4ms",
            "3.0MiB",
        ] {
            assert!(lines[1].contains(part), "{part}: {}", lines[1]);
        }
        assert!(lines[2].contains("DOWN"));
        assert_eq!(lines[3], "c:9090 refused");
    }
}
