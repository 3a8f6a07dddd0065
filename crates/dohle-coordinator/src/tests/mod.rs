//! Groups as text: each file in `scripts` is a story that a person can follow, and that must come out as it is written.

mod script;
mod storm;

use crate::story::compare;

macro_rules! scripts {
    ($($name:ident $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                let written = include_str!(concat!("../../scripts/", $file));
                compare(written, &script::play(written));
            }
        )*
    };
}

scripts! {
    members_join_share_the_work_and_go "membership.txt",
    callers_who_are_wrong_are_told_what_is_wrong "refusals.txt",
    a_group_keeps_to_its_size "size.txt",
    sessions_end_and_barriers_close "sessions.txt",
    static_members_come_back "static.txt",
    whoever_waits_is_answered "barriers.txt",
    offsets_are_kept_fetched_and_forgotten "offsets.txt",
    offsets_in_a_transaction_count_when_it_is_committed "transactional-offsets.txt",
    offsets_outlive_their_group_for_a_while "retention.txt",
    the_next_leader_knows_what_the_log_knows "failover.txt",
}
