//! No function holds Redis up, however much one user or channel has taken up.

use std::collections::BTreeSet;

use carillon_tests::costs::{self, functions};

use crate::tidy::read;

/// Redis does nothing else meanwhile, for anybody.
const MOST_MICROS: u64 = 1_000;

#[tokio::test]
async fn no_function_takes_a_millisecond_with_everything_at_its_limit() {
    let costs = costs::measure().await.unwrap();
    for cost in &costs {
        println!("{:>5} µs {} ({})", cost.micros, cost.function, cost.what);
    }
    let slow: Vec<_> = costs.iter().filter(|it| it.micros >= MOST_MICROS).collect();
    assert!(slow.is_empty(), "{slow:?}");
    let measured: BTreeSet<&str> = costs::worst(&costs).into_keys().collect();
    let all = functions();
    assert_eq!(measured, all.iter().map(String::as_str).collect());
}

/// docs/limits.md: a row for each function, with what bounds it.
#[test]
fn every_function_has_a_bound_that_is_documented() {
    let document = read("docs/limits.md");
    let all = functions();
    assert!(all.len() > 10, "{all:?}");
    for function in all {
        let start = format!("| `{function}` |");
        let row = document.lines().find(|line| line.starts_with(&start));
        let row = row.unwrap_or_else(|| panic!("docs/limits.md has no row for {function}"));
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert!(cells[..3].iter().all(|cell| !cell.is_empty()), "{row}");
    }
}
