//! Table names, quoted, and the statements that they are filled into.

use std::sync::Arc;

use crate::store::{Result, StoreError, StoreErrorKind};

/// How a database quotes a name.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Quotes {
    /// The character around a name; twice for one within.
    pub mark: char,
    /// The longest name, in bytes.
    pub longest: usize,
}

/// `name` as it stands in a statement, whatever characters it has.
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

/// Puts texts in the place of words in a statement, in their order. What was put is not looked at
/// again if its word comes last: so the table, which may have any name, does.
pub(in crate::store) fn fill(template: &str, words: &[(&str, &str)]) -> Arc<str> {
    words.iter().fold(template.to_owned(), |sql, (word, text)| sql.replace(word, text)).into()
}
