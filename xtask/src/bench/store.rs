//! The raw numbers on the disk: one small JSON file for each row, so that a run of some rows replaces only these.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entrant::Entrant;
use super::machine::Circumstances;
use super::row::Figure;
use super::spread::Spread;

/// A row as it was measured last.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(super) struct Measured {
    pub row: String,
    pub circumstances: Circumstances,
    pub legs: Vec<Leg>,
}

/// One turn of one broker.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
pub(super) struct Leg {
    pub entrant: Entrant,
    /// From 1.
    pub pair: usize,
    pub outcome: Outcome,
}

/// What came of a leg.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// What was told, an entry for each measurement.
    Told(Value),
    /// Why there are no figures.
    Failed(String),
}

impl Measured {
    /// A figure over all legs of one broker; none where none told it.
    pub(super) fn spread(&self, entrant: Entrant, figure: &Figure) -> Option<Spread> {
        let legs = self.legs.iter().filter(|leg| leg.entrant == entrant);
        let figures: Vec<f64> = legs
            .filter_map(|leg| match &leg.outcome {
                Outcome::Told(told) => figure.of(told),
                Outcome::Failed(_) => None,
            })
            .collect();
        Spread::of(&figures)
    }

    /// In how many legs of one broker it did not keep up with a fixed rate.
    pub(super) fn overrun(&self, entrant: Entrant) -> usize {
        self.legs.iter().filter(|leg| leg.entrant == entrant && leg.unsent() > 0).count()
    }

    /// The legs that failed, with their reasons.
    pub(super) fn failures(&self) -> impl Iterator<Item = (Entrant, &str)> {
        self.legs.iter().filter_map(|leg| match &leg.outcome {
            Outcome::Told(_) => None,
            Outcome::Failed(why) => Some((leg.entrant, why.as_str())),
        })
    }
}

impl Leg {
    /// Requests that were due and could not be sent, over all that it measured: the broker did not keep up.
    fn unsent(&self) -> u64 {
        let Outcome::Told(Value::Object(told)) = &self.outcome else { return 0 };
        told.values().filter_map(|measured| measured.get("unsent")?.as_u64()).sum()
    }
}

/// Where the report and its numbers lie.
pub(super) struct Store {
    folder: PathBuf,
}

impl Store {
    /// `benchmarks.md` and `benchmarks/` in a folder, which is made.
    pub(super) fn open(folder: &Path) -> Result<Store> {
        let store = Store { folder: folder.to_owned() };
        let numbers = store.numbers();
        fs::create_dir_all(&numbers).with_context(|| format!("create {}", numbers.display()))?;
        Ok(store)
    }

    /// Keeps a row in place of what was kept of it before.
    pub(super) fn keep(&self, measured: &Measured) -> Result<()> {
        let path = self.numbers().join(format!("{}.json", measured.row));
        let text = serde_json::to_string_pretty(measured)? + "\n";
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// All rows by their ids.
    pub(super) fn all(&self) -> Result<BTreeMap<String, Measured>> {
        self.files("json")?
            .into_iter()
            .map(|(id, text)| Ok((id.clone(), serde_json::from_str(&text).with_context(|| format!("{id}.json"))?)))
            .collect()
    }

    /// What people have written of a row or of a group of rows, by its name: `benchmarks/NAME.md`.
    pub(super) fn remarks(&self) -> Result<BTreeMap<String, String>> {
        Ok(self.files("md")?.into_iter().map(|(name, text)| (name, text.trim().to_owned())).collect())
    }

    /// Replaces the report.
    pub(super) fn publish(&self, report: &str) -> Result<PathBuf> {
        let path = self.folder.join("benchmarks.md");
        fs::write(&path, report).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    fn numbers(&self) -> PathBuf {
        self.folder.join("benchmarks")
    }

    /// Name without the ending, and text, of each file with that ending.
    fn files(&self, ending: &str) -> Result<BTreeMap<String, String>> {
        let folder = self.numbers();
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == ending) {
                let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                let name = path.file_stem().expect("what has an ending has a name").to_string_lossy().into_owned();
                files.insert(name, text);
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::super::row::Target;
    use super::*;

    pub(crate) fn measured(row: &str, legs: &[(Entrant, f64)]) -> Measured {
        let circumstances = Circumstances {
            date: "2026-01-31".to_owned(),
            pairs: 5,
            is_quick: false,
            is_gated: true,
            machine: "2 cores".to_owned(),
            versions: "Dohle a, Apache Kafka 4.4.0".to_owned(),
            command: "cargo xtask bench".to_owned(),
        };
        let leg = |(entrant, cpu): &(Entrant, f64)| Leg {
            entrant: *entrant,
            pair: 1,
            outcome: Outcome::Told(json!({"run": {"broker_cpu_seconds": cpu, "bytes": 1e9}})),
        };
        Measured { row: row.to_owned(), circumstances, legs: legs.iter().map(leg).collect() }
    }

    #[test]
    fn a_run_of_one_row_leaves_the_others_as_they_were() {
        let folder = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let store = Store::open(&folder).unwrap();
        store.keep(&measured("1a", &[(Entrant::Kafka, 1.0)])).unwrap();
        store.keep(&measured("1b", &[(Entrant::Kafka, 2.0)])).unwrap();
        store.keep(&measured("1a", &[(Entrant::Kafka, 3.0)])).unwrap();
        let all = store.all().unwrap();
        fs::remove_dir_all(folder).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all["1a"], measured("1a", &[(Entrant::Kafka, 3.0)]));
        assert_eq!(all["1b"], measured("1b", &[(Entrant::Kafka, 2.0)]));
    }

    #[test]
    fn a_spread_is_over_the_legs_of_one_broker_that_did_not_fail() {
        let mut row = measured("1a", &[(Entrant::Kafka, 1.0), (Entrant::Dohle, 9.0), (Entrant::Kafka, 3.0)]);
        let outcome = Outcome::Failed("ended by itself".to_owned());
        row.legs.push(Leg { entrant: Entrant::Kafka, pair: 2, outcome });
        let spread = row.spread(Entrant::Kafka, &Figure::cpu_per_gb(Target::Shown)).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(row.failures().collect::<Vec<_>>(), [(Entrant::Kafka, "ended by itself")]);
        assert_eq!(row.spread(Entrant::DohleRelaxed, &Figure::cpu_per_gb(Target::Shown)), None);
    }
}
