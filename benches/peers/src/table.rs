//! The results as one plain table.

use crate::results::{Cell, Column, Results, Round};

pub fn print(results: &Results) {
    for cell in &results.cells {
        println!(
            "\n{:?}: {}, {:?}, {} tasks, {} servers, {} nodes{}",
            cell.section,
            cell.work,
            cell.runtime,
            cell.tasks,
            cell.servers,
            cell.nodes,
            if cell.tls { ", TLS" } else { "" }
        );
        print_cell(cell);
    }
    if !results.idle.is_empty() {
        println!("\nIdle clients");
    }
    for idle in &results.idle {
        println!(
            "{:<24}{:>5} sockets{:>10.1} KiB",
            idle.peer, idle.sockets, idle.memory_kib
        );
    }
}

fn print_cell(cell: &Cell) {
    println!(
        "{:<24}{:>12}{:>10}{:>10}{:>10}{:>10}{:>8}{:>12}{:>10}",
        "", "calls/s", "CPU us", "p50 us", "p99 us", "p99.9 us", "sockets", "x calls/s", "x CPU"
    );
    let ours = cell.columns.iter().find(|column| column.peer == "keyway");
    for column in &cell.columns {
        if let Some(why) = &column.refused {
            println!("{:<24}{why}", column.peer);
            continue;
        }
        let of = |figure: fn(&Round) -> f64| median(column.rounds.iter().map(figure).collect());
        let against =
            |figure: fn(&Round) -> f64| ours.map_or(f64::NAN, |ours| ratio(ours, column, figure));
        println!(
            "{:<24}{:>12.0}{:>10.2}{:>10.1}{:>10.1}{:>10.1}{:>8}{:>12.2}{:>10.2}",
            column.peer,
            of(|round| round.calls_per_second),
            of(|round| round.cpu_us),
            of(|round| round.p50_us),
            of(|round| round.p99_us),
            of(|round| round.p999_us),
            column.sockets,
            against(|round| round.calls_per_second),
            against(|round| round.cpu_us),
        );
    }
}

/// Ours / theirs, the median over pairs of the same round.
fn ratio(ours: &Column, theirs: &Column, figure: fn(&Round) -> f64) -> f64 {
    let pairs = ours.rounds.iter().zip(&theirs.rounds);
    median(
        pairs
            .map(|(ours, theirs)| figure(ours) / figure(theirs))
            .collect(),
    )
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_pairs_not_the_ratio_of_medians() {
        let column = |rates: [f64; 3]| Column {
            peer: String::new(),
            rounds: rates
                .map(|calls_per_second| Round {
                    calls_per_second,
                    cpu_us: 0.0,
                    p50_us: 0.0,
                    p99_us: 0.0,
                    p999_us: 0.0,
                })
                .into(),
            sockets: 0,
            refused: None,
        };
        // A machine that slows down for everybody: every pair says 2.
        let (ours, theirs) = (column([200.0, 100.0, 20.0]), column([100.0, 50.0, 10.0]));
        assert_eq!(ratio(&ours, &theirs, |round| round.calls_per_second), 2.0);
        let (ours, theirs) = (column([1.0, 2.0, 9.0]), column([1.0, 4.0, 3.0]));
        assert_eq!(ratio(&ours, &theirs, |round| round.calls_per_second), 1.0);
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
