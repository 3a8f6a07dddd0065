//! What must be true a while after the last fault: every producer gets through with transactions, and once they begin no more of them, all
//! are ended, all partitions are stable to their end, and nobody waits.

use std::time::Duration;

use super::world::World;

/// How long everybody works on in the calm: longer than anybody was still thinking, and than a transaction may hang after that.
pub(super) const WORK: Duration = Duration::from_secs(25);
/// How long everything may take to come to rest after that.
pub(super) const REST: Duration = Duration::from_secs(10);

/// Says what has not come to rest; `ended` is how many transactions each name had ended when the calm began.
pub(super) fn at_rest(world: &mut World, ended: &[u64]) -> Result<(), String> {
    let since = world.ended_by_name();
    if let Some(place) = since.iter().zip(ended).position(|(now, then)| now <= then) {
        let name = &world.clients[2 * place].kind.name;
        return Err(format!("{name} has ended no transaction in the calm"));
    }
    let busy = world.clients.iter().find(|client| !client.is_off() && !client.is_idle());
    if let Some(client) = busy {
        return Err(format!("{} has not come to rest: {client:?}", client.kind.name));
    }
    world.broker.leading_mut().ok_or("the broker does not lead")?.at_rest()
}
