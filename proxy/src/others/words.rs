//! Bytes in JSON: a character for each byte, so that text stays legible and anything can be said.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

/// One piece of bytes.
pub mod latin1 {
    use super::{Deserialize, Deserializer, Error, Serialize, Serializer, bytes, text};

    /// As text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        text(value).serialize(serializer)
    }

    /// From text.
    ///
    /// # Errors
    /// The deserializer's, and characters that stand for no byte.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        bytes(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("not bytes"))
    }
}

/// Several.
pub mod latin1_list {
    use super::{Deserialize, Deserializer, Error, Serialize, Serializer, bytes, text};

    /// As texts.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(value: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        value.iter().map(|bytes| text(bytes)).collect::<Vec<_>>().serialize(serializer)
    }

    /// From texts.
    ///
    /// # Errors
    /// The deserializer's, and characters that stand for no byte.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| bytes(text)).collect::<Option<_>>().ok_or_else(|| D::Error::custom("not bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Question;

    #[test]
    fn any_bytes_come_back() {
        let all: Vec<u8> = (0..=255).collect();
        let words = vec![all.clone(), Vec::new(), b"client".to_vec()];
        let json = serde_json::to_value(Question::Kill(words.clone())).unwrap();
        let Question::Kill(back) = serde_json::from_value(json).unwrap() else { panic!("another question") };
        assert_eq!(back, words);
        assert!(serde_json::from_str::<Question>(r#"{"kill":["\u0100"]}"#).is_err());
    }
}
