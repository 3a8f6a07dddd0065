//! Producers that repeat what they sent before a restart.

use super::*;

#[test]
fn every_batch_that_may_be_repeated_is_known_after_a_restart() {
    let disk = disk();
    let (mut log, _) = open(&disk, &CLEAN);
    let sent: Vec<i64> = (0..4).map(|n| lead(&mut log, 0, &idempotent(7, n * 2, 2)).unwrap().base_offset.0).collect();
    log.close(NOW).unwrap();
    for opening in [CLEAN, UNCLEAN] {
        let (mut log, _) = open(&disk, &opening);
        for (n, offset) in (0..).zip(&sent) {
            let again = lead(&mut log, 0, &idempotent(7, n * 2, 2)).unwrap();
            assert_eq!(again.base_offset, Offset(*offset), "batch {n}");
        }
        log.close(NOW).unwrap();
    }
}
