//! Quotes table names and fills them into statements.

use std::sync::Arc;

use crate::store::{Result, StoreError, StoreErrorKind};

/// How a database quotes a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Quotes {
    /// The character around a name; written twice within one.
    pub mark: char,
    /// The longest name, in bytes.
    pub longest: usize,
}

/// Quotes a name for a statement. The name may have any characters.
pub(in crate::store) fn quoted(name: &str, quotes: Quotes) -> Result<String> {
    let Quotes { mark, longest } = quotes;
    if name.is_empty() || name.len() > longest || name.contains('\0') {
        return Err(StoreError::new(
            StoreErrorKind::Refused,
            format!(
                "{name:?} cannot name a table or a schema; give 1 to {longest} bytes without NUL"
            ),
        ));
    }
    let doubled = name.replace(mark, &format!("{mark}{mark}"));
    Ok(format!("{mark}{doubled}{mark}"))
}

/// Replaces words in a statement by texts. In one pass, so it never replaces a word within a text that it
/// has put there: a table or a column may have any name.
pub(in crate::store) fn fill(template: &str, words: &[(&str, &str)]) -> Arc<str> {
    let (mut sql, mut rest) = (String::with_capacity(template.len()), template);
    let next = |rest: &str| {
        let found = words.iter().filter_map(|word| Some((rest.find(word.0)?, word)));
        found.min_by_key(|(at, _)| *at)
    };
    while let Some((at, (word, text))) = next(rest) {
        sql.push_str(&rest[..at]);
        sql.push_str(text);
        rest = &rest[at + word.len()..];
    }
    sql.push_str(rest);
    sql.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_word_stays_a_name() {
        let words = [("{a}", "{b}"), ("{b}", "{a}{c}"), ("{c}", "x")];
        assert_eq!(&*fill("{b} = {a} + {c}{c}{d", &words), "{a}{c} = {b} + xx{d");
    }
}
