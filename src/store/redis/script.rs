//! [`Script`]: a Lua script that runs on the server.
//!
//! Every operation is one script on one node, so it is atomic: nothing else runs on the server
//! meanwhile, and its log and its replicas get all of the script's writes or none.

use std::sync::LazyLock;

use redis::Cmd;

/// A Lua script, known to the server by its digest.
pub(in crate::store) struct Script {
    source: &'static str,
    digest: String,
}

macro_rules! script {
    ($name:ident = $($part:literal),+) => {
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)));
    };
}

script!(LOAD = "names", "read", "claim", "expiry", "load");
script!(INSERT = "names", "read", "expiry", "write", "insert");
script!(REPLACE = "names", "read", "claim", "expiry", "write", "replace");
script!(REMOVE = "names", "read", "claim", "remove");
script!(ALIVE = "names", "read", "alive");
script!(OWNED = "names", "read", "visit", "owned");
script!(REMOVE_OWNED = "names", "remove_owned");
script!(PRUNE = "names", "visit", "prune");

impl Script {
    pub(in crate::store) fn new(source: &'static str) -> Self {
        let digest = redis::Script::new(source).get_hash().to_owned();
        Self { source, digest }
    }

    /// The call of a script that the server knows.
    pub(super) fn call(&self, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
        command("EVALSHA", &self.digest, keys, args)
    }

    /// The call that makes the script known to the server too: after `NOSCRIPT`, when the server
    /// has been restarted or told to forget its scripts.
    pub(super) fn first_call(&self, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
        command("EVAL", self.source, keys, args)
    }
}

fn command(name: &str, script: &str, keys: &[&[u8]], args: &[&[u8]]) -> Cmd {
    let parts = keys.iter().chain(args);
    let size = name.len() + script.len() + parts.map(|part| part.len()).sum::<usize>();
    // Sized at once; the three are the name, the script and the number of keys.
    let mut command = Cmd::with_capacity(3 + keys.len() + args.len(), size + 4);
    command.arg(name).arg(script).arg(keys.len());
    for part in keys.iter().chain(args) {
        command.arg(*part);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::super::record::HEADER_LEN;
    use super::*;
    use crate::key::Key;

    #[test]
    fn the_scripts_know_the_lengths_of_keys_and_headers() {
        let source = LOAD.source;
        assert!(source.contains(&format!("local KEY_LEN = {}\n", Key::TEXT_LEN)));
        assert!(source.contains(&format!("local HEADER_LEN = {HEADER_LEN}\n")));
    }
}
