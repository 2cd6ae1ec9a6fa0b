//! Signals: short messages of an application, and their limits (`protocol/signaling.md`, 10).

/// Longest type that clients send, in characters; over REST in bytes.
pub const MAX_TYPE_CHARS: usize = 128;

/// Longest data that clients send, in characters of its JSON encoding; over REST in bytes of the
/// text itself.
pub const MAX_DATA_CHARS: usize = 8192;

/// Why a signal is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignal {
    /// The type is longer than [`SignalLimits::type_chars`].
    #[error("signal type is too long")]
    TypeTooLong,
    /// The type has a character outside `A-Z a-z 0-9 - . _ ~`.
    #[error("signal type may consist of A-Z a-z 0-9 - . _ ~ only")]
    TypeCharacters,
    /// The data is longer than [`SignalLimits::data_chars`].
    #[error("signal data is too long")]
    DataTooLong,
}

/// How long a signal may be. The default is what clients check themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalLimits {
    /// Longest type, in characters.
    pub type_chars: usize,
    /// Longest data, in characters of its JSON encoding.
    pub data_chars: usize,
}

impl Default for SignalLimits {
    fn default() -> Self {
        Self {
            type_chars: MAX_TYPE_CHARS,
            data_chars: MAX_DATA_CHARS,
        }
    }
}

impl SignalLimits {
    /// Checks a type and the JSON text of the data, as clients may send them.
    pub fn check(self, kind: Option<&str>, data_json: Option<&str>) -> Result<(), InvalidSignal> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        if let Some(kind) = kind {
            if kind.chars().count() > self.type_chars {
                return Err(InvalidSignal::TypeTooLong);
            }
            if !kind.bytes().all(allowed) {
                return Err(InvalidSignal::TypeCharacters);
            }
        }
        match data_json {
            Some(json) if json.chars().count() > self.data_chars => Err(InvalidSignal::DataTooLong),
            _ => Ok(()),
        }
    }

    /// Checks a type and a text that came over REST, where a type may be any text, and both are
    /// measured in bytes (`protocol/rest.md`, 9).
    pub fn check_text(self, kind: &str, data: &str) -> Result<(), InvalidSignal> {
        if kind.len() > self.type_chars {
            return Err(InvalidSignal::TypeTooLong);
        }
        if data.len() > self.data_chars {
            return Err(InvalidSignal::DataTooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Option<&str>, data_json: Option<&str>) -> Result<(), InvalidSignal> {
        SignalLimits::default().check(kind, data_json)
    }

    #[test]
    fn types_have_a_length_and_an_alphabet() {
        let long = "t".repeat(129);
        let check = |kind: &str, expected| assert_eq!(self::check(Some(kind), None), expected);
        check("chat-1._~", Ok(()));
        check("", Ok(()));
        check(&long[..128], Ok(()));
        check(&long, Err(InvalidSignal::TypeTooLong));
        check("chat room", Err(InvalidSignal::TypeCharacters));
        check("größe", Err(InvalidSignal::TypeCharacters));
        assert_eq!(self::check(None, None), Ok(()));
    }

    #[test]
    fn data_is_counted_in_characters() {
        let data = "ü".repeat(MAX_DATA_CHARS);
        assert_eq!(check(None, Some(&data)), Ok(()));
        assert_eq!(
            check(None, Some(&(data + "x"))),
            Err(InvalidSignal::DataTooLong)
        );
    }
}
