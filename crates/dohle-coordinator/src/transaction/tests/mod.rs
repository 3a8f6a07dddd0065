//! Transactions as text: each file in `scripts/transactions` is a story or a table that a person can follow, and that must
//! come out as it is written.

mod script;
mod storm;
mod table;

use crate::story::compare;

macro_rules! texts {
    ($play:path: $($name:ident $file:literal,)*) => {
        $(
            #[test]
            fn $name() {
                let written = include_str!(concat!("../../../scripts/transactions/", $file));
                compare(written, &$play(written));
            }
        )*
    };
}

texts! {
    script::play:
    a_transaction_begins_spreads_and_ends "life.txt",
    a_new_life_fences_the_old_one "fencing.txt",
    epochs_are_used_up_and_never_negative "epochs.txt",
    what_takes_too_long_is_aborted_and_what_is_idle_forgotten "time.txt",
    the_next_leader_goes_on_where_the_log_ends "failover.txt",
    an_operator_sees_the_transactions "view.txt",
}

texts! {
    table::play:
    every_end_has_its_answer_in_every_state "end.txt",
    every_init_has_its_answer_in_every_state "init.txt",
    every_addition_has_its_answer_in_every_state "add.txt",
}
