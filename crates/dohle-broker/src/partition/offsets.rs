//! Where in a partition a reader may begin: at one of its ends, or by time (KIP-79, KIP-734).

use dohle_base::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_log::disk::Files;
use dohle_log::log::{ByTime, Moment};
use dohle_replication::partition::Leader;

use super::{Isolation, Log, Partition};

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// The first record.
    Earliest,
    /// Behind the last record that the reader may see.
    Latest,
    /// The first record that is not older.
    NotBefore(Timestamp),
    /// The first record of the largest time.
    LargestTime,
}

/// Who looks for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looker {
    /// What it may see; none for whoever may see the whole log.
    pub(crate) isolation: Option<Isolation>,
    /// The reign that it believes in; negative where it does not say.
    pub(crate) current_epoch: i32,
}

/// A place that is known at once, or has to be looked for.
enum Search {
    Known(Moment),
    ByTime(ByTime<Files>),
}

impl Partition {
    /// Finds a place; none where no record that the looker may see is there. A search by time reads the disk, without the
    /// partition's lock.
    pub(crate) fn find(&self, spot: Spot, looker: Looker) -> Result<Option<Moment>, ErrorCode> {
        let (limit, search) = self.look_mut(|log, leader| {
            Self::check_epoch(leader, looker.current_epoch)?;
            let limit = limit(log, leader, looker.isolation);
            let search = match spot {
                Spot::Earliest => Search::Known(end(log.start(), log.epochs().at(log.start()))),
                Spot::Latest => Search::Known(end(limit, Some(leader.epoch()))),
                Spot::NotBefore(time) => Search::ByTime(log.by_time(time)),
                Spot::LargestTime => Search::ByTime(log.by_largest_time()),
            };
            Ok((limit, search))
        })??;
        match search {
            Search::Known(moment) => Ok(Some(moment)),
            Search::ByTime(search) => {
                let found = search.find().map_err(|error| error.code())?;
                Ok(found.filter(|moment| moment.offset < limit))
            }
        }
    }
}

fn limit(log: &mut Log, leader: &Leader, isolation: Option<Isolation>) -> Offset {
    match isolation {
        Some(Isolation::ReadCommitted) => log.last_stable(leader.high_watermark()),
        Some(Isolation::ReadUncommitted) => leader.high_watermark(),
        None => log.end(),
    }
}

/// An end of the log, which has no time.
fn end(offset: Offset, epoch: Option<LeaderEpoch>) -> Moment {
    Moment { time: Timestamp::NONE, offset, epoch: epoch.unwrap_or(LeaderEpoch::NONE) }
}
