use super::*;

/// Figures after what the load has said: lost, duplicated, reordered.
fn after(script: &str) -> (u64, u64, u64) {
    let ledger = play(script);
    (ledger.tally.lost, ledger.tally.duplicated, ledger.tally.reordered)
}

fn play(script: &str) -> Ledger {
    let mut ledger = Ledger::default();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line {
            "bar" => ledger.bar(Place { topic: 1, partition: 0 }),
            "unbar" => ledger.unbar(),
            line => ledger.note(&Event::parse(line).expect(line)),
        }
    }
    ledger
}

const THREE: &str = "
    acked 1 0 once0 0 0
    acked 1 0 once0 1 1
    acked 1 0 plain0 0 2
";

fn check(read: &str) -> (u64, u64, u64) {
    after(&format!("{THREE}\nchecking 1\n{read}\nchecked 1"))
}

#[test]
fn what_is_as_it_was_promised_is_no_breach() {
    let whole = "spans 1 0 0 3\nread 1 0 0 once0 0\nread 1 0 1 once0 1\nread 1 0 2 plain0 0";
    assert_eq!(check(whole), (0, 0, 0));
    let more = "spans 1 0 0 4\nread 1 0 0 once0 0\nread 1 0 1 once0 1\nread 1 0 2 plain0 0\nread 1 0 3 once0 2";
    assert_eq!(check(more), (0, 0, 0), "one more that nobody was told of");
}

#[test]
fn a_planted_loss_is_seen() {
    assert_eq!(check("spans 1 0 0 2\nread 1 0 0 once0 0\nread 1 0 1 once0 1").0, 1, "at the end");
    assert_eq!(check("spans 1 0 0 0").0, 3, "all");
    assert_eq!(check("spans 1 0 0 3\nread 1 0 0 once0 0\nread 1 0 2 plain0 0").0, 1, "a hole");
    let other = "spans 1 0 0 3\nread 1 0 0 once0 0\nread 1 0 1 plain0 0\nread 1 0 2 once0 1";
    assert_eq!(check(other).0, 2, "at other offsets");
    let torn = "spans 1 0 0 3\nread 1 0 0 once0 0\nstrange 1 0 1\nread 1 0 2 plain0 0";
    assert_eq!(check(torn).0, 1, "not whole");
    let removed = "spans 1 0 1 3\nread 1 0 1 once0 1\nread 1 0 2 plain0 0";
    assert_eq!(check(removed).0, 2, "the record and the beginning");
}

#[test]
fn a_loss_is_counted_once() {
    let check = "checking 1\nspans 1 0 0 2\nread 1 0 0 once0 0\nread 1 0 1 once0 1\nchecked 1\n";
    assert_eq!(after(&format!("{THREE}{check}{check}")), (1, 0, 0));
}

#[test]
fn a_record_that_was_only_read_is_a_promise_too() {
    let first = "checking 1\nspans 1 0 0 1\nread 1 0 0 once0 0\nchecked 1\n";
    let second = "checking 1\nspans 1 0 0 0\nchecked 1\n";
    let unknown = "committing 1 0 1\n";
    assert_eq!(after(&format!("{unknown}{first}{second}")), (1, 0, 0));
}

#[test]
fn a_planted_duplicate_is_seen_where_there_may_be_none() {
    let again = |writer: &str, number: u32| {
        let whole = "spans 1 0 0 4\nread 1 0 0 once0 0\nread 1 0 1 once0 1\nread 1 0 2 plain0 0";
        check(&format!("{whole}\nread 1 0 3 {writer} {number}"))
    };
    assert_eq!(again("once0", 1), (0, 1, 0));
    assert_eq!(again("once0", 0), (0, 1, 0));
    assert_eq!(again("plain0", 0), (0, 0, 0));
}

#[test]
fn a_planted_reorder_is_seen() {
    let base = "checking 1\nspans 1 0 0 2\nread 1 0 0 once0 1\nread 1 0 1 once0 0\nchecked 1";
    assert_eq!(after(&format!("committing 1 0 1\n{base}")), (0, 0, 1));
    let gap = "checking 1\nspans 1 0 0 2\nread 1 0 0 plain0 0\nread 1 0 1 plain0 2\nchecked 1";
    assert_eq!(after(&format!("committing 1 0 1\n{gap}")), (0, 0, 1));
}

#[test]
fn two_records_at_one_offset_are_a_loss() {
    assert_eq!(after(&format!("{THREE}acked 1 0 once0 2 1")), (1, 0, 0));
}

#[test]
fn an_offset_of_a_group_never_goes_back_and_never_runs_ahead() {
    let stands = |offset: i64| {
        after(&format!(
            "committing 1 0 5\ncommitted 1 0 5\ncommitting 1 0 8\nchecking 1\nstands 1 0 {offset}\nchecked 1"
        ))
    };
    assert_eq!(stands(5), (0, 0, 0));
    assert_eq!(stands(8), (0, 0, 0), "the answer was lost, the commit not");
    assert_eq!(stands(4), (1, 0, 0));
    assert_eq!(stands(-1), (1, 0, 0));
    assert_eq!(stands(9), (0, 0, 1));
}

#[test]
fn nothing_is_acknowledged_behind_a_failed_sync() {
    let barred = format!("{THREE}next 1 0 once0 3\nbar\nacked 1 0 once0 2 3\n");
    assert_eq!(after(&barred), (0, 0, 0), "it was on its way");
    assert_eq!(after(&format!("{barred}acked 1 0 once0 3 4")), (1, 0, 0));
    assert_eq!(after(&format!("{barred}unbar\nacked 1 0 once0 3 4")), (0, 0, 0), "the broker began anew");
}

#[test]
fn a_client_that_gives_up_spoils_the_run() {
    let ledger = play("refused 1 0 once0 0 purged");
    assert!(!ledger.tally().is_clean());
    assert!(ledger.tally().to_string().ends_with("0 reordered, 1 given up by a client"));
}

#[test]
fn a_reading_that_does_not_end_says_nothing_of_what_it_did_not_come_to() {
    let ledger =
        play(&format!("{THREE}checking 1\nspans 1 0 0 3\nread 1 0 0 once0 0\ntrouble it takes too long\nchecked 1"));
    assert_eq!(ledger.tally().lost, 0);
    assert!(!ledger.tally().is_clean());
}
