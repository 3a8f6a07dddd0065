//! The page that a reader sees, from the rows and what was measured of them. Pure: nothing here reads or writes a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::entrant::{self, Entrant};
use super::machine::Circumstances;
use super::row::{Cores, Figure, Row, Target};
use super::spread::{Spread, digits};
use super::store::Measured;

/// Within this much of the floor a figure is met, whatever its ratio: nobody can ask for more.
const FLOOR_PART_MAX: f64 = 1.3;
const HEAD: &str = "\
| row | workload | figure | Kafka, median [min–max] | Dohle, median [min–max] | ratio | target | |
|---|---|---|---:|---:|---:|---|---|
";
const METHOD: &str = include_str!("method.md");
const NOTHING: &str = "–";

/// The whole page.
pub(super) fn page(rows: &[Row], all: &BTreeMap<String, Measured>, remarks: &BTreeMap<String, String>) -> String {
    let measured: Vec<(&Row, &Measured)> = rows.iter().filter_map(|row| Some((row, all.get(row.id)?))).collect();
    let mut page = String::from("# Dohle beside Apache Kafka\n\n");
    page += "Written by `cargo xtask bench`; the raw numbers of each leg lie in `benchmarks/`. Where nothing else is said, less is better.\n\n";
    page += &table(&measured);
    page += &failures(&measured);
    page += &overrun(&measured);
    page += &unmeasured(rows, all);
    page += &remarks_of(rows, remarks);
    page += &circumstances(&measured);
    page += &settings(rows);
    page + "\n" + METHOD
}

/// The lines of some rows under their head.
pub(super) fn table(measured: &[(&Row, &Measured)]) -> String {
    let lines: String = measured.iter().map(|(row, measured)| lines(row, measured)).collect();
    format!("{HEAD}{lines}")
}

fn lines(row: &Row, measured: &Measured) -> String {
    let [kafka, dohle] = row.pair;
    let mut text = String::new();
    for figure in row.figures {
        let cores = match row.cores {
            Cores::Pinned => "a core each",
            Cores::Free => "cores shared",
        };
        let workload = if text.is_empty() { format!("{}; {cores}", row.workload) } else { String::new() };
        text += &line(row.id, &workload, measured, &Versus { kafka, dohle, figure, target: figure.target });
    }
    for entrant in row.entrants().skip(row.pair.len()) {
        let (kafka, dohle) = if entrant.is_kafka() { (entrant, dohle) } else { (kafka, entrant) };
        let is_told = |figure: &&Figure| entrant != Entrant::Floor || measured.spread(entrant, figure).is_some();
        for figure in row.figures.iter().filter(is_told) {
            text += &line(row.id, "beside it", measured, &Versus { kafka, dohle, figure, target: Target::Shown });
        }
    }
    text
}

/// Two brokers by one figure.
struct Versus<'a> {
    kafka: Entrant,
    dohle: Entrant,
    figure: &'a Figure,
    target: Target,
}

fn line(id: &str, workload: &str, measured: &Measured, versus: &Versus<'_>) -> String {
    let (kafka, dohle) = (measured.spread(versus.kafka, versus.figure), measured.spread(versus.dohle, versus.figure));
    let ratio = dohle.zip(kafka).and_then(|(dohle, kafka)| dohle.ratio(&kafka));
    // What was measured beside it counts more than what was measured elsewhere. Of throughput one thread is no bound for several.
    let floor = measured.spread(Entrant::Floor, versus.figure).map(|floor| floor.median).or(versus.figure.floor);
    let floor = floor.filter(|_| !matches!(versus.target, Target::Times(_)));
    let (name, unit) = (versus.figure.name, versus.figure.unit);
    let promises = format!("{} / {}", versus.kafka.promise(), versus.dohle.promise());
    let workload = if workload.is_empty() { promises } else { format!("{workload}; {promises}") };
    format!(
        "| {id} | {workload} | {name}, {unit} | {} | {} | {} | {} | {} |\n",
        cell(kafka),
        cell(dohle),
        ratio.map_or(NOTHING.to_owned(), digits),
        wanted(versus, floor),
        verdict(versus, dohle, ratio, floor),
    )
}

fn cell(spread: Option<Spread>) -> String {
    spread.map_or(NOTHING.to_owned(), |spread| {
        format!("{} [{}–{}]", digits(spread.median), digits(spread.min), digits(spread.max))
    })
}

fn wanted(versus: &Versus<'_>, floor: Option<f64>) -> String {
    let target = match versus.target {
        Target::Shown => return NOTHING.to_owned(),
        Target::Part(part) => format!("≤ {part}×"),
        Target::Times(times) => format!("≥ {times}×"),
        Target::AtMost(most) => format!("≤ {most} {}", versus.figure.unit),
    };
    let floor = floor.map(|floor| format!(", or ≤ {}", digits(floor * FLOOR_PART_MAX)));
    target + &floor.unwrap_or_default()
}

fn verdict(versus: &Versus<'_>, dohle: Option<Spread>, ratio: Option<f64>, floor: Option<f64>) -> &'static str {
    let is_met = match versus.target {
        Target::Shown => return "",
        Target::Part(part) => ratio.map(|ratio| ratio <= part),
        Target::Times(times) => ratio.map(|ratio| ratio >= times),
        Target::AtMost(most) => dohle.map(|dohle| dohle.median <= most),
    };
    let is_at_the_floor = dohle.zip(floor).is_some_and(|(dohle, floor)| dohle.median <= floor * FLOOR_PART_MAX);
    match is_met {
        _ if is_at_the_floor => "met",
        Some(true) => "met",
        Some(false) => "missed",
        None => NOTHING,
    }
}

fn failures(measured: &[(&Row, &Measured)]) -> String {
    let mut text = String::new();
    for (row, measured) in measured {
        for (entrant, why) in measured.failures() {
            let _ = writeln!(text, "- {}, {}: {why}", row.id, entrant.promise());
        }
    }
    if text.is_empty() { text } else { format!("\nLegs that failed and are not counted:\n\n{text}") }
}

fn overrun(measured: &[(&Row, &Measured)]) -> String {
    let mut text = String::new();
    for (row, measured) in measured {
        for entrant in row.entrants() {
            match measured.overrun(entrant) {
                0 => {}
                legs => drop(writeln!(text, "- {}, {}: {legs}", row.id, entrant.promise())),
            }
        }
    }
    let head = "\nLegs whose broker did not keep up with the rate, and how many; what waited is in their latency:\n\n";
    if text.is_empty() { text } else { format!("{head}{text}") }
}

/// A row that was never measured is named, so that nobody takes the table for all.
fn unmeasured(rows: &[Row], all: &BTreeMap<String, Measured>) -> String {
    let names: Vec<&str> = rows.iter().map(|row| row.id).filter(|id| !all.contains_key(*id)).collect();
    if names.is_empty() { String::new() } else { format!("\nNot measured yet: {}.\n", names.join(", ")) }
}

fn remarks_of(rows: &[Row], remarks: &BTreeMap<String, String>) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in rows.iter().flat_map(|row| [row.group(), row.id]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let told: String = names
        .into_iter()
        .filter_map(|name| Some((name, remarks.get(name)?)))
        .map(|(name, remark)| format!("\n**{name}.** {remark}\n"))
        .collect();
    if told.is_empty() { told } else { format!("\n## Remarks\n{told}") }
}

/// Rows of one run are told together.
fn circumstances(measured: &[(&Row, &Measured)]) -> String {
    let mut runs: Vec<(&Circumstances, Vec<&str>)> = Vec::new();
    for (row, measured) in measured {
        match runs.iter_mut().find(|(circumstances, _)| **circumstances == measured.circumstances) {
            Some((_, rows)) => rows.push(row.id),
            None => runs.push((&measured.circumstances, vec![row.id])),
        }
    }
    let mut text = String::from("\n## When and where\n\n");
    for (run, rows) in runs {
        let quick = if run.is_quick { ", short windows (a look, not a measurement)" } else { "" };
        let gate = if run.is_gated { ", each leg on a quiet machine" } else { ", the machine was not waited for" };
        let _ =
            writeln!(text, "- {}: {}, pairs: {}{quick}{gate}; `{}`", rows.join(", "), run.date, run.pairs, run.command);
        let _ = writeln!(text, "  {}", run.machine);
        let _ = writeln!(text, "  {}", run.versions);
    }
    text
}

/// What each name of a broker stands for.
fn settings(rows: &[Row]) -> String {
    let mut entrants: Vec<Entrant> = Vec::new();
    for entrant in rows.iter().flat_map(Row::entrants) {
        if !entrants.contains(&entrant) {
            entrants.push(entrant);
        }
    }
    let mut text = String::from("\n## Settings\n\n");
    for entrant in entrants {
        let own = if entrant.own().is_empty() { "its defaults".to_owned() } else { listed(entrant.own()) };
        let _ = writeln!(text, "- {}: {own}", entrant.promise());
    }
    let _ = writeln!(text, "- Kafka in every row: {}", listed(entrant::KAFKA));
    let _ = writeln!(text, "- Dohle in every row: {}", listed(entrant::DOHLE));
    let _ = writeln!(text, "- Both: {}, and the segments and retention of the workload", listed(entrant::ALL));
    text
}

fn listed(settings: &[(&str, &str)]) -> String {
    let each: Vec<String> = settings.iter().map(|(key, value)| format!("`{key}={value}`")).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::row::{Kept, Topic, Work};
    use super::super::store::Outcome;
    use super::super::store::tests::measured;
    use super::*;

    const FIGURES: &[Figure] = &[Figure::cpu_per_gb(Target::Part(0.5)).floor(0.1)];
    const ROW: Row = Row {
        id: "1a.small",
        workload: "produce",
        cores: Cores::Pinned,
        topic: Topic { topics: 1, partitions: 1, config: &[] },
        kept: Kept::All,
        pair: [Entrant::Kafka, Entrant::DohleRelaxed],
        beside: &[Entrant::Dohle],
        floor: None,
        hours: None,
        work: Work::Start,
        figures: FIGURES,
    };

    #[test]
    fn a_row_is_a_line_of_both_and_a_line_of_each_that_ran_beside() {
        use Entrant::{Dohle, DohleRelaxed, Kafka};
        let legs = [(Kafka, 1.0), (DohleRelaxed, 0.4), (Dohle, 0.6), (Kafka, 1.2), (DohleRelaxed, 0.3), (Dohle, 0.6)];
        let measured = measured("1a.small", &legs);
        let text = lines(&ROW, &measured);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "| 1a.small | produce; a core each; Kafka, no fsync / Dohle, relaxed | CPU, s/GB | 1.10 [1.00–1.20] | \
             0.350 [0.300–0.400] | 0.318 | ≤ 0.5×, or ≤ 0.130 | met |"
        );
        assert_eq!(
            lines[1],
            "| 1a.small | beside it; Kafka, no fsync / Dohle, fsync | CPU, s/GB | 1.10 [1.00–1.20] | \
             0.600 [0.600–0.600] | 0.545 | – |  |"
        );
    }

    #[test]
    fn a_target_is_met_by_its_ratio_or_at_the_floor_and_unknown_without_kafka() {
        use Entrant::{DohleRelaxed, Kafka};
        let said = |legs: &[(Entrant, f64)]| {
            let text = lines(&ROW, &measured("1a.small", legs));
            text.lines().next().unwrap().rsplit('|').nth(1).unwrap().trim().to_owned()
        };
        assert_eq!(said(&[(Kafka, 1.0), (DohleRelaxed, 0.5)]), "met");
        assert_eq!(said(&[(Kafka, 1.0), (DohleRelaxed, 0.51)]), "missed");
        assert_eq!(said(&[(Kafka, 0.1), (DohleRelaxed, 0.12)]), "met", "it stands at the floor");
        assert_eq!(said(&[(DohleRelaxed, 0.5)]), NOTHING);
    }

    #[test]
    fn where_more_is_better_the_floor_is_only_shown() {
        use Entrant::{Dohle, Floor, KafkaFsync};
        const MORE: &[Figure] = &[
            Figure::new("a", "b", "run/broker_cpu_seconds", 1.0, Target::Times(10.0)),
            Figure::new("c", "d", "run/nobody_knows", 1.0, Target::Shown),
        ];
        const ROW_OF_MORE: Row = Row {
            pair: [KafkaFsync, Dohle],
            beside: &[],
            floor: Some(super::super::floor::Floor::Latency { frame_bytes: 1, per_second: 1 }),
            figures: MORE,
            ..ROW
        };
        let measured = measured("1a.small", &[(KafkaFsync, 1.0), (Dohle, 8.0), (Floor, 8.1)]);
        let text = lines(&ROW_OF_MORE, &measured);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with("| 8.00 | ≥ 10× | missed |"), "{}", lines[0]);
        assert!(lines[2].ends_with("| 8.10 [8.10–8.10] | 8.10 | – |  |"), "{}", lines[2]);
        assert_eq!(lines.len(), 3, "what the floor does not tell is no line");
    }

    #[test]
    fn the_page_tells_of_failures_remarks_and_circumstances_once() {
        let mut first = measured("1a.small", &[(Entrant::Kafka, 1.0)]);
        first.legs[0].outcome = Outcome::Failed("ended by itself".to_owned());
        let behind = Outcome::Told(serde_json::json!({"run": {"unsent": 7}}));
        first.legs.push(super::super::store::Leg { entrant: Entrant::Dohle, pair: 1, outcome: behind });
        let all = BTreeMap::from([("1a.small".to_owned(), first), ("gone".to_owned(), measured("gone", &[]))]);
        let remarks = BTreeMap::from([("1a".to_owned(), "It is the disk.".to_owned())]);
        let page_of = |rows: &[Row]| page(rows, &all, &remarks);
        assert!(page_of(&[ROW, Row { id: "1c", ..ROW }]).contains("\nNot measured yet: 1c.\n"));
        let page = page_of(&[ROW]);
        assert!(page.contains("- 1a.small, Kafka, no fsync: ended by itself\n"));
        assert!(page.contains("- 1a.small, Dohle, fsync: 1\n"));
        assert!(page.contains("**1a.** It is the disk.\n"));
        assert_eq!(page.matches("2026-01-31").count(), 1);
        assert!(!page.contains("gone"), "a row that is no more is not shown");
        assert!(!page.contains("Not measured yet"));
    }
}
