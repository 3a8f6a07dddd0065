//! The member as a machine: answers go in, the next request comes out. Knows neither sockets nor the clock.

use bytes::{BufMut, Bytes, BytesMut};
use dohle_base::ErrorCode;
use dohle_protocol::message::join_group::{JoinGroupRequestProtocol, JoinGroupResponseMember};
use dohle_protocol::message::leave_group::MemberIdentity;
use dohle_protocol::message::sync_group::SyncGroupRequestAssignment;
use dohle_protocol::message::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
    SyncGroupResponse,
};
use dohle_protocol::record::consumer::consumer_protocol_assignment::TopicPartition;
use dohle_protocol::record::consumer::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use dohle_protocol::{Message, Rope, Str};

const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "range";
/// What members tell each other is written in the version that every client reads.
const WRITTEN_IN: i16 = 0;

/// What all members of a group share.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The group's id.
    pub group: Str,
    /// The topic that it reads.
    pub topic: Str,
    /// The topic's partitions.
    pub partitions: i32,
    /// A member that is not heard for so long is dead.
    pub session_timeout_ms: i32,
    /// A member that does not come back for so long in a rebalance is left behind.
    pub rebalance_timeout_ms: i32,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// To be a member of the next generation.
    Join(JoinGroupRequest),
    /// For the assignment; the leader brings everybody's.
    Sync(SyncGroupRequest),
    /// Whether all is as it was.
    Heartbeat(HeartbeatRequest),
    /// To be no member any more.
    Leave(LeaveGroupRequest),
}

/// What an answer came to.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "it is used up at once and never kept")]
pub enum Next {
    /// Go on at once.
    Ask(Ask),
    /// It has its assignment, or still has it: the next heartbeat is due in a while.
    Rest,
    /// The coordinator cannot now; join again in a moment.
    Retry(ErrorCode),
}

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    id: Str,
    generation: i32,
    settled: bool,
    leads: bool,
}

impl Default for Member {
    fn default() -> Self {
        Self { id: Str::default(), generation: -1, settled: false, leads: false }
    }
}

impl Member {
    /// The generation in which it has an assignment, if it has one.
    pub fn settled_in(&self) -> Option<i32> {
        self.settled.then_some(self.generation)
    }

    /// Whether it assigns.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// Its request to be a member.
    pub fn join(&mut self, terms: &Terms) -> Ask {
        self.settled = false;
        let subscription = ConsumerProtocolSubscription {
            topics: vec![terms.topic.clone()],
            ..ConsumerProtocolSubscription::default()
        };
        let protocol = JoinGroupRequestProtocol {
            name: PROTOCOL.into(),
            metadata: written(&subscription),
            ..JoinGroupRequestProtocol::default()
        };
        Ask::Join(JoinGroupRequest {
            group_id: terms.group.clone(),
            session_timeout_ms: terms.session_timeout_ms,
            rebalance_timeout_ms: terms.rebalance_timeout_ms,
            member_id: self.id.clone(),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols: vec![protocol],
            ..JoinGroupRequest::default()
        })
    }

    /// Its word that it is still there.
    pub fn heartbeat(&self, terms: &Terms) -> Ask {
        Ask::Heartbeat(HeartbeatRequest {
            group_id: terms.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        })
    }

    /// Its farewell, in either form that versions have.
    pub fn leave(&mut self, terms: &Terms, version: i16) -> Ask {
        const MEMBERS_SINCE: i16 = 3;
        self.settled = false;
        let mut request = LeaveGroupRequest { group_id: terms.group.clone(), ..LeaveGroupRequest::default() };
        if version < MEMBERS_SINCE {
            request.member_id = self.id.clone();
        } else {
            request.members = vec![MemberIdentity { member_id: self.id.clone(), ..MemberIdentity::default() }];
        }
        Ask::Leave(request)
    }

    /// The coordinator has gathered a generation.
    pub fn joined(&mut self, terms: &Terms, answer: &JoinGroupResponse) -> Next {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = answer.member_id.detached();
                return Next::Ask(self.join(terms));
            }
            error => return self.refused(error),
        }
        self.id = answer.member_id.detached();
        self.generation = answer.generation_id;
        self.leads = answer.leader == answer.member_id;
        let assignments = if self.leads { assign(terms, &answer.members) } else { vec![] };
        Next::Ask(Ask::Sync(SyncGroupRequest {
            group_id: terms.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: Some(PROTOCOL.into()),
            assignments,
            ..SyncGroupRequest::default()
        }))
    }

    /// The leader has assigned.
    pub fn synced(&mut self, terms: &Terms, answer: &SyncGroupResponse) -> Next {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => {
                self.settled = true;
                Next::Rest
            }
            ErrorCode::RebalanceInProgress => Next::Ask(self.join(terms)),
            error => self.refused(error),
        }
    }

    /// All is as it was, or not.
    pub fn beaten(&mut self, terms: &Terms, answer: &HeartbeatResponse) -> Next {
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => Next::Rest,
            ErrorCode::RebalanceInProgress => Next::Ask(self.join(terms)),
            error => self.refused(error),
        }
    }

    fn refused(&mut self, error: ErrorCode) -> Next {
        self.settled = false;
        if error == ErrorCode::UnknownMemberId {
            self.id = Str::default();
        }
        Next::Retry(error)
    }
}

/// As even as it can be, in the order in which the coordinator names the members.
fn assign(terms: &Terms, members: &[JoinGroupResponseMember]) -> Vec<SyncGroupRequestAssignment> {
    let (count, total) = (members.len() as i64, i64::from(terms.partitions));
    let share = |number: i64| (number * total / count) as i32..((number + 1) * total / count) as i32;
    let assignment = |(number, member): (i64, &JoinGroupResponseMember)| {
        let topic = TopicPartition { topic: terms.topic.clone(), partitions: share(number).collect() };
        let assigned_partitions = if topic.partitions.is_empty() { vec![] } else { vec![topic] };
        SyncGroupRequestAssignment {
            member_id: member.member_id.clone(),
            assignment: written(&ConsumerProtocolAssignment {
                assigned_partitions,
                ..ConsumerProtocolAssignment::default()
            }),
            ..SyncGroupRequestAssignment::default()
        }
    };
    (0..).zip(members).map(assignment).collect()
}

fn written<M: Message>(message: &M) -> Bytes {
    let mut rope = Rope::new();
    message.encode(&mut rope, WRITTEN_IN).expect("the oldest version can say what is said");
    let mut bytes = BytesMut::new();
    bytes.put_i16(WRITTEN_IN);
    bytes.put(rope.into_bytes());
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use dohle_protocol::Reader;

    use super::*;

    fn terms() -> Terms {
        Terms {
            group: "g".into(),
            topic: "t".into(),
            partitions: 7,
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
        }
    }

    fn gathered(me: &str, leader: &str, members: &[&str]) -> JoinGroupResponse {
        let member =
            |id: &&str| JoinGroupResponseMember { member_id: (*id).into(), ..JoinGroupResponseMember::default() };
        JoinGroupResponse {
            generation_id: 3,
            leader: leader.into(),
            member_id: me.into(),
            members: members.iter().map(member).collect(),
            ..JoinGroupResponse::default()
        }
    }

    fn partitions(assignment: &SyncGroupRequestAssignment) -> Vec<i32> {
        let mut reader = Reader::new(assignment.assignment.clone());
        assert_eq!(reader.i16(), WRITTEN_IN);
        let read = ConsumerProtocolAssignment::decode(&mut reader, WRITTEN_IN).unwrap();
        read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
    }

    #[test]
    fn a_leader_brings_every_partition_exactly_once() {
        let mut member = Member::default();
        let Next::Ask(Ask::Sync(sync)) = member.joined(&terms(), &gathered("b", "b", &["a", "b", "c"])) else {
            panic!("a member that has joined syncs")
        };
        let shares: Vec<Vec<i32>> = sync.assignments.iter().map(partitions).collect();
        assert_eq!(shares, [vec![0, 1], vec![2, 3], vec![4, 5, 6]]);
        assert_eq!((member.leads(), member.settled_in()), (true, None));
        assert_eq!(member.synced(&terms(), &SyncGroupResponse::default()), Next::Rest);
        assert_eq!(member.settled_in(), Some(3));
    }

    #[test]
    fn a_member_that_needs_an_id_joins_again_with_it() {
        let mut member = Member::default();
        let required = JoinGroupResponse {
            error_code: ErrorCode::MemberIdRequired.code(),
            member_id: "m".into(),
            ..JoinGroupResponse::default()
        };
        let Next::Ask(Ask::Join(join)) = member.joined(&terms(), &required) else { panic!("it joins again") };
        assert_eq!(join.member_id, "m");
    }

    #[test]
    fn a_rebalance_makes_a_settled_member_join_and_an_unknown_one_begin_anew() {
        let mut member = Member::default();
        member.joined(&terms(), &gathered("b", "a", &[]));
        member.synced(&terms(), &SyncGroupResponse::default());
        let beaten = |code: ErrorCode| HeartbeatResponse { error_code: code.code(), ..HeartbeatResponse::default() };
        assert_eq!(member.beaten(&terms(), &beaten(ErrorCode::None)), Next::Rest);
        let next = member.beaten(&terms(), &beaten(ErrorCode::RebalanceInProgress));
        assert!(matches!(next, Next::Ask(Ask::Join(join)) if join.member_id == "b"));
        assert_eq!(member.settled_in(), None);
        let unknown = ErrorCode::UnknownMemberId;
        assert_eq!(member.beaten(&terms(), &beaten(unknown)), Next::Retry(unknown));
        assert!(matches!(member.join(&terms()), Ask::Join(join) if join.member_id.is_empty()));
    }
}
