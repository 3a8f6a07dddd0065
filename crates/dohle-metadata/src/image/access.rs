//! Rules of access, credentials and delegation tokens, as written.
//!
//! Nobody enforces them here: they are kept so that neither a snapshot nor a log that Kafka began loses one.

use dohle_base::Uuid;
use dohle_protocol::record::metadata::{
    AccessControlEntryRecord, DelegationTokenRecord, RemoveAccessControlEntryRecord, RemoveDelegationTokenRecord,
    RemoveUserScramCredentialRecord, UserScramCredentialRecord,
};
use dohle_protocol::{Message, Reader, Rope};
use imbl::OrdMap;

use super::Contradiction;

/// All of them. Cloning shares them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Access {
    rules: OrdMap<Uuid, AccessControlEntryRecord>,
    /// By user and mechanism.
    credentials: OrdMap<(String, i8), UserScramCredentialRecord>,
    tokens: OrdMap<String, DelegationTokenRecord>,
}

impl Access {
    /// The rules, by id.
    pub fn rules(&self) -> impl Iterator<Item = &AccessControlEntryRecord> {
        self.rules.values()
    }

    /// The credentials, by user and mechanism.
    pub fn credentials(&self) -> impl Iterator<Item = &UserScramCredentialRecord> {
        self.credentials.values()
    }

    /// The tokens, by id.
    pub fn tokens(&self) -> impl Iterator<Item = &DelegationTokenRecord> {
        self.tokens.values()
    }

    pub(super) fn allow(&mut self, record: &AccessControlEntryRecord) {
        self.rules.insert(record.id, detached(record));
    }

    pub(super) fn forget_rule(&mut self, record: &RemoveAccessControlEntryRecord) -> Result<(), Contradiction> {
        self.rules.remove(&record.id).map(drop).ok_or(Contradiction::NoAccessRule(record.id))
    }

    pub(super) fn trust(&mut self, record: &UserScramCredentialRecord) {
        self.credentials.insert((record.name.to_string(), record.mechanism), detached(record));
    }

    pub(super) fn forget_credential(&mut self, record: &RemoveUserScramCredentialRecord) {
        self.credentials.remove(&(record.name.to_string(), record.mechanism));
    }

    pub(super) fn delegate(&mut self, record: &DelegationTokenRecord) {
        self.tokens.insert(record.token_id.to_string(), detached(record));
    }

    pub(super) fn forget_token(&mut self, record: &RemoveDelegationTokenRecord) {
        self.tokens.remove(record.token_id.as_str());
    }
}

/// The same record in a buffer of its own, so that the batch it was read from can be freed.
fn detached<M: Message>(record: &M) -> M {
    let version = *M::VERSIONS.end();
    let mut rope = Rope::new();
    record.encode(&mut rope, version).expect("the newest version holds whatever an older one does");
    M::decode(&mut Reader::new(rope.into_bytes()), version).expect("it was just written")
}
