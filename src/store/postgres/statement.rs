//! [`Statement`]: one statement of a store, and how it is sent.
//!
//! The driver calls a prepared statement by its name, and numbers the names on each connection. Behind a
//! pooler that shares server connections among its clients, a name may belong to another client's
//! statement, and a load could run a statement that removes a session. So the first parameter of each
//! statement is a mark, which the statement compares with its own: any statement that runs in another's
//! place fails.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgStatement};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Encode, Execute, SqlSafeStr, SqlStr, Type};

use crate::store::sql::fill;

/// The server's error code for a mark that is not the statement's own: "cannot take logarithm of zero".
/// No other part of any statement here can cause it.
pub(in crate::store) const FOREIGN: &str = "2201E";

/// Two bytes that no text begins with, so another program's statement refuses them unless its first
/// parameter is bytes, and a digest of the statement.
type Mark = [u8; 18];

/// How the statements of one store are sent.
#[derive(Clone, Debug)]
pub(in crate::store) enum Sending {
    /// Prepared once on each connection, under a name.
    Prepared,
    /// With the values in the text. The server keeps nothing, and each call sends one message.
    Written {
        /// Settings for the transaction, sent before each of our statements.
        before: Arc<str>,
    },
}

impl Sending {
    /// In the text, after these settings of its transaction.
    pub fn written(settings: &str) -> Self {
        // Bytes come back as text, and the driver reads only this format.
        Self::Written { before: format!("{settings}SET LOCAL bytea_output = hex; ").into() }
    }

    /// What a transaction begins with, after its `BEGIN`.
    pub fn before(&self) -> Arc<str> {
        match self {
            Self::Prepared => "".into(),
            Self::Written { before } => Arc::clone(before),
        }
    }
}

/// Whether the URL has the driver's option that keeps no prepared statements. The driver would still
/// prepare each one under a name, and never remove it.
pub(in crate::store) fn keeps_no_statements(url: &str) -> bool {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    options.split('&').any(|option| option == "statement-cache-capacity=0")
}

/// A statement with its names in it.
#[derive(Debug)]
pub(in crate::store) enum Statement {
    Prepared { sql: Arc<str>, mark: Mark },
    Written { before: Arc<str>, text: Arc<[Part]> },
}

#[derive(Debug)]
pub(in crate::store) enum Part {
    Text(Arc<str>),
    /// The number of a parameter, from one on.
    Value(usize),
}

impl Statement {
    /// A template has parameters from `$1` on, placeholders for names, and `{own}` for the condition that
    /// checks the mark. It has to stand where the server evaluates it once, also if there is no row.
    pub fn new(template: &str, names: &[(&str, &str)], sending: &Sending) -> Self {
        match sending {
            Sending::Prepared => {
                let mark = mark(&fill(template, names));
                let own = format!(
                    "ln(($1::bytea IS NOT DISTINCT FROM decode('{}', 'hex'))::int::float8) = 0",
                    hex(&mark)
                );
                let mut sql = String::new();
                for part in parts(template, &own, names) {
                    match part {
                        Part::Text(text) => sql += &text,
                        // The mark is the first.
                        Part::Value(place) => sql += &format!("${}", place + 1),
                    }
                }
                Self::Prepared { sql: sql.into(), mark }
            }
            Sending::Written { before } => {
                let text = parts(template, "true", names).into();
                Self::Written { before: Arc::clone(before), text }
            }
        }
    }

    /// Begins a call of it; the values follow in order.
    pub fn query(&self) -> PgQuery {
        match self {
            Self::Prepared { sql, mark } => {
                let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
                PgQuery::Prepared(query.bind(mark.as_slice()))
            }
            Self::Written { before, text } => PgQuery::Written {
                before: Arc::clone(before),
                text: Arc::clone(text),
                values: Vec::new(),
            },
        }
    }
}

/// A call of a statement, with its values.
pub(in crate::store) enum PgQuery {
    Prepared(Query<'static, sqlx::Postgres, PgArguments>),
    Written { before: Arc<str>, text: Arc<[Part]>, values: Vec<String> },
}

impl PgQuery {
    /// The next value.
    pub fn bind<'v, T>(self, value: T) -> Self
    where
        T: Literal + Encode<'v, sqlx::Postgres> + Type<sqlx::Postgres>,
    {
        match self {
            Self::Prepared(query) => Self::Prepared(query.bind(value)),
            Self::Written { before, text, mut values } => {
                values.push(value.literal());
                Self::Written { before, text, values }
            }
        }
    }
}

impl<'q> Execute<'q, sqlx::Postgres> for PgQuery {
    fn sql(self) -> SqlStr {
        match self {
            Self::Prepared(query) => query.sql(),
            Self::Written { before, text, values } => {
                let mut sql = String::from(&*before);
                for part in &*text {
                    match part {
                        Part::Text(text) => sql += text,
                        Part::Value(place) => sql += &values[place - 1],
                    }
                }
                AssertSqlSafe(sql).into_sql_str()
            }
        }
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        match self {
            Self::Prepared(query) => query.take_arguments(),
            Self::Written { .. } => Ok(None),
        }
    }

    fn persistent(&self) -> bool {
        true
    }
}

/// A value as it stands in the text of a statement. Everything that a person may have chosen is written
/// in hexadecimal digits, so nothing in it can be read as SQL.
pub(in crate::store) trait Literal {
    const TYPE: &'static str;

    fn literal(&self) -> String;
}

impl Literal for &[u8] {
    const TYPE: &'static str = "bytea";

    fn literal(&self) -> String {
        format!("decode('{}', 'hex')", hex(self))
    }
}

impl Literal for &[&[u8]] {
    const TYPE: &'static str = "bytea[]";

    fn literal(&self) -> String {
        let members: Vec<_> = self.iter().map(|bytes| bytes.literal()).collect();
        format!("ARRAY[{}]::{}", members.join(", "), Self::TYPE)
    }
}

impl Literal for &str {
    const TYPE: &'static str = "text";

    fn literal(&self) -> String {
        format!("convert_from(decode('{}', 'hex'), 'UTF8')", hex(self.as_bytes()))
    }
}

impl Literal for &[&str] {
    const TYPE: &'static str = "text[]";

    fn literal(&self) -> String {
        let members: Vec<_> = self.iter().map(|text| text.literal()).collect();
        format!("ARRAY[{}]::{}", members.join(", "), Self::TYPE)
    }
}

impl Literal for String {
    const TYPE: &'static str = <&str as Literal>::TYPE;

    fn literal(&self) -> String {
        self.as_str().literal()
    }
}

impl Literal for i64 {
    const TYPE: &'static str = "int8";

    fn literal(&self) -> String {
        format!("'{self}'::int8")
    }
}

impl Literal for f64 {
    const TYPE: &'static str = "float8";

    fn literal(&self) -> String {
        format!("'{self}'::float8")
    }
}

impl Literal for bool {
    const TYPE: &'static str = "bool";

    fn literal(&self) -> String {
        self.to_string()
    }
}

impl<T: Literal> Literal for Option<T> {
    const TYPE: &'static str = T::TYPE;

    fn literal(&self) -> String {
        self.as_ref().map_or_else(|| format!("NULL::{}", T::TYPE), T::literal)
    }
}

fn mark(sql: &str) -> Mark {
    let mut mark = [0; 18];
    mark[0] = 0xff;
    mark[2..].copy_from_slice(&Sha256::digest(sql.as_bytes())[..16]);
    mark
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.push(DIGITS[usize::from(byte >> 4)].into());
        digits.push(DIGITS[usize::from(byte & 15)].into());
    }
    digits
}

/// Finds the parameters before it fills in the names: a table may be called `$1`.
fn parts(template: &str, own: &str, names: &[(&str, &str)]) -> Vec<Part> {
    let words = [&[("{own}", own)], names].concat();
    let mut pieces = template.split('$');
    let mut parts: Vec<Part> =
        pieces.next().map(|text| Part::Text(fill(text, &words))).into_iter().collect();
    for piece in pieces {
        let digits = piece.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(piece.len());
        let (place, text) = piece.split_at(digits);
        parts.push(Part::Value(place.parse().expect("a parameter has a number")));
        parts.push(Part::Text(fill(text, &words)));
    }
    parts
}

#[cfg(test)]
mod tests {
    use sqlx::Execute;

    use super::*;

    const TEMPLATE: &str = "SELECT $2, $1 FROM {sessions} WHERE {own}";

    fn sent(sending: &Sending, names: &[(&str, &str)]) -> String {
        let statement = Statement::new(TEMPLATE, names, sending);
        let query = statement.query().bind("it's $1").bind(None::<i64>);
        query.sql().as_str().to_owned()
    }

    fn written() -> Sending {
        Sending::Written { before: "SET x; ".into() }
    }

    #[test]
    fn a_prepared_statement_begins_with_its_mark() {
        let sql = sent(&Sending::Prepared, &[("{sessions}", "\"$1\"")]);
        let (begin, own) = sql.split_once(" WHERE ").unwrap();
        assert_eq!(begin, "SELECT $3, $2 FROM \"$1\"");
        assert!(own.starts_with("ln(($1::bytea IS NOT DISTINCT FROM decode('ff00"), "{own}");
    }

    #[test]
    fn statements_of_two_tables_have_different_marks() {
        let one = sent(&Sending::Prepared, &[("{sessions}", "one")]);
        let two = sent(&Sending::Prepared, &[("{sessions}", "two")]);
        assert_ne!(one.split_once("decode").unwrap().1, two.split_once("decode").unwrap().1);
    }

    #[test]
    fn a_written_statement_holds_its_values_and_no_text_of_a_person() {
        let sql = sent(&written(), &[("{sessions}", "\"$1 {own}\"")]);
        let text = "convert_from(decode('69742773202431', 'hex'), 'UTF8')";
        assert_eq!(sql, format!("SET x; SELECT NULL::int8, {text} FROM \"$1 {{own}}\" WHERE true"));
    }

    #[test]
    fn numbers_are_written_at_their_limits() {
        assert_eq!(i64::MIN.literal(), "'-9223372036854775808'::int8");
        assert_eq!(f64::NAN.literal(), "'NaN'::float8");
    }

    #[test]
    fn bytes_are_written_in_digits() {
        assert_eq!(b"".as_slice().literal(), "decode('', 'hex')");
        let two = "ARRAY[decode('01', 'hex'), decode('', 'hex')]::bytea[]";
        assert_eq!([&[1][..], &[]].as_slice().literal(), two);
    }
}
