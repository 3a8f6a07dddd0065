//! What was said on a connection, cut into frames; each response knows the version of the request that it answers.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::recorder::Talk;

const API_VERSIONS: i16 = 18;
const UNSUPPORTED_VERSION: i16 = 35;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Request,
    Response,
}

impl Role {
    /// As it is written in a file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Request => "request",
            Role::Response => "response",
        }
    }

    /// The role of that name.
    pub(super) fn of(name: &str) -> Option<Role> {
        [Role::Request, Role::Response].into_iter().find(|role| role.name() == name)
    }
}

/// One frame without its length.
pub(super) struct Frame {
    pub(super) api: i16,
    pub(super) version: i16,
    pub(super) role: Role,
    pub(super) bytes: Vec<u8>,
}

/// All frames of one connection. A last one that was not sent to its end is left out.
pub(super) fn of(talk: &Talk) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    let mut asked = BTreeMap::new();
    for bytes in cut(&talk.requests)? {
        let (api, version) = (number(bytes, 0)?, number(bytes, 2)?);
        let correlation = bytes.get(4..8).context("a request without a correlation id")?;
        asked.insert(correlation, (api, version));
        frames.push(Frame { api, version, role: Role::Request, bytes: bytes.to_vec() });
    }
    for bytes in cut(&talk.responses)? {
        let correlation = bytes.get(..4).context("a response without a correlation id")?;
        let (api, version) = *asked.get(correlation).context("a response to no request")?;
        // KIP-511: a version of ApiVersions that the broker does not know is answered in version 0.
        let is_refused = api == API_VERSIONS && number(bytes, 4)? == UNSUPPORTED_VERSION;
        let version = if is_refused { 0 } else { version };
        frames.push(Frame { api, version, role: Role::Response, bytes: bytes.to_vec() });
    }
    Ok(frames)
}

fn cut(mut stream: &[u8]) -> Result<Vec<&[u8]>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk::<4>() {
        let length = usize::try_from(i32::from_be_bytes(*length)).context("a frame of negative length")?;
        let Some((frame, rest)) = rest.split_at_checked(length) else { break };
        ensure!(length >= 4, "a frame of {length} bytes");
        frames.push(frame);
        stream = rest;
    }
    Ok(frames)
}

fn number(frame: &[u8], at: usize) -> Result<i16> {
    let bytes = frame.get(at..at + 2).with_context(|| format!("a frame of {} bytes", frame.len()))?;
    Ok(i16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frames: &[&[u8]]) -> Vec<u8> {
        let one = |frame: &&[u8]| [&(frame.len() as u32).to_be_bytes()[..], frame].concat();
        frames.iter().flat_map(one).collect()
    }

    fn frames(requests: &[&[u8]], responses: &[&[u8]], cut_off: usize) -> Vec<(i16, i16, Role)> {
        let mut talk = Talk { requests: framed(requests), responses: framed(responses) };
        talk.responses.truncate(talk.responses.len() - cut_off);
        of(&talk).unwrap().iter().map(|frame| (frame.api, frame.version, frame.role)).collect()
    }

    const METADATA_9: &[u8] = &[0, 3, 0, 9, 0, 0, 0, 1, 0xff, 0xff];
    const API_VERSIONS_9: &[u8] = &[0, 18, 0, 9, 0, 0, 0, 2, 0xff, 0xff];

    #[test]
    fn a_response_has_the_version_of_its_request_in_whatever_order_it_comes() {
        let answers: [&[u8]; 2] = [&[0, 0, 0, 2, 0, 0], &[0, 0, 0, 1, 7]];
        let found = frames(&[METADATA_9, API_VERSIONS_9], &answers, 0);
        assert_eq!(found[2..], [(18, 9, Role::Response), (3, 9, Role::Response)]);
        assert_eq!(frames(&[METADATA_9, API_VERSIONS_9], &answers, 1).len(), 3, "the last frame is not whole");
    }

    #[test]
    fn an_api_versions_that_is_too_new_is_answered_in_version_0() {
        let found = frames(&[API_VERSIONS_9], &[&[0, 0, 0, 2, 0, 35, 0, 0, 0, 0]], 0);
        assert_eq!(found, [(18, 9, Role::Request), (18, 0, Role::Response)]);
    }
}
