//! The control records of the metadata log: a leader's first words in its epoch, and, in a log that is new, who votes (KIP-595,
//! KIP-853).

use dohle_base::{BrokerId, Timestamp, Uuid};
use dohle_protocol::record::control::kraft_version::KRaftVersionRecord;
use dohle_protocol::record::control::leader_change_message::{self, LeaderChangeMessage};
use dohle_protocol::record::control::voters::{self, Endpoint, KRaftVersionFeature, VotersRecord};
use dohle_protocol::{Message, Rope};
use dohle_records::Batch;
use dohle_records::batch::encode::{Builder, Settings};
use dohle_records::control::{self, Kind};

/// The version of the quorum in which voters are known by their directories and may change.
const KRAFT_VERSION: i16 = 1;

/// A voter of the quorum.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    pub(crate) id: BrokerId,
    pub(crate) directory: Uuid,
    /// Where other controllers would find it.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// The batch with which `voter` begins an epoch over a quorum of itself alone. In a log that `is_new`, it says who the voters are.
pub(super) fn begin_epoch(voter: &Voter, is_new: bool, now: Timestamp) -> Batch {
    let mut builder = Builder::new(Settings { control: true, ..Settings::default() });
    // In version 0 voters have no directory: Kafka writes and reads no other.
    let itself = || leader_change_message::Voter { voter_id: voter.id.0, ..Default::default() };
    let change = LeaderChangeMessage {
        leader_id: voter.id.0,
        voters: vec![itself()],
        granting_voters: vec![itself()],
        ..Default::default()
    };
    let mut write = |kind, value: Rope| {
        control::append(&mut builder, now, kind, &value.into_bytes()).expect("a few control records are small");
    };
    write(Kind::LeaderChange, encoded(&change));
    if is_new {
        let version = KRaftVersionRecord { kraft_version: KRAFT_VERSION, ..Default::default() };
        write(Kind::KRaftVersion, encoded(&version));
        write(Kind::KRaftVoters, encoded(&voters(voter)));
    }
    builder.finish()
}

fn voters(voter: &Voter) -> VotersRecord {
    let itself = voters::Voter {
        voter_id: voter.id.0,
        voter_directory_id: voter.directory,
        endpoints: voter.endpoints.clone(),
        kraft_version_feature: KRaftVersionFeature {
            min_supported_version: 0,
            max_supported_version: KRAFT_VERSION,
            ..Default::default()
        },
        ..Default::default()
    };
    VotersRecord { voters: vec![itself], ..Default::default() }
}

/// Every control record is in its first version still.
fn encoded<M: Message>(message: &M) -> Rope {
    let mut rope = Rope::new();
    message.encode(&mut rope, 0).expect("a control record of its own version");
    rope
}
