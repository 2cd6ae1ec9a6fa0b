//! How a composed picture is arranged (`protocol/rest.md`, 11.7).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::Asked;
use super::error::ApiError;
use super::values::invalid;

/// Longest style sheet in bytes (`protocol/rest.md`, 22: at least this).
const MAX_STYLESHEET: usize = 64 * 1024;

/// The predefined arrangements, and the one that a style sheet makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LayoutType {
    /// As large as they fit; two SDKs may send an empty text for it.
    #[default]
    #[serde(alias = "")]
    BestFit,
    /// A small picture in a large one.
    Pip,
    /// One large, the others in a column.
    VerticalPresentation,
    /// One large, the others in a row.
    HorizontalPresentation,
    /// As the style sheet says.
    Custom,
}

/// A layout as it is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(example = json!({"type": "bestFit", "screenshareType": "pip"}))]
pub struct Layout {
    /// Which arrangement.
    #[serde(rename = "type")]
    pub kind: LayoutType,
    /// CSS; needed with `custom`, and with nothing else.
    pub stylesheet: Option<String>,
    /// The arrangement while a screen is shared; only with `bestFit`, and never `custom`.
    pub screenshare_type: Option<LayoutType>,
}

/// The arrangement that is in use (`protocol/rest.md`, 26).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CurrentLayout {
    /// Which arrangement.
    #[serde(rename = "type")]
    pub kind: LayoutType,
    /// CSS, with `custom`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stylesheet: Option<String>,
    /// The arrangement while a screen is shared, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screenshare_type: Option<LayoutType>,
}

impl Asked for Layout {
    fn check(&self) -> Result<(), ApiError> {
        let stylesheet = self.stylesheet.as_deref().filter(|css| !css.is_empty());
        match (self.kind, stylesheet) {
            (LayoutType::Custom, None) => Err(invalid("stylesheet is needed with type custom")),
            (LayoutType::Custom, Some(css)) if css.len() > MAX_STYLESHEET => {
                Err(invalid("stylesheet is too long"))
            }
            (kind, Some(_)) if kind != LayoutType::Custom => {
                Err(invalid("stylesheet needs type custom"))
            }
            _ => match self.screenshare_type {
                None => Ok(()),
                Some(LayoutType::Custom) => Err(invalid("screenshareType must not be custom")),
                Some(_) if self.kind != LayoutType::BestFit => {
                    Err(invalid("screenshareType needs type bestFit"))
                }
                Some(_) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::lenient;

    #[test]
    fn only_layouts_that_make_sense_are_accepted() {
        let check = |given: Value, good: bool| {
            let layout = lenient::read::<Layout>(given.clone()).ok();
            let accepted = layout.is_some_and(|layout| layout.check().is_ok());
            assert_eq!(accepted, good, "{given}");
        };
        check(json!({}), true);
        check(json!({"type": ""}), true);
        check(json!({"type": "pip", "stylesheet": null}), true);
        check(json!({"type": "custom", "stylesheet": "stream {}"}), true);
        check(json!({"type": "bestFit", "screensharetype": "pip"}), true);
        check(json!({"type": "bestFit", "screenshare_type": "pip"}), true);
        check(json!({"type": "custom"}), false);
        check(json!({"type": "custom", "stylesheet": ""}), false);
        check(json!({"type": "pip", "stylesheet": "stream {}"}), false);
        check(json!({"type": "pip", "screenshareType": "pip"}), false);
        check(
            json!({"type": "bestFit", "screenshareType": "custom"}),
            false,
        );
        check(json!({"type": "round"}), false);
        let long = "x".repeat(MAX_STYLESHEET + 1);
        check(json!({"type": "custom", "stylesheet": long}), false);
    }
}
