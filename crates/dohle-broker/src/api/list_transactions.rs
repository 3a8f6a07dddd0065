//! ListTransactions (KIP-664, KIP-994, KIP-1152): the transactional producers of this broker's coordinators.

use dohle_base::{ErrorCode, ProducerId};
use dohle_coordinator::transaction::TransactionFilter;
use dohle_protocol::message::list_transactions::{ListTransactionsRequest, ListTransactionsResponse, TransactionState};
use dohle_protocol::{ApiKey, Str};
use regex::Regex;

use super::Api;
use crate::context::Context;
use crate::dispatch::Client;
use crate::ledgers::coordinators::unanswered_code;

pub(crate) const API: Api = Api::of(ApiKey::ListTransactions);

pub(crate) async fn handle(
    cx: &Context,
    client: &Client,
    _version: i16,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let filter = TransactionFilter {
        states: request.state_filters.iter().map(Str::to_string).collect(),
        producers: request.producer_id_filters.iter().copied().map(ProducerId).collect(),
        duration_ms: (request.duration_filter >= 0).then_some(request.duration_filter),
    };
    let unknown_state_filters = filter.unknown_states().map(Into::into).collect();
    let (error_code, transaction_states) = match list(cx, &filter, request.transactional_id_pattern.as_ref()) {
        Ok(listed) => (client.code(ErrorCode::None), listed),
        Err(code) => (client.code(code), vec![]),
    };
    ListTransactionsResponse { error_code, unknown_state_filters, transaction_states, ..Default::default() }
}

/// The list without those of a coordinator that still reads its log would be a lie; who has ceased to be one has no transactions.
fn list(cx: &Context, filter: &TransactionFilter, written: Option<&Str>) -> Result<Vec<TransactionState>, ErrorCode> {
    let pattern = pattern(written)?;
    let now = cx.clock.wall();
    let mut states = vec![];
    for coordinator in cx.transactions.all() {
        let listed = coordinator.committed(|state| {
            let listed = state.list(filter, now);
            let wanted = listed.filter(|listed| matches(pattern.as_ref(), listed.transactional_id.as_str()));
            let told = wanted.map(|listed| TransactionState {
                transactional_id: listed.transactional_id.as_str().into(),
                producer_id: listed.transaction.producer.id.0,
                transaction_state: listed.transaction.state.name().into(),
                ..Default::default()
            });
            told.collect::<Vec<_>>()
        });
        match listed.map_err(unanswered_code) {
            Ok(listed) => states.extend(listed),
            Err(ErrorCode::NotCoordinator) => {}
            Err(code) => return Err(code),
        }
    }
    Ok(states)
}

/// The pattern that a whole id has to follow; an empty one lets all pass.
fn pattern(written: Option<&Str>) -> Result<Option<Regex>, ErrorCode> {
    let written = written.map(Str::as_str).filter(|written| !written.is_empty());
    let read = |written: &str| {
        // Read alone first: the brackets around it must not close what it opens.
        Regex::new(written).and_then(|_| Regex::new(&format!("^(?:{written})$")))
    };
    written.map(read).transpose().map_err(|_| ErrorCode::InvalidRegularExpression)
}

fn matches(pattern: Option<&Regex>, transactional_id: &str) -> bool {
    pattern.is_none_or(|pattern| pattern.is_match(transactional_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(written: &str, transactional_id: &str) -> Result<bool, ErrorCode> {
        Ok(matches(pattern(Some(&written.into()))?.as_ref(), transactional_id))
    }

    #[test]
    fn a_pattern_is_held_to_the_whole_id() {
        assert_eq!(finds("orders-.*", "orders-1"), Ok(true));
        assert_eq!(finds("orders", "orders-1"), Ok(false));
        assert_eq!(finds("a|orders-1", "orders-1"), Ok(true));
        assert_eq!(finds("", "orders-1"), Ok(true));
        for wrong in ["(", "a)(b", "["] {
            assert_eq!(finds(wrong, "a"), Err(ErrorCode::InvalidRegularExpression), "{wrong}");
        }
    }
}
