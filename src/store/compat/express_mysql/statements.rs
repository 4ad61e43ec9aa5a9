//! The statements of [`ExpressMysql`](super::ExpressMysql).

use std::sync::Arc;

use crate::store::sql::fill;

/// The server's clock in milliseconds. Not `UNIX_TIMESTAMP(NOW(3))`, which goes through the
/// connection's time zone.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";

/// What the package rounds its clock to, and compares with.
const SECOND: &str = "(({now} + 500) DIV 1000)";

/// So many milliseconds from now, rounded as the package does. The column ends in 2106.
const END: &str = "LEAST(({now} + ? + 500) DIV 1000, 4294967295)";

/// The row of an id. The column may take no notice of trailing spaces, or of case: the bytes do.
const ROW: &str = "{id} = ? AND CAST(CONVERT({id} USING utf8mb4) AS BINARY) = ?";

/// A live row that is as it was read, to the byte. What was read goes back as text, so that the server
/// converts it from the connection's charset, into which it converted it.
const OLD: &str = "{row} AND {expires} >= {second} AND CAST(CONVERT({data} USING utf8mb4) AS BINARY) \
                   = CAST(CONVERT(? USING utf8mb4) AS BINARY)";

/// Nothing in the column of the data reads as no session.
const FETCH: &str = "SELECT CONVERT({data} USING utf8mb4), CAST({expires} AS SIGNED), {now} \
                     FROM {sessions} WHERE {row} AND {expires} >= {second} AND {data} IS NOT NULL";

/// Before and behind the ids: MySQL has no lists. By the column's collation, a row may have another id:
/// the caller compares them again.
const FETCH_ALL: [&str; 2] = [
    "SELECT CONVERT({data} USING utf8mb4), CAST({expires} AS SIGNED), {now}, \
     CONVERT({id} USING utf8mb4) FROM {sessions} WHERE {id} IN (",
    ") AND {expires} >= {second} AND {data} IS NOT NULL",
];

/// One row of nothing, in the type of the column.
const TYPE: &str = "SELECT MAX({expires}) FROM {sessions} WHERE FALSE";

const ADD: &str = "INSERT INTO {sessions} ({id}, {expires}, {data}) VALUES (?, {end}, ?)";

const VACATE: &str = "DELETE FROM {sessions} WHERE {row} AND {expires} < {second}";

const SWAP: &str = "UPDATE {sessions} SET {data} = ? WHERE {old}";

const SWAP_FOR: &str = "UPDATE {sessions} SET {data} = ?, {expires} = {end} WHERE {old}";

const EXTEND: &str = "UPDATE {sessions} SET {expires} = {end} WHERE {old}";

const DISCARD: &str = "DELETE FROM {sessions} WHERE {old}";

const CLOCK: &str = "SELECT {now}";

const PAGE: &str = "SELECT CONVERT({data} USING utf8mb4), CAST({expires} AS SIGNED), {now}, \
                    CONVERT({id} USING utf8mb4) FROM {sessions} WHERE {id} > ? \
                    AND {expires} >= {second} AND {data} IS NOT NULL ORDER BY {id} LIMIT ?";

const COUNT: &str = "SELECT COUNT(*) FROM {sessions} WHERE {expires} >= {second}";

/// A batch of all rows, in the order of their ids, so that it passes none that it does not remove.
const CLEAR: &str = "DELETE FROM {sessions} ORDER BY {id} LIMIT 1000";

/// How many rows a statement looks at or removes.
pub(super) const BATCH: usize = 1000;

/// A part of all ids, and which are expired. The table has no index for that, so all rows are looked
/// at in time, as the package does; but none is locked for it.
const LOOK: &str = "
SELECT CONVERT({id} USING utf8mb4), {expires} < {second} FROM {sessions}
WHERE {id} > ? ORDER BY {id} LIMIT 1000";

#[derive(Debug)]
pub(super) struct Statements {
    pub fetch: Arc<str>,
    fetch_all: [Arc<str>; 2],
    pub expiry: Arc<str>,
    pub add: Arc<str>,
    pub vacate: Arc<str>,
    pub swap: Arc<str>,
    pub swap_for: Arc<str>,
    pub extend: Arc<str>,
    pub discard: Arc<str>,
    pub clock: Arc<str>,
    pub page: Arc<str>,
    pub count: Arc<str>,
    pub clear: Arc<str>,
    pub look: Arc<str>,
}

impl Statements {
    pub fn new(table: &str, [id, expires, data]: &[String; 3]) -> Self {
        let sql = |template: &str| {
            let template = template.replace("{old}", OLD).replace("{row}", ROW);
            let template = template.replace("{end}", END).replace("{second}", SECOND);
            let names = [("{id}", id), ("{expires}", expires), ("{data}", data)];
            let names = names.map(|(word, name)| (word, name.as_str()));
            let [id, expires, data] = names;
            fill(&template, &[("{now}", NOW), id, expires, data, ("{sessions}", table)])
        };
        Self {
            fetch: sql(FETCH),
            fetch_all: FETCH_ALL.map(sql),
            expiry: sql(TYPE),
            add: sql(ADD),
            vacate: sql(VACATE),
            swap: sql(SWAP),
            swap_for: sql(SWAP_FOR),
            extend: sql(EXTEND),
            discard: sql(DISCARD),
            clock: sql(CLOCK),
            page: sql(PAGE),
            count: sql(COUNT),
            clear: sql(CLEAR),
            look: sql(LOOK),
        }
    }

    /// The records under this many ids.
    pub fn fetch_all(&self, ids: usize) -> Arc<str> {
        let [before, behind] = &self.fetch_all;
        format!("{before}{}{behind}", vec!["?"; ids].join(", ")).into()
    }
}
