use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::{launch, version_in};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::packages::{OPENSSL, REDIS};
use crate::port::Port;
use crate::server::{Server, run};

/// A Redis server that speaks TLS alone and wants a certificate from its clients.
pub struct RedisTls {
    server: Server,
    certificates: Certificates,
}

/// Where the files in PEM are that a client needs, in one directory.
#[derive(Clone, Debug)]
pub struct Certificates {
    directory: PathBuf,
}

impl RedisTls {
    /// Makes an authority, a certificate for `127.0.0.1` and `localhost` and one for a client,
    /// and starts a server with them.
    pub fn start() -> Result<Self> {
        let directory = Directory::create("redis-tls", None)?;
        let certificates = Certificates::make(directory.path())?;
        let port = Port::reserve()?;
        let number = port.number().to_string();
        let mut arguments: Vec<String> =
            ["--port", "0", "--tls-port", &number, "--save", "", "--appendonly", "no"]
                .map(str::to_owned)
                .into();
        for (option, file) in [
            ("--tls-ca-cert-file", "ca.crt"),
            ("--tls-cert-file", "server.crt"),
            ("--tls-key-file", "server.key"),
        ] {
            arguments.extend([option.to_owned(), certificates.file(file)]);
        }
        let cli = REDIS.program("redis-cli")?;
        let paths = certificates.clone();
        let server = launch("redis with TLS", "rediss", port, arguments, directory, move || {
            let (ca, certificate) = (paths.file("ca.crt"), paths.file("client.crt"));
            let key = paths.file("client.key");
            let mut ask = vec!["-h", "127.0.0.1", "-p", &number, "--tls", "--cacert", &ca];
            ask.extend(["--cert", &certificate, "--key", &key, "INFO", "server"]);
            let answer = run(&cli, &ask, None).map_err(io::Error::other)?;
            if answer.contains("redis_version") {
                Ok(version_in(&answer))
            } else {
                Err(io::Error::other(answer))
            }
        })?;
        Ok(Self { server, certificates })
    }

    /// The files that a client needs.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }
}

impl Deref for RedisTls {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Certificates {
    /// The files in a directory: `ca.crt`, `client.crt` and `client.key`.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// The directory that holds the files.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The certificate of the authority that signed the server's.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// The certificate that the server accepts from a client.
    pub fn client_certificate(&self) -> PathBuf {
        self.directory.join("client.crt")
    }

    /// The private key of that certificate.
    pub fn client_key(&self) -> PathBuf {
        self.directory.join("client.key")
    }

    fn make(directory: &Path) -> Result<Self> {
        let certificates = Self::in_directory(directory);
        let config = certificates.file("openssl.cnf");
        std::fs::write(
            &config,
            "[req]\ndistinguished_name = name\n[name]\n\
             [authority]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign\n\
             subjectKeyIdentifier = hash\n\
             [server]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = serverAuth\n\
             subjectAltName = IP:127.0.0.1, DNS:localhost\n\
             [client]\nbasicConstraints = critical, CA:FALSE\nextendedKeyUsage = clientAuth\n",
        )
        .map_err(|error| Error::doing(format!("writing {config}"), error))?;
        let openssl = OPENSSL.program("openssl")?;
        for (role, name) in [("authority", "ca"), ("server", "server"), ("client", "client")] {
            let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
            let (key, certificate) = (certificates.file(&key), certificates.file(&certificate));
            let (ca, ca_key) = (certificates.file("ca.crt"), certificates.file("ca.key"));
            let subject = format!("/CN=token-session test {role}");
            let mut arguments = vec!["req", "-x509", "-config", &config, "-extensions", role];
            arguments.extend(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
            arguments.extend(["-noenc", "-days", "2", "-subj", &subject]);
            arguments.extend(["-keyout", &key, "-out", &certificate]);
            if role != "authority" {
                arguments.extend(["-CA", &ca, "-CAkey", &ca_key]);
            }
            run(&openssl, &arguments, None)?;
        }
        Ok(certificates)
    }

    fn file(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }
}
