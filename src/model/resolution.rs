//! How large composed pictures are (`protocol/rest.md`, 7.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One of the sizes of archives, broadcasts and renders: width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum Resolution {
    #[default]
    #[serde(rename = "640x480")]
    SdLandscape,
    #[serde(rename = "480x640")]
    SdPortrait,
    #[serde(rename = "1280x720")]
    HdLandscape,
    #[serde(rename = "720x1280")]
    HdPortrait,
    #[serde(rename = "1920x1080")]
    FhdLandscape,
    #[serde(rename = "1080x1920")]
    FhdPortrait,
}

impl Resolution {
    const ALL: [Self; 6] = [
        Self::SdLandscape,
        Self::SdPortrait,
        Self::HdLandscape,
        Self::HdPortrait,
        Self::FhdLandscape,
        Self::FhdPortrait,
    ];

    /// As the API and the store write it: `1280x720`.
    pub fn word(self) -> &'static str {
        match self {
            Self::SdLandscape => "640x480",
            Self::SdPortrait => "480x640",
            Self::HdLandscape => "1280x720",
            Self::HdPortrait => "720x1280",
            Self::FhdLandscape => "1920x1080",
            Self::FhdPortrait => "1080x1920",
        }
    }

    /// The size with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_and_the_store_write_the_same() {
        for size in Resolution::ALL {
            assert_eq!(serde_json::to_value(size).unwrap(), size.word());
            assert_eq!(Resolution::from_word(size.word()), Some(size));
        }
    }
}
