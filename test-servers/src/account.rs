use std::fs;

use crate::error::{Error, Result};
use crate::system;

/// The ordinary user that a server runs as when it refuses to run as root.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Account {
    /// None when this process is an ordinary user already.
    pub(crate) fn unless_ordinary() -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let path = system::root().unwrap_or_else(|| "/".into()).join("etc/passwd");
        let passwd = fs::read_to_string(&path)
            .map_err(|error| Error::doing(format!("reading {}", path.display()), error))?;
        ["postgres", "nobody"].iter().find_map(|name| find(&passwd, name)).map(Some).ok_or_else(
            || {
                let path = path.display();
                Error::new(format!("{path} has neither a user postgres nor nobody"))
            },
        )
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let user = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    Some(Account { user, group })
}
