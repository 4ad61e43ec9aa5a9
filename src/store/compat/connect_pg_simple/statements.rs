//! The statements of [`ConnectPgSimple`](super::ConnectPgSimple).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::store::postgres::statement::{Sending, Statement};

/// What the package compares with: its clock, rounded up.
const SECOND: &str = "to_timestamp(ceil(extract(epoch FROM now())))";

/// So many seconds from now, rounded up as the package does; `NULL`: never.
const END: &str = "coalesce(to_timestamp(ceil(extract(epoch FROM now())::float8 + $4::float8)){local}, \
                   'infinity')";

/// The text, the milliseconds since the epoch when it ends, the clock.
const RECORD: &str = "sess::text, (extract(epoch FROM {instant}) * 1000)::float8, \
                      (extract(epoch FROM now()) * 1000)::int8";

/// By way of a range, because `>=` would compare any two types of time, by the connection's zone: a
/// range takes its own type alone, so a statement for the other type of column fails.
const IS_LIVE: &str = "tstzrange({second}, NULL) @> {instant}";

const IS_DEAD: &str = "tstzrange(NULL, {second}) @> {instant}";

/// A site may have given the column a collation, or a type, that takes one id for another.
const ROW: &str = "present.sid = $2 AND present.sid::text COLLATE \"C\" = $2";

/// A live row that is as it was read.
const OLD: &str = "{row} AND sess::text = $3 AND {is_live} AND {own}";

const FETCH: &str =
    "SELECT {record} FROM {sessions} AS present WHERE {row} AND {is_live} AND {own}";

/// By a site's own collation, a row may have another id: the caller compares them again.
const FETCH_ALL: &str = "SELECT {record}, sid FROM {sessions} AS present \
                         WHERE sid = ANY ($2::text[]) AND {is_live} AND {own}";

/// An expired row is no hindrance. By way of text, the column may be `json` or `jsonb`.
const ADD: &str = "INSERT INTO {sessions} AS present (sid, sess, expire) \
                   SELECT $2, $3::text::json, {end} WHERE {own} \
                   ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire \
                   WHERE {row} AND {is_dead} RETURNING sess::text";

const SWAP: &str = "UPDATE {sessions} AS present SET sess = $4::text::json WHERE {old} \
                    RETURNING sess::text";

const SWAP_FOR: &str = "UPDATE {sessions} AS present SET sess = $5::text::json, expire = {end} \
                        WHERE {old} RETURNING sess::text";

const EXTEND: &str = "UPDATE {sessions} AS present SET expire = {end} WHERE {old}";

const DISCARD: &str = "DELETE FROM {sessions} AS present WHERE {old}";

const CLOCK: &str = "SELECT (extract(epoch FROM now()) * 1000)::int8 WHERE {own}";

/// Fails where there is no such zone.
const LOCAL_TIME: &str = "SELECT now() AT TIME ZONE $1::text WHERE {own}";

const PAGE: &str = "SELECT {record}, sid FROM {sessions} AS present WHERE sid > $2 AND {is_live} \
                    AND {own} ORDER BY sid LIMIT $3";

const COUNT: &str = "SELECT count(*) FROM {sessions} AS present WHERE {is_live} AND {own}";

/// How many rows one statement removes at most.
pub(super) const BATCH: usize = 1000;

/// A batch of all rows, in the order of their ids.
const CLEAR: &str = "
WITH chosen AS MATERIALIZED (SELECT sid FROM {sessions} WHERE sid >= $1 ORDER BY sid LIMIT 1000),
gone AS (DELETE FROM {sessions} WHERE sid = ANY (ARRAY(SELECT sid FROM chosen)))
SELECT count(*), max(sid) FROM chosen WHERE {own}";

/// The comparison is one for the index; where clocks are set back, it may find what still lives. Rows
/// that somebody is at are passed over.
const SWEEP: &str = "
WITH expired AS MATERIALIZED (
    SELECT sid FROM {sessions} AS present WHERE expire < {second}{local} AND {is_dead}
    LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM {sessions} AS present
WHERE sid = ANY (ARRAY(SELECT sid FROM expired)) AND {is_dead} AND {own}";

/// The statements for each type that the column `expire` may have.
#[derive(Debug)]
pub(super) struct Table {
    /// For `timestamp`, and for `timestamptz`.
    pub statements: [Statements; 2],
    /// Whether it was a `timestamptz` when it was last used.
    pub has_zone: AtomicBool,
}

impl Table {
    pub fn new(name: &str, sending: &Sending) -> Arc<Self> {
        let local = Statements::new(name, "(present.expire AT TIME ZONE $1::text)", LOCAL, sending);
        let statements = [local, Statements::new(name, "present.expire", "", sending)];
        Arc::new(Self { statements, has_zone: AtomicBool::new(false) })
    }
}

/// Makes a time one of the column.
const LOCAL: &str = " AT TIME ZONE $1::text";

#[derive(Debug)]
pub(super) struct Statements {
    pub fetch: Statement,
    pub fetch_all: Statement,
    pub add: Statement,
    pub swap: Statement,
    pub swap_for: Statement,
    pub extend: Statement,
    pub discard: Statement,
    pub clock: Statement,
    pub local_time: Statement,
    pub page: Statement,
    pub count: Statement,
    pub clear: Statement,
    pub sweep: Statement,
}

impl Statements {
    /// `instant` is the column as a `timestamptz`, and `local` follows one that becomes the column.
    fn new(table: &str, instant: &str, local: &str, sending: &Sending) -> Self {
        let sql = |template: &str| {
            let template = template.replace("{old}", OLD).replace("{record}", RECORD);
            let template = template.replace("{is_live}", IS_LIVE).replace("{is_dead}", IS_DEAD);
            let template = template.replace("{row}", ROW).replace("{end}", END);
            let template = template.replace("{second}", SECOND).replace("{instant}", instant);
            let template = template.replace("{local}", local);
            Statement::new(&template, &[("{sessions}", table)], sending)
        };
        Self {
            fetch: sql(FETCH),
            fetch_all: sql(FETCH_ALL),
            add: sql(ADD),
            swap: sql(SWAP),
            swap_for: sql(SWAP_FOR),
            extend: sql(EXTEND),
            discard: sql(DISCARD),
            clock: sql(CLOCK),
            local_time: sql(LOCAL_TIME),
            page: sql(PAGE),
            count: sql(COUNT),
            clear: sql(CLEAR),
            sweep: sql(SWEEP),
        }
    }
}
