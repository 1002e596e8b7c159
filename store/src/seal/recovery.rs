//! The recovery key: 256 random bits, written down as 24 words (BIP-39, English list).
//!
//! Invariant: words that were mistyped are refused by their checksum before any key is tried. Only the entropy of BIP-39 is
//! used, never its seed (docs/format.md §3.1).

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use super::Secret;
use crate::ambient::{Ambient, NoRandomness, draw};

/// Characters of a misspelt word that are named.
const WORD_LEN_SHOWN: usize = 20;

/// The key on the recovery sheet.
pub struct RecoveryKey(Secret);

/// Why words are not a recovery key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// Another number of words.
    #[error("a recovery key has 24 words, these are {0}")]
    Count(usize),
    /// A word that is in no recovery key.
    #[error("word {place}, `{word}`, is not in the list that recovery keys are made of")]
    Word {
        /// The first is 1.
        place: usize,
        /// It, as it was typed, without what no terminal should show.
        word: String,
    },
    /// All words are in the list, and the checksum is wrong.
    #[error(
        "these 24 words are not a recovery key: one is another than it was, or two are swapped"
    )]
    Checksum,
}

impl RecoveryKey {
    /// Draws a new one.
    ///
    /// # Errors
    /// No random numbers.
    pub fn draw(ambient: &dyn Ambient) -> Result<Self, NoRandomness> {
        Ok(Self(Secret::new(draw(ambient)?)))
    }

    /// Reads 24 words; upper case, extra spaces, line ends and the numbers of a printed sheet do not matter.
    ///
    /// # Errors
    /// They are not a recovery key.
    pub fn parse(words: &str) -> Result<Self, RecoveryError> {
        let is_word = |part: &&str| !part.trim_end_matches('.').bytes().all(|b| b.is_ascii_digit());
        let words: Vec<&str> = words.split_whitespace().filter(is_word).collect();
        let count = words.len();
        if count != 24 {
            return Err(RecoveryError::Count(count));
        }
        let list = Language::English.wordlist();
        let is_in_list = |word: &str| list.get_words_by_prefix(word).contains(&word);
        let misspelt = words.iter().position(|word| !is_in_list(&word.to_lowercase()));
        if let Some((at, word)) = misspelt.and_then(|at| Some((at, words.get(at)?))) {
            let word = word.chars().take(WORD_LEN_SHOWN).flat_map(char::escape_debug).collect();
            return Err(RecoveryError::Word { place: at + 1, word });
        }
        let joined = words.join(" ").to_lowercase();
        let phrase = Zeroizing::new(joined);
        let mnemonic = Mnemonic::from_phrase(&phrase, Language::English)
            .map_err(|_| RecoveryError::Checksum)?;
        let entropy = mnemonic.entropy().try_into().map_err(|_| RecoveryError::Checksum)?;
        Ok(Self(Secret::new(entropy)))
    }

    /// The 24 words, to be printed once.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy(self.0.bytes(), Language::English);
        Zeroizing::new(mnemonic.map(Mnemonic::into_phrase).unwrap_or_default())
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_words_come_back_as_the_key() {
        let key = RecoveryKey(Secret::new([0x5a; 32]));
        let words = key.words();
        assert_eq!(words.split(' ').count(), 24);
        let typed = format!("  {}\n", words.to_uppercase().replace(' ', "\n 7 8. "));
        assert_eq!(RecoveryKey::parse(&typed).unwrap().bytes(), key.bytes());
    }

    #[test]
    fn all_zeros_is_the_vector_of_bip_39() {
        let key = RecoveryKey(Secret::new([0; 32]));
        assert!(key.words().ends_with("abandon art"));
    }

    #[test]
    fn swapped_and_missing_words_are_refused() {
        let words = RecoveryKey(Secret::new([0x11; 32])).words();
        let mut list: Vec<&str> = words.split(' ').collect();
        list.pop();
        assert_eq!(RecoveryKey::parse(&list.join(" ")).err(), Some(RecoveryError::Count(23)));
        list.push("zoo");
        assert_eq!(RecoveryKey::parse(&list.join(" ")).err(), Some(RecoveryError::Checksum));
    }

    #[test]
    fn a_misspelt_word_is_named_with_its_place_and_an_abbreviated_one_is_misspelt() {
        let words = RecoveryKey(Secret::new([0x11; 32])).words();
        let mut list: Vec<&str> = words.split(' ').collect();
        for misspelt in ["russet", "zo", "AMUSE"] {
            list[1] = misspelt;
            let word = misspelt.to_owned();
            let expected = RecoveryError::Word { place: 2, word };
            assert_eq!(RecoveryKey::parse(&list.join(" ")).err(), Some(expected));
        }
    }
}
