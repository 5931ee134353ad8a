//! An event with its place and time, and the JSON that `--output json` prints.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Event;

/// The version of the JSON event stream; raised when a field changes its meaning.
pub const STREAM_VERSION: u32 = 1;

/// One event of a run's single, ordered stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Its place in the run, from 0, without gaps.
    pub index: u64,
    /// Milliseconds since 1970, by the controller's clock.
    pub at_ms: u64,
    pub event: Event,
}

impl Stamped {
    /// One flat object: `version`, `index`, `at_ms`, `event` (its kind), and the event's own fields.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("version".into(), STREAM_VERSION.into());
        object.insert("index".into(), self.index.into());
        object.insert("at_ms".into(), self.at_ms.into());
        // Events hold nothing that JSON cannot say; should one ever, the stream shows it as such.
        let tagged = serde_json::to_value(&self.event)
            .unwrap_or_else(|error| Value::String(format!("unprintable: {error}")));
        match tagged {
            Value::Object(map) => {
                for (kind, fields) in map {
                    object.insert("event".into(), kind.into());
                    match fields {
                        Value::Object(fields) => object.extend(fields),
                        other => drop(object.insert("value".into(), other)),
                    }
                }
            }
            other => drop(object.insert("event".into(), other)),
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Level;

    #[test]
    fn the_json_of_an_event_is_flat() {
        let stamped = Stamped {
            index: 3,
            at_ms: 1_700_000_000_000,
            event: Event::Note {
                level: Level::Warning,
                node: Some("node-a".parse().unwrap()),
                text: "slow".into(),
                hint: None,
            },
        };
        let json = stamped.to_json();
        assert_eq!(json["version"], 1);
        assert_eq!(json["event"], "note");
        assert_eq!(json["node"], "node-a");
        assert_eq!(json["level"], "warning");
    }
}
