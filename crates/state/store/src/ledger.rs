//! The database as the sealing key sees it: books are trusted only if the key vouched for all of them together.

use keyroll_codes::Code;
use keyroll_database::rusqlite::{self, Connection, OptionalExtension, Row, params};
use keyroll_port::Failure;
use keyroll_secret::{Credential, Fingerprint, FingerprintKey, SealingKey, SecretBytes};

use crate::book::{Book, Kept, Parts, Version, label_of, label_word};
use crate::fail::Attempt;
use crate::payload::{self, Fingerprints, Place};

/// The keys that seal and vouch for everything here.
pub(crate) struct Keys {
    pub(crate) sealing: SealingKey,
    fingerprints: FingerprintKey,
    kid: [u8; 8],
}

impl Keys {
    pub(crate) fn new(sealing: SealingKey, attempt: Attempt<'_>) -> Result<Self, Failure> {
        let fingerprints = sealing.fingerprint_key().map_err(|error| attempt.seal(error))?;
        let kid = *sealing.kid().map_err(|error| attempt.seal(error))?.as_bytes();
        Ok(Self { sealing, fingerprints, kid })
    }

    /// Names and fingerprints of a credential's secret fields.
    pub(crate) fn fingerprints(&self, credential: &Credential) -> Fingerprints {
        let print =
            |(name, value): (&str, &SecretBytes)| (name.to_owned(), self.fingerprints.fingerprint(value));
        credential.fields.secrets().map(print).collect()
    }

    /// The key's authentication code for bytes that are not a value. The bytes begin with a constant text and its
    /// length.
    fn vouch(&self, bytes: Vec<u8>) -> [u8; 32] {
        *self.fingerprints.fingerprint(&SecretBytes::new(bytes)).as_bytes()
    }
}

/// The view of one transaction.
pub(crate) struct Ledger<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) keys: &'a Keys,
    pub(crate) attempt: Attempt<'a>,
    generation: u64,
    roots: Vec<(String, [u8; 32])>,
}

impl<'a> Ledger<'a> {
    /// Reads the roots of all secrets, and refuses them unless the key vouched for exactly these roots.
    pub(crate) fn read(
        connection: &'a Connection,
        keys: &'a Keys,
        attempt: Attempt<'a>,
    ) -> Result<Self, Failure> {
        let fail = |error| attempt.sqlite(error);
        let store: Option<([u8; 8], i64, [u8; 32])> = connection
            .prepare_cached("SELECT kid, generation, root FROM store")
            .and_then(|mut one| {
                one.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
            })
            .map_err(fail)?;
        let roots: Vec<(String, [u8; 32])> = connection
            .prepare_cached("SELECT name, root FROM secrets ORDER BY name")
            .and_then(|mut all| all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .map_err(fail)?;
        let Some((kid, generation, root)) = store else {
            if roots.is_empty() {
                return Ok(Self { connection, keys, attempt, generation: 0, roots });
            }
            return Err(attempt.altered("its secrets are there, the key's word for them is not"));
        };
        if kid != keys.kid {
            return Err(attempt
                .refuse(Code::SealingKeyUnusable, "the store was made with another sealing key")
                .help("put back the sealing key that this store was made with"));
        }
        let ledger = Self { connection, keys, attempt, generation: generation.cast_unsigned(), roots };
        if ledger.root() != root {
            return Err(attempt.altered("some secrets are not what they were when the key vouched for them"));
        }
        Ok(ledger)
    }

    /// Whether the key has never vouched for anything here.
    pub(crate) fn is_new(&self) -> bool {
        self.generation == 0
    }

    /// The names of all secrets.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|(name, _)| name.as_str())
    }

    fn root(&self) -> [u8; 32] {
        let mut parts = Parts(Vec::new());
        parts.text("keyroll store v1").number(self.generation);
        for (name, root) in &self.roots {
            parts.text(name).bytes(root);
        }
        self.keys.vouch(parts.0)
    }

    /// The book of one secret; refused if it does not exist.
    pub(crate) fn book(&self, name: &str) -> Result<Book, Failure> {
        self.book_if_any(name)?.ok_or_else(|| {
            self.attempt
                .refuse(Code::NameNotFound, format!("there is no secret '{name}'"))
                .help("`keyroll secret list` shows the names; `keyroll secret import NAME` imports a value that is not kept yet")
        })
    }

    /// The book of one secret, as the key vouched for it.
    pub(crate) fn book_if_any(&self, name: &str) -> Result<Option<Book>, Failure> {
        let Some((_, root)) = self.roots.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let fail = |error| self.attempt.sqlite(error);
        let versions =
            "SELECT versions.number, label, credential, fingerprints, versions.sealed, rotation, intent,
                        unix_ms, needles.sealed FROM versions LEFT JOIN needles USING (secret, number)
                        WHERE secret = ?1 ORDER BY versions.number";
        let versions = self
            .connection
            .prepare_cached(versions)
            .and_then(|mut all| all.query_map([name], version)?.collect::<rusqlite::Result<Vec<_>>>())
            .map_err(fail)?;
        let kept = "SELECT rotation, intent, credential, fingerprints, sealed
                    FROM kept WHERE secret = ?1 ORDER BY rotation, intent";
        let kept = self
            .connection
            .prepare_cached(kept)
            .and_then(|mut all| all.query_map([name], kept_row)?.collect::<rusqlite::Result<Vec<_>>>())
            .map_err(fail)?;
        let malformed = || self.attempt.altered(format!("a row of '{name}' is not of its form"));
        let book = Book {
            name: name.to_owned(),
            versions: versions.into_iter().collect::<Option<_>>().ok_or_else(malformed)?,
            kept: kept.into_iter().collect::<Option<_>>().ok_or_else(malformed)?,
        };
        if self.keys.vouch(book.to_bytes()) != *root {
            return Err(self
                .attempt
                .altered(format!("the rows of '{name}' are not those that the key vouched for")));
        }
        Ok(Some(book))
    }

    /// Writes the changed rows of a book, and the key's new authentication code for all of it.
    pub(crate) fn save(
        &mut self,
        book: &Book,
        versions: &[u32],
        kept: &[(String, u64)],
    ) -> Result<(), Failure> {
        let fail = |attempt: Attempt<'_>, error| attempt.sqlite(error);
        for version in book.versions.iter().filter(|it| versions.contains(&it.number)) {
            self.put_version(&book.name, version).map_err(|error| fail(self.attempt, error))?;
        }
        for row in &book.kept {
            if kept.iter().any(|(rotation, intent)| *rotation == row.rotation && *intent == row.intent) {
                self.put_kept(&book.name, row).map_err(|error| fail(self.attempt, error))?;
            }
        }
        let root = self.keys.vouch(book.to_bytes());
        match self.roots.binary_search_by(|(name, _)| name.as_str().cmp(&book.name)) {
            Ok(at) => {
                if let Some((_, known)) = self.roots.get_mut(at) {
                    *known = root;
                }
            }
            Err(at) => self.roots.insert(at, (book.name.clone(), root)),
        }
        let put = "INSERT INTO secrets VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET root = excluded.root";
        self.connection.execute(put, params![book.name, root]).map_err(|error| self.attempt.sqlite(error))?;
        self.vouch_for_all()
    }

    /// Writes the key's authentication code for all secrets, at the next generation.
    pub(crate) fn vouch_for_all(&mut self) -> Result<(), Failure> {
        self.generation = self.generation.saturating_add(1);
        let put = "INSERT INTO store VALUES (1, ?1, ?2, ?3) ON CONFLICT (one) DO UPDATE
                   SET generation = excluded.generation, root = excluded.root";
        let values = params![self.keys.kid, self.generation.cast_signed(), self.root()];
        self.connection.execute(put, values).map(drop).map_err(|error| self.attempt.sqlite(error))
    }

    fn put_version(&self, secret: &str, row: &Version) -> rusqlite::Result<()> {
        let put = "INSERT OR REPLACE INTO versions
            (secret, number, label, credential, fingerprints, sealed, rotation, intent, unix_ms)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let (rotation, intent) = row.from.clone().unzip();
        let values = params![
            secret,
            row.number,
            label_word(row.label),
            row.credential,
            to_text(&row.fingerprints),
            row.sealed,
            rotation,
            intent.map(u64::cast_signed),
            row.unix_ms.cast_signed(),
        ];
        self.connection.execute(put, values)?;
        match &row.needle {
            Some(needle) => {
                let put = "INSERT OR REPLACE INTO needles (secret, number, sealed) VALUES (?1, ?2, ?3)";
                self.connection.execute(put, params![secret, row.number, needle])
            }
            None => {
                let drop = "DELETE FROM needles WHERE secret = ?1 AND number = ?2";
                self.connection.execute(drop, params![secret, row.number])
            }
        }
        .map(drop)
    }

    fn put_kept(&self, secret: &str, row: &Kept) -> rusqlite::Result<()> {
        let put = "INSERT OR REPLACE INTO kept (secret, rotation, intent, credential, fingerprints, sealed)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let prints = to_text(&row.fingerprints);
        let values =
            params![secret, row.rotation, row.intent.cast_signed(), row.credential, prints, row.sealed];
        self.connection.execute(put, values).map(drop)
    }

    /// Seals a credential for its place in this secret.
    pub(crate) fn seal(
        &self,
        secret: &str,
        place: &Place<'_>,
        credential: &Credential,
    ) -> Result<Vec<u8>, Failure> {
        payload::seal(&self.keys.sealing, secret, place, credential, self.attempt)
    }

    /// Opens a sealed record, and refuses one that contradicts its row.
    pub(crate) fn open(
        &self,
        secret: &str,
        place: &Place<'_>,
        sealed: &[u8],
        expected: (Option<&str>, &Fingerprints),
    ) -> Result<Credential, Failure> {
        let credential = payload::open(&self.keys.sealing, secret, place, sealed, self.attempt)?;
        let id = credential.id.as_ref().map(keyroll_secret::CredentialId::as_str);
        if (id, &self.keys.fingerprints(&credential)) != expected {
            return Err(self.attempt.altered(format!("a sealed record of '{secret}' is not its row's")));
        }
        Ok(credential)
    }
}

fn version(row: &Row<'_>) -> rusqlite::Result<Option<Version>> {
    let label: String = row.get(1)?;
    let fingerprints: String = row.get(3)?;
    let (rotation, intent): (Option<String>, Option<i64>) = (row.get(5)?, row.get(6)?);
    let (Some(label), Some(fingerprints)) = (label_of(&label), from_text(&fingerprints)) else {
        return Ok(None);
    };
    Ok(Some(Version {
        number: row.get(0)?,
        label,
        credential: row.get(2)?,
        fingerprints,
        sealed: row.get(4)?,
        needle: row.get(8)?,
        from: rotation.zip(intent.map(i64::cast_unsigned)),
        unix_ms: row.get::<_, i64>(7)?.cast_unsigned(),
    }))
}

fn kept_row(row: &Row<'_>) -> rusqlite::Result<Option<Kept>> {
    let fingerprints: String = row.get(3)?;
    let Some(fingerprints) = from_text(&fingerprints) else { return Ok(None) };
    Ok(Some(Kept {
        rotation: row.get(0)?,
        intent: row.get::<_, i64>(1)?.cast_unsigned(),
        credential: row.get(2)?,
        fingerprints,
        sealed: row.get(4)?,
    }))
}

/// A list of pairs as JSON.
fn to_text(fingerprints: &Fingerprints) -> String {
    let pair = |(name, print): &(String, Fingerprint)| serde_json::json!([name, print.as_bytes()]);
    serde_json::Value::Array(fingerprints.iter().map(pair).collect()).to_string()
}

fn from_text(text: &str) -> Option<Fingerprints> {
    let pairs: Vec<(String, [u8; 32])> = serde_json::from_str(text).ok()?;
    Some(pairs.into_iter().map(|(name, print)| (name, Fingerprint::from_bytes(print))).collect())
}
