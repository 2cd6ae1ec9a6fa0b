//! Video codecs, as applications, projects and operators name and order them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// A video codec that passes through the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// AV1 RTP payload, AOMedia.
    Av1,
}

impl VideoCodec {
    const ALL: [Self; 4] = [Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Its name in settings, REST and session info.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H264 => "h264",
            Self::Av1 => "av1",
        }
    }
}

/// The codecs that a session may use, the preferred one first: at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoCodecs(Vec<VideoCodec>);

/// A text that lists no codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no list of vp8, vp9, h264 and av1, each at most once")]
pub struct InvalidCodecs;

impl VideoCodecs {
    /// The one that publishers are to prefer.
    pub fn first(&self) -> VideoCodec {
        self.0[0]
    }

    /// How far in front a codec is, from 0; `None` if it may not be used.
    pub fn rank(&self, codec: VideoCodec) -> Option<usize> {
        self.0.iter().position(|allowed| *allowed == codec)
    }
}

impl FromStr for VideoCodecs {
    type Err = InvalidCodecs;

    /// Reads names with commas between them, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidCodecs> {
        let mut codecs = Vec::new();
        for word in text.split(',') {
            let is_named = |codec: &VideoCodec| codec.word().eq_ignore_ascii_case(word.trim());
            let codec = VideoCodec::ALL.into_iter().find(is_named);
            let codec = codec.filter(|codec| !codecs.contains(codec));
            codecs.push(codec.ok_or(InvalidCodecs)?);
        }
        Ok(Self(codecs))
    }
}

impl<'de> Deserialize<'de> for VideoCodecs {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(input)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for VideoCodecs {
    fn schema_name() -> Cow<'static, str> {
        "VideoCodecs".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = VideoCodec::ALL.map(VideoCodec::word).join("|");
        let pattern = format!("^({words})(,({words})){{0,3}}$");
        json_schema!({"type": "string", "pattern": pattern, "examples": ["h264,vp8"]})
    }
}

impl fmt::Display for VideoCodecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.0.iter().map(|codec| codec.word()).collect();
        f.write_str(&words.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_order_and_each_codec_once() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<VideoCodecs>().ok();
            let read = read.map(|codecs| codecs.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        };
        check("h264", Some("h264"));
        check(" VP9 , vp8", Some("vp9,vp8"));
        check("av1,h264,vp9,vp8", Some("av1,h264,vp9,vp8"));
        for wrong in ["", ",", "vp8,", "vp8,vp8", "h265", "vp8 vp9"] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_first_is_preferred_and_what_is_not_listed_has_no_rank() {
        let codecs: VideoCodecs = "h264,vp8".parse().unwrap();
        assert_eq!(codecs.first(), VideoCodec::H264);
        assert_eq!(codecs.rank(VideoCodec::Vp8), Some(1));
        assert_eq!(codecs.rank(VideoCodec::Av1), None);
    }
}
