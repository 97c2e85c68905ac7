//! Texts in the position of a secret that are none; and secrets that do not look like one.

use keyroll_leak::{Rules, is_distinct, is_example, no_secret};

/// Placeholders of documents, templates, charts and settings.
const NONE: &[&str] = &[
    // Where the value comes from.
    "${DB_PASSWORD}",
    "${DB_PASSWORD:-}",
    "${{ secrets.NPM_TOKEN }}",
    "$(cat /run/secrets/db)",
    "$__file{/run/secrets/db}",
    "{{ .Values.auth.password }}",
    "{{ vault_db_password }}",
    "{{resolve:secretsmanager:db:SecretString:password}}",
    "((postgres-password))",
    "[[ .Env.TOKEN ]]",
    "%{hiera('db::password')}",
    "#{ENV['SECRET']}",
    "<%= ENV['SECRET_KEY_BASE'] %>",
    "%(ENV_DB_PASSWORD)s",
    "{access_token}",
    ":db_password",
    "__API_TOKEN__",
    "!vault |",
    "!Ref DbPassword",
    "op://Private/db/password",
    "vault:secret/data/db#password",
    "ref+vault://secret/db#/password",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf",
    "projects/p/secrets/db/versions/latest",
    "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/db)",
    "os.environ/OPENAI_API_KEY",
    "process.env.API_TOKEN",
    "os.getenv(\"API_TOKEN\")",
    "env:API_TOKEN",
    "my-release-db-credentials",
    "var.db_password",
    "data.vault_generic_secret.db.data[\"password\"]",
    "file:///run/secrets/db",
    "keychain:login/api",
    // Instructions to fill in a value.
    "your-api-key",
    "YOUR_API_KEY_HERE",
    "sk-your-key-here",
    "<insert token>",
    "changeme",
    "ChangeMe123!",
    "replace-with-a-long-random-string",
    "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxx",
    "sk-...",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "dummy-token-for-tests",
    "[REDACTED]",
    "********************",
    "1234567890abcdef",
    "abcdefghijklmnopqrstuvwxyz",
    "aaaaaaaaaaaaaaaa",
    "todo: ask ada",
    // Settings and switches.
    "disabled",
    "required",
    "same-origin",
    "/run/secrets/db_password",
    "./certs/server.key",
    "~/.config/app/token",
    "https://auth.example.org/oauth/token",
    "http://localhost:8080/token",
    "2026-01-01T00:00:00Z",
    "3600 seconds",
    "00000000-0000-0000-0000-000000000000",
    "<|endoftext|>",
    // Password hashes, and encrypted values.
    "$2b$12$abcdefghijklmnopqrstuv",
    "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
    "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy",
    "ada:$apr1$salt$hash",
    "ada:{SHA}aGFzaA==",
    "md5d41d8cd98f00b204e9800998ecf8427e",
    "ENC[AES256_GCM,data:abc=,iv:def=,tag:ghi=,type:str]",
    "$ANSIBLE_VAULT;1.1;AES256",
    // Words for people.
    "Enter your password",
    "Passwort vergessen?",
    "The token that the server gives you.",
    "Reset Password",
];

#[test]
fn placeholders_are_never_taken_for_secrets() {
    let taken: Vec<&&str> = NONE
        .iter()
        .filter(|value| no_secret(value.as_bytes()).is_none() && !is_example(value.as_bytes()))
        .collect();
    assert!(taken.is_empty(), "{taken:#?}");
}

/// Splitmix64: the same values in every run, and none in the repository.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn of(&mut self, alphabet: &[u8], length: usize) -> Vec<u8> {
        let one = |draw: &mut Self| alphabet.get(draw.below(alphabet.len())).copied();
        (0..length).filter_map(|_| one(self)).collect()
    }
}

#[test]
fn no_random_value_is_taken_for_something_else() {
    let alphabets: [(&[u8], usize); 6] = [
        (b"0123456789abcdef", 24),
        (b"0123456789ABCDEF", 24),
        (b"abcdefghijklmnopqrstuvwxyz0123456789", 16),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 12),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 20),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 20),
    ];
    let mut draw = Draw(0x6c65_616b);
    for (alphabet, shortest) in alphabets {
        let (mut lost, mut common) = (0, 0);
        for _ in 0..5_000 {
            let length = shortest + draw.below(40);
            let value = draw.of(alphabet, length);
            lost += usize::from(no_secret(&value).is_some() || is_example(&value));
            common += usize::from(!is_distinct(&value));
        }
        // One in some thousands begins with a slash and reads as a path.
        assert!(lost <= 2, "{lost} of {}", String::from_utf8_lossy(alphabet));
        assert!(common <= 1, "{common} of {}", String::from_utf8_lossy(alphabet));
    }
}

#[test]
fn a_value_with_its_public_prefix_is_one() {
    let rules = Rules::shipped().expect("the rules");
    let mut draw = Draw(7);
    let random = |draw: &mut Draw, length| {
        let all = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        String::from_utf8(draw.of(all, length)).expect("ASCII")
    };
    for start in
        ["sk-proj-", "sk-ant-api03-", "ghp_", "glpat-", "xoxb-", "hf_", "rk_live_", "pk-", "ops-token-"]
    {
        for length in [20, 36, 48, 96] {
            let value = format!("{start}{}", random(&mut draw, length));
            assert_eq!(no_secret(value.as_bytes()), None, "{start}… of {length}");
        }
    }
    assert!(rules.iter().count() > 30);
}
