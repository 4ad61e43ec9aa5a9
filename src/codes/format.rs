//! [`CodeFormat`], how a code looks, and [`Code`], one of them.

use std::fmt;

use zeroize::Zeroizing;

use crate::invisible::is_invisible;
use crate::key_ring::mac;
use crate::token::TokenError;

/// The digits of a code.
const DIGITS: &[u8; 10] = b"0123456789";

/// Twenty consonants: without vowels no code spells a word, and none looks like 0, 1 or another one
/// (RFC 8628, section 6.1).
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The longest input that is read, in bytes: a code of 32 characters, each with a space and an
/// invisible mark after it.
const MAX_INPUT: usize = 256;

/// How a code looks: its alphabet and its length.
///
/// ```
/// use token_session::codes::CodeFormat;
///
/// assert_eq!(CodeFormat::default(), CodeFormat::digits(8));
/// assert_eq!(CodeFormat::digits(8).combinations(), 100_000_000.0);
/// assert!(CodeFormat::consonants(8).bits() > 34.5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeFormat {
    alphabet: Alphabet,
    len: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Digits,
    Consonants,
}

impl CodeFormat {
    /// The longest code, in characters.
    pub const MAX_LEN: u8 = 32;

    /// This many digits: for a telephone's number pad. Eight, the default, are 26.6 bits.
    pub const fn digits(len: u8) -> Self {
        Self { alphabet: Alphabet::Digits, len }
    }

    /// This many of 20 consonants, which cannot be mistaken for one another or for digits. Eight are
    /// 34.6 bits.
    pub const fn consonants(len: u8) -> Self {
        Self { alphabet: Alphabet::Consonants, len }
    }

    /// How many characters a code has.
    #[allow(clippy::len_without_is_empty, reason = "no format is empty")]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// How many different codes there are.
    pub fn combinations(self) -> f64 {
        (self.alphabet().len() as f64).powi(self.len.into())
    }

    /// The entropy of a code, in bits.
    pub fn bits(self) -> f64 {
        self.combinations().log2()
    }

    fn alphabet(self) -> &'static [u8] {
        match self.alphabet {
            Alphabet::Digits => DIGITS,
            Alphabet::Consonants => CONSONANTS,
        }
    }

    /// A code from the operating system's generator.
    pub(crate) fn random(self) -> Result<Code, TokenError> {
        self.sample(|bytes| getrandom::fill(bytes).map_err(TokenError::NoRandomness))
    }

    /// The code that belongs to a long secret: always the same one, and without the secret as good
    /// as random.
    pub(crate) fn derived(self, secret: &[u8]) -> Code {
        let mut block = 0_u32;
        let sampled = self.sample(|bytes| {
            *bytes = mac(secret, "code of a link", &[&block.to_be_bytes()]);
            block += 1;
            Ok::<_, std::convert::Infallible>(())
        });
        match sampled {
            Ok(code) => code,
            Err(never) => match never {},
        }
    }

    fn sample<E>(self, mut fill: impl FnMut(&mut [u8; 32]) -> Result<(), E>) -> Result<Code, E> {
        let mut text = Zeroizing::new(String::with_capacity(self.len.into()));
        let mut bytes = Zeroizing::new([0; 32]);
        while text.len() < usize::from(self.len) {
            fill(&mut bytes)?;
            let wanted = usize::from(self.len) - text.len();
            let characters = bytes.iter().filter_map(|byte| self.character(*byte));
            text.extend(characters.take(wanted));
        }
        Ok(Code { text, format: self })
    }

    /// The character that a random byte stands for. 256 is no multiple of 10 or 20, so a plain
    /// remainder would favour the first characters: bytes above the last full multiple are passed
    /// over.
    fn character(self, byte: u8) -> Option<char> {
        let (byte, size) = (usize::from(byte), self.alphabet().len());
        (byte < 256 - 256 % size).then(|| char::from(self.alphabet()[byte % size]))
    }

    /// The code that a person typed or pasted: forgiven are case, spaces, hyphens, invisible
    /// characters, one sentence mark at the end, O for 0 and I or L for 1; I or 1 for L where there
    /// are no digits. `None`: it cannot be one of this format.
    pub(crate) fn read(self, input: &str) -> Option<Code> {
        if input.len() > MAX_INPUT {
            return None;
        }
        let input = input.trim_end_matches(is_passed_over);
        let input = input.strip_suffix(is_sentence_mark).unwrap_or(input);
        let mut text = Zeroizing::new(String::with_capacity(self.len.into()));
        for typed in input.chars().filter(|c| !is_passed_over(*c)) {
            let meant = match (self.alphabet, typed.to_ascii_uppercase()) {
                (Alphabet::Digits, 'O') => '0',
                (Alphabet::Digits, 'I' | 'L') => '1',
                (Alphabet::Consonants, 'I' | '1') => 'L',
                (_, c) => c,
            };
            let is_known = u8::try_from(meant).is_ok_and(|c| self.alphabet().contains(&c));
            // Not one character too many, or the text would move and leave a copy behind.
            if !is_known || text.len() == usize::from(self.len) {
                return None;
            }
            text.push(meant);
        }
        (text.len() == usize::from(self.len)).then_some(Code { text, format: self })
    }
}

impl Default for CodeFormat {
    /// Eight digits.
    fn default() -> Self {
        Self::digits(8)
    }
}

impl fmt::Display for CodeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.alphabet {
            Alphabet::Digits => "digits",
            Alphabet::Consonants => "consonants",
        };
        write!(f, "{} {what}", self.len)
    }
}

/// What may stand before, between and after the characters of a code.
fn is_passed_over(c: char) -> bool {
    c.is_whitespace() || is_hyphen(c) || is_invisible(c)
}

/// The hyphen of the keyboard, and those that mail programs and telephones make of it.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

/// What ends a sentence that ends with a code, as in "Your code is 1234 5678."
fn is_sentence_mark(c: char) -> bool {
    matches!(
        c,
        '.' | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '\u{2026}' // …
            | '\u{3001}' | '\u{3002}' // 、。
            | '\u{ff01}' | '\u{ff0c}' | '\u{ff0e}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff1f}' // ！，．：；？
            | '\u{60c}' | '\u{61b}' | '\u{61f}' | '\u{6d4}' // of Arabic and Urdu
            | '\u{964}' // of Hindi
    )
}

/// A code, to be sent to a person: a secret, as a [`Token`](crate::Token) is one.
///
/// ```
/// use token_session::codes::Codes;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let codes = Codes::<()>::builder("confirm-address").build()?;
/// let code = codes.issue("anna@example.org", &()).await?.code;
/// assert_eq!(code.reveal().len(), 8);
/// assert_eq!(code.grouped().len(), 9); // as in "1234 5678"
/// assert_eq!(format!("{code:?}"), "Code(redacted)");
/// # Ok(()) }
/// ```
pub struct Code {
    text: Zeroizing<String>,
    format: CodeFormat,
}

impl Code {
    /// The code itself: to send it, and for nothing else.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The code in groups, easier to read and to copy: digits with spaces between, consonants with
    /// hyphens. It is read back with them or without.
    pub fn grouped(&self) -> Zeroizing<String> {
        let separator = match self.format.alphabet {
            Alphabet::Digits => ' ',
            Alphabet::Consonants => '-',
        };
        let len = self.text.len();
        let threes = len.is_multiple_of(3) && !len.is_multiple_of(4);
        let group = if threes { 3 } else { 4 };
        let mut text = Zeroizing::new(String::with_capacity(2 * len));
        for (place, c) in self.text.chars().enumerate() {
            if place > 0 && place % group == 0 {
                text.push(separator);
            }
            text.push(c);
        }
        text
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(format: CodeFormat, input: &str) -> Option<String> {
        format.read(input).map(|code| code.reveal().to_owned())
    }

    #[test]
    fn every_character_stands_for_as_many_bytes_as_another() {
        for (format, each) in [(CodeFormat::digits(1), 25), (CodeFormat::consonants(1), 12)] {
            for wanted in format.alphabet() {
                let bytes = (0..=255).filter(|b| format.character(*b) == Some((*wanted).into()));
                assert_eq!(bytes.count(), each, "{wanted}");
            }
        }
    }

    #[test]
    fn a_million_codes_pass_a_chi_square_test_in_every_place() {
        for (format, limit) in [
            // Above these only one of 10^12 fair samples comes: 9 and 19 degrees of freedom.
            (CodeFormat::digits(8), 76.1),
            (CodeFormat::consonants(8), 98.6),
        ] {
            let size = format.alphabet().len();
            let mut counts = [[0_u32; 20]; 8];
            for _ in 0..1_000_000 {
                let code = format.random().unwrap();
                for (place, byte) in code.reveal().bytes().enumerate() {
                    let index = format.alphabet().iter().position(|c| *c == byte).unwrap();
                    counts[place][index] += 1;
                }
            }
            let expected = 1_000_000.0 / size as f64;
            for place in counts {
                let chi_square: f64 = place[..size]
                    .iter()
                    .map(|n| (f64::from(*n) - expected).powi(2) / expected)
                    .sum();
                assert!(chi_square < limit, "{format}: {chi_square} in {place:?}");
            }
        }
    }

    #[test]
    fn spaces_hyphens_case_and_lookalikes_are_forgiven() {
        let digits = CodeFormat::digits(8);
        for input in [
            "10345678",
            "1034 5678",
            " 1034-5678\n",
            "lo34 5678",
            "IO345678",
            "1\u{a0}0\u{2013}34\u{2212}5678",
            "1034 5678.",
            "1034 5678!\n",
            "10345678。",
            "10345678 ?",
            "10345678.\u{200b}",
            "\u{200b}1034\u{200b}5678\u{feff}",
            "\u{202a}10345678\u{202c}",
            "\u{2067}1034 5678\u{2069}؟",
            "1034\u{ad}5678",
            "1\u{200e}0\u{200e}3\u{200e}4\u{200e}5\u{200e}6\u{200e}7\u{200e}8\u{200e}",
        ] {
            assert_eq!(read(digits, input).as_deref(), Some("10345678"), "{input}");
        }
        let consonants = CodeFormat::consonants(8);
        for input in ["BCDF-GHJL", "bcdf ghjl", "bcdfghj1", "BCDFGHJI"] {
            assert_eq!(read(consonants, input).as_deref(), Some("BCDFGHJL"));
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_not_read() {
        let million = "1".repeat(1_000_000);
        for input in [
            "",
            ".",
            "\u{200b}",
            "1234567",
            "1234567.",
            "123456789",
            "12345678..",
            ".12345678",
            "1234.5678",
            "1234567x",
            "１２３４５６７８",
            &million,
        ] {
            assert_eq!(read(CodeFormat::digits(8), input), None);
        }
        for input in ["BCDFGHJA", "BCDFGHJ0", "BCDFGHJ"] {
            assert_eq!(read(CodeFormat::consonants(8), input), None);
        }
    }

    #[test]
    fn a_code_is_read_back_as_it_is_shown() {
        for format in [
            CodeFormat::digits(6),
            CodeFormat::digits(8),
            CodeFormat::digits(32),
            CodeFormat::consonants(10),
            CodeFormat::consonants(16),
        ] {
            let code = format.random().unwrap();
            assert_eq!(read(format, &code.grouped()).as_deref(), Some(code.reveal()));
        }
    }

    #[test]
    fn groups_are_of_four_or_of_three() {
        let show =
            |format: CodeFormat, text: &str| format.read(text).unwrap().grouped().to_string();
        assert_eq!(show(CodeFormat::digits(8), "12345678"), "1234 5678");
        assert_eq!(show(CodeFormat::digits(6), "123456"), "123 456");
        assert_eq!(show(CodeFormat::consonants(8), "BCDFGHJK"), "BCDF-GHJK");
    }

    #[test]
    fn a_derived_code_depends_on_its_secret_alone() {
        let format = CodeFormat::digits(8);
        let of = |secret: &[u8]| format.derived(secret).reveal().to_owned();
        assert_eq!(of(b"a secret"), of(b"a secret"));
        assert_ne!(of(b"a secret"), of(b"another"));
    }

    #[test]
    fn a_code_does_not_show_itself() {
        let code = CodeFormat::digits(8).read("12345678").unwrap();
        assert!(!format!("{code:?}").contains("1234"));
    }
}
