//! The channels of a stream: its sound, its picture, and data that goes with them
//! (`protocol/signaling.md`, section 8).

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::{known_word, whole_number};
use crate::model::id::InvalidId;

/// One of the four channels a stream can have; their ids are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// The picture.
    #[serde(rename = "video1")]
    Video,
    /// The sound.
    #[serde(rename = "audio1")]
    Audio,
    /// Captions.
    #[serde(rename = "caption1")]
    Captions,
    /// Sender statistics.
    #[serde(rename = "downlinkStats1")]
    DownlinkStats,
}

impl Channel {
    /// All there are.
    pub const ALL: [Self; 4] = [
        Self::Video,
        Self::Audio,
        Self::Captions,
        Self::DownlinkStats,
    ];

    /// Its id on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Video => "video1",
            Self::Audio => "audio1",
            Self::Captions => "caption1",
            Self::DownlinkStats => "downlinkStats1",
        }
    }
}

impl FromStr for Channel {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.word() == text)
            .ok_or(InvalidId)
    }
}

/// What a channel carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Messages.
    Data,
}

/// Where pictures come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VideoSource {
    /// A camera.
    Camera,
    /// A screen or window.
    Screen,
    /// A track of the application's own.
    Custom,
}

/// How a picture fills its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FitMode {
    /// Fills it; parts are cut off.
    Cover,
    /// Fits into it; borders stay.
    Contain,
}

/// A channel of a stream, as its publisher describes it and everybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamChannel {
    /// Which.
    pub id: Channel,
    /// What it carries.
    #[serde(rename = "type")]
    pub kind: ChannelKind,
    /// Whether something is sent.
    #[serde(default)]
    pub active: bool,
    /// The rest of its properties.
    #[serde(flatten)]
    pub picture: Picture,
}

/// Properties only a video channel has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Pixels.
    #[serde(
        default,
        deserialize_with = "whole_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(
        default,
        deserialize_with = "whole_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub height: Option<u32>,
    /// Rotation as the client numbers it.
    #[serde(
        default,
        deserialize_with = "whole_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub orientation: Option<u32>,
    /// Frames per second.
    #[serde(
        default,
        deserialize_with = "whole_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub frame_rate: Option<u32>,
    /// Where it comes from.
    #[serde(
        default,
        deserialize_with = "known_word",
        skip_serializing_if = "Option::is_none"
    )]
    pub source: Option<VideoSource>,
    /// How it is shown.
    #[serde(
        default,
        deserialize_with = "known_word",
        skip_serializing_if = "Option::is_none"
    )]
    pub fit_mode: Option<FitMode>,
}

/// A change of a stream's channel. Holds exactly the properties that receivers understand: at an
/// unknown one they would stop reading.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelChange {
    /// Whether something is sent from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// The other properties that change.
    #[serde(flatten)]
    pub picture: Picture,
}

impl StreamChannel {
    /// Applies a change and returns what of it was news. Clients send many updates that change
    /// nothing, and each of those that is passed on causes spurious events in every application
    /// (`protocol/signaling.md`, 8.4): tell nobody of `None`.
    pub fn apply(&mut self, change: &ChannelChange) -> Option<ChannelChange> {
        let mut active = Some(self.active);
        let (picture, new) = (&mut self.picture, &change.picture);
        let news = ChannelChange {
            active: replace(&mut active, change.active),
            picture: Picture {
                width: replace(&mut picture.width, new.width),
                height: replace(&mut picture.height, new.height),
                orientation: replace(&mut picture.orientation, new.orientation),
                frame_rate: replace(&mut picture.frame_rate, new.frame_rate),
                source: replace(&mut picture.source, new.source),
                fit_mode: replace(&mut picture.fit_mode, new.fit_mode),
            },
        };
        self.active = active.unwrap_or_default();
        (news != ChannelChange::default()).then_some(news)
    }
}

/// Puts a new value in place of an old one; returns it if it differs.
fn replace<T: Copy + PartialEq>(old: &mut Option<T>, new: Option<T>) -> Option<T> {
    let news = new.filter(|_| new != *old);
    *old = news.or(*old);
    news
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIDEO: &str =
        r#"{"id":"video1","type":"video","active":true,"width":640,"height":480,"orientation":0}"#;

    #[test]
    fn a_channel_is_announced_as_it_was_described() {
        let channel: StreamChannel = serde_json::from_str(VIDEO).unwrap();
        assert_eq!(serde_json::to_string(&channel).unwrap(), VIDEO);
    }

    #[test]
    fn a_change_that_changes_nothing_is_no_news() {
        let mut channel: StreamChannel = serde_json::from_str(VIDEO).unwrap();
        let before = channel;
        assert_eq!(channel.apply(&change(r#"{"active":true}"#)), None);
        assert_eq!(
            channel.apply(&change(r#"{"width":640,"height":480}"#)),
            None
        );
        assert_eq!(channel.apply(&change("{}")), None);
        assert_eq!(channel, before);
    }

    #[test]
    fn only_what_is_new_is_passed_on() {
        let mut channel: StreamChannel = serde_json::from_str(VIDEO).unwrap();
        let news = channel.apply(&change(r#"{"active":true,"width":1280,"height":480}"#));
        assert_eq!(news, Some(change(r#"{"width":1280}"#)));
        assert_eq!(channel.picture.width, Some(1280));
        let news = channel.apply(&change(r#"{"active":false}"#)).unwrap();
        assert_eq!(serde_json::to_string(&news).unwrap(), r#"{"active":false}"#);
        assert!(!channel.active);
    }

    #[test]
    fn numbers_may_be_written_as_javascript_does() {
        let change = change(r#"{"width":640.4,"height":1e99,"frameRate":null,"source":"new"}"#);
        let picture = Picture {
            width: Some(640),
            height: Some(u32::MAX),
            ..Picture::default()
        };
        assert_eq!(change.picture, picture);
        assert!(serde_json::from_str::<ChannelChange>(r#"{"width":-1}"#).is_err());
        assert!(serde_json::from_str::<ChannelChange>(r#"{"width":"640"}"#).is_err());
    }

    fn change(text: &str) -> ChannelChange {
        serde_json::from_str(text).unwrap()
    }
}
