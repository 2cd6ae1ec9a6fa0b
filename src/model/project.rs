//! Projects: the tenants, each with an API key and a secret.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::codec::VideoCodecs;
use super::id::{InvalidId, ProjectId};
use crate::entropy::Entropy;

/// A tenant: whoever knows its secret may create sessions and let clients join them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its API key.
    pub id: ProjectId,
    /// What the operator calls it.
    pub name: String,
    /// What its REST calls and client tokens are signed with.
    pub secret: Secret,
    /// The secret before, while it is still good.
    pub old_secret: Option<OldSecret>,
    /// Whether it may be used.
    pub status: ProjectStatus,
    /// Most connections at a time in each of its sessions, if it has a limit of its own.
    pub max_connections: Option<u32>,
    /// Which video codecs its sessions may use, unless they name their own.
    pub video_codecs: Option<VideoCodecs>,
    /// Creation time, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Project {
    /// A new project with a key of eight digits, as the original hands them out.
    ///
    /// The key is drawn at random: when the store already has it, draw again.
    pub fn generate(name: &str, created_at_ms: i64, entropy: &mut Entropy) -> Self {
        Self {
            id: draw_key(entropy),
            name: name.to_owned(),
            secret: Secret::generate(entropy),
            old_secret: None,
            status: ProjectStatus::Active,
            max_connections: None,
            video_codecs: None,
            created_at_ms,
        }
    }
}

impl Project {
    /// The secrets that are good at this time, the current one first.
    pub fn secrets(&self, now_ms: i64) -> impl Iterator<Item = &Secret> {
        let old = self.old_secret.as_ref().filter(|old| now_ms < old.until_ms);
        std::iter::once(&self.secret).chain(old.map(|old| &old.secret))
    }

    /// Gives it a new secret; the one before is good for `grace_ms` more.
    pub fn refresh_secret(&mut self, now_ms: i64, grace_ms: i64, entropy: &mut Entropy) {
        let secret = std::mem::replace(&mut self.secret, Secret::generate(entropy));
        let until_ms = now_ms.saturating_add(grace_ms);
        self.old_secret = (grace_ms > 0).then_some(OldSecret { secret, until_ms });
    }
}

/// A secret that was replaced, and still good for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret.
    pub secret: Secret,
    /// Until when, milliseconds since the Unix epoch.
    pub until_ms: i64,
}

/// Whether a project may be used. What is deleted is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProjectStatus {
    /// It may.
    Active,
    /// REST calls and clients are refused.
    Suspended,
}

impl ProjectStatus {
    /// As REST and the store call it (`protocol/rest.md`, 20).
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Suspended => "SUSPENDED",
        }
    }

    /// The status of this name.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Active, Self::Suspended]
            .into_iter()
            .find(|status| status.word() == word)
    }
}

/// Who manages projects over REST: an operator's own back end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its key, of the same kind as a project's.
    pub id: ProjectId,
    /// What its REST calls are signed with.
    pub secret: Secret,
    /// Creation time, milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl Account {
    /// A new account. When the store already has its key, draw again.
    pub fn generate(created_at_ms: i64, entropy: &mut Entropy) -> Self {
        Self {
            id: draw_key(entropy),
            secret: Secret::generate(entropy),
            created_at_ms,
        }
    }
}

/// A key of eight digits.
fn draw_key(entropy: &mut Entropy) -> ProjectId {
    let key = 10_000_000 + entropy.below(90_000_000);
    let id = i32::try_from(key).ok().and_then(ProjectId::new);
    id.expect("eight digits fit an API key")
}

/// An API secret: 40 lower-case hexadecimal digits.
///
/// The SDKs leave no other choice: some refuse keys below 32 bytes, one recognises an API key by
/// the shape of the secret that comes with it (`protocol/rest.md`, 4.2). Does not print itself.
#[derive(Clone, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Length in characters.
    pub const LEN: usize = 40;

    /// A secret nobody can guess: 160 bits.
    pub fn generate(entropy: &mut Entropy) -> Self {
        Self(entropy.hex(Self::LEN).into())
    }

    /// The secret itself: to store it, to show it to its owner, and to key a MAC with its bytes.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `text` is this secret; takes the same time whatever the answer.
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl FromStr for Secret {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let valid = text.len() == Self::LEN && text.bytes().all(digit);
        valid.then(|| Self(text.into())).ok_or(InvalidId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_and_secrets_are_what_every_sdk_accepts() {
        let mut entropy = Entropy::from_seed(1);
        for _ in 0..200 {
            let project = Project::generate("shop", 0, &mut entropy);
            assert_eq!(project.id.to_string().len(), 8);
            assert!(project.secret.reveal().parse::<Secret>().is_ok());
        }
    }

    #[test]
    fn a_secret_is_forty_lower_case_hex_digits() {
        let check = |text: &str, valid: bool| {
            assert_eq!(text.parse::<Secret>().is_ok(), valid, "{text}");
        };
        check("0123456789abcdef0123456789abcdef01234567", true);
        check("0123456789ABCDEF0123456789abcdef01234567", false);
        check("0123456789abcdef0123456789abcdef0123456", false);
        check("0123456789abcdef0123456789abcdef012345678", false);
        check("0123456789abcdeg0123456789abcdef01234567", false);
        check("", false);
    }

    #[test]
    fn a_secret_does_not_print() {
        let project = Project::generate("shop", 0, &mut Entropy::from_seed(1));
        assert!(!format!("{project:?}").contains(project.secret.reveal()));
    }

    #[test]
    fn a_secret_that_was_replaced_is_good_until_its_grace_ends() {
        let mut entropy = Entropy::from_seed(1);
        let mut project = Project::generate("shop", 0, &mut entropy);
        let before = project.secret.clone();
        project.refresh_secret(1000, 500, &mut entropy);
        assert_ne!(project.secret, before);
        let good = |now_ms| project.secrets(now_ms).any(|secret| *secret == before);
        assert_eq!([good(1499), good(1500)], [true, false]);
        project.refresh_secret(2000, 0, &mut entropy);
        assert_eq!(project.secrets(2000).count(), 1);
    }

    #[test]
    fn a_secret_matches_only_itself() {
        let secret = Secret::generate(&mut Entropy::from_seed(1));
        assert!(secret.matches(secret.reveal()));
        assert!(!secret.matches(&secret.reveal()[1..]));
        assert!(!secret.matches(&secret.reveal().to_uppercase()));
        assert!(!secret.matches(""));
    }
}
