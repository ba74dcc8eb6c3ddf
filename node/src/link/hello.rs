//! How a link begins: who speaks which protocol, and whether the caller knows the cluster's secret.

use serde::{Deserialize, Serialize};
use swell_ring::NodeId;

use crate::link::frame::{PROTOCOL, PROTOCOL_MIN};

/// What the calling side wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// A proxy's sessions, at a node.
    Sessions,
    /// A hand-over's stream, from its source, at its target.
    Stream,
    /// A node, a proxy or a person's command, at the scaler.
    Control,
}

/// The first frame of the calling side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub protocol_min: u32,
    pub purpose: Purpose,
    /// The cluster's secret; empty where there is none (Unix sockets only).
    #[serde(default)]
    pub secret: String,
    /// The node that is meant, so that a stale address does no harm.
    #[serde(default)]
    pub to: Option<NodeId>,
    /// Which start of its process the caller is, for the log.
    #[serde(default)]
    pub boot: String,
}

/// The first frame of the side that was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The protocol spoken from now on.
    Welcome { protocol: u32 },
    /// Why not; the connection is closed.
    Refused { why: Refused },
}

/// Why a link was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refused {
    #[error("it speaks protocols {0} to {1}, we speak {PROTOCOL_MIN} to {PROTOCOL}")]
    Protocol(u32, u32),
    #[error("the cluster secret is wrong")]
    Secret,
    #[error("this is not node {0}")]
    OtherNode(NodeId),
    #[error("this process does not do that: {0:?}")]
    Purpose(Purpose),
}

impl Hello {
    /// A greeting.
    pub fn new(purpose: Purpose, secret: &str, to: Option<NodeId>) -> Hello {
        Hello {
            protocol: PROTOCOL,
            protocol_min: PROTOCOL_MIN,
            purpose,
            secret: secret.to_owned(),
            to,
            boot: String::new(),
        }
    }

    /// The protocol to speak.
    ///
    /// # Errors
    /// No protocol in common, or another secret. `secret`: ours, if there is one.
    pub fn accept(&self, secret: &str) -> Result<u32, Refused> {
        let protocol = self.protocol.min(PROTOCOL);
        if protocol < self.protocol_min || protocol < PROTOCOL_MIN {
            return Err(Refused::Protocol(self.protocol_min, self.protocol));
        }
        if !same(self.secret.as_bytes(), secret.as_bytes()) {
            return Err(Refused::Secret);
        }
        Ok(protocol)
    }
}

/// Compares in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_protocols_interoperate_and_secrets_must_match() {
        let hello = Hello::new(Purpose::Sessions, "s", None);
        assert_eq!(hello.accept("s"), Ok(PROTOCOL));
        assert_eq!(hello.accept("t"), Err(Refused::Secret));
        assert_eq!(hello.accept(""), Err(Refused::Secret));
        let newer = Hello { protocol: PROTOCOL + 1, protocol_min: PROTOCOL, ..hello.clone() };
        assert_eq!(newer.accept("s"), Ok(PROTOCOL));
        let too_new = Hello { protocol: PROTOCOL + 2, protocol_min: PROTOCOL + 1, ..hello };
        assert_eq!(too_new.accept("s"), Err(Refused::Protocol(PROTOCOL + 1, PROTOCOL + 2)));
    }

    #[test]
    fn fields_that_are_not_known_are_skipped() {
        let text = r#"{"protocol":1,"protocol_min":1,"purpose":"control","later":[1,2]}"#;
        let hello: Hello = serde_json::from_str(text).unwrap();
        assert_eq!((hello.purpose, hello.secret.as_str(), hello.to), (Purpose::Control, "", None));
    }
}
