//! The words of the document, from `texts.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// About the API as a whole, in Markdown.
    pub introduction: String,
    /// In the order in which one gets to know them.
    pub groups: Vec<Group>,
    /// By module, then by the name of the handler.
    operations: BTreeMap<String, BTreeMap<String, Text>>,
}

/// A group of operations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its heading.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// The modules whose handlers belong to it.
    modules: Vec<String>,
}

/// What an operation is for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// A few words.
    pub summary: String,
    /// What the words do not say; may be empty.
    #[serde(default)]
    pub description: String,
}

impl Texts {
    /// Reads them.
    pub fn load() -> Self {
        toml::from_str(include_str!("texts.toml")).expect("the words are tested")
    }

    /// The words of an operation, by its handler and that one's module: `sessions::create`.
    pub fn of(&self, handler: &str) -> Option<&Text> {
        let (module, name) = handler.split_once("::")?;
        self.operations.get(module)?.get(name)
    }

    /// The group that a module's handlers belong to.
    pub fn group(&self, module: &str) -> Option<&Group> {
        let is_in = |group: &&Group| group.modules.iter().any(|known| known == module);
        self.groups.iter().find(is_in)
    }

    /// The handlers that it has words for.
    pub fn handlers(&self) -> impl Iterator<Item = String> {
        let modules = self.operations.iter();
        modules
            .flat_map(|(module, texts)| texts.keys().map(move |name| format!("{module}::{name}")))
    }
}
