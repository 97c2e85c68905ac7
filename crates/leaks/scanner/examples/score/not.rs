//! Texts that look like secrets and are none: hashes, ids, names, paths, placeholders, and public values.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::keys::pem;
use super::providers::{formed, uuid};
use super::random::{self, Random};

/// What is random and public, by its form; the letters are those of `providers`.
const FORMS: [(&str, &str); 49] = [
    // Hashes.
    ("commit", "{h:40}"),
    ("short-commit", "{h:8}"),
    ("md5", "{h:32}"),
    ("sha256", "{h:64}"),
    ("sha512", "{h:128}"),
    ("digest", "sha256:{h:64}"),
    ("bundle-hash", "{h:20}"),
    ("chunk-hash", "{u:8}"),
    ("css", "_{u:6}_{a:5}_{d:2}"),
    ("etag", "{h:13}-{h:5}"),
    ("fingerprint", "SHA256:{6:43}"),
    (
        "colons",
        "{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}:{H:2}",
    ),
    // Password hashes.
    ("bcrypt", "$2b$12${b:53}"),
    ("argon2", "$argon2id$v=19$m=65536,t=3,p=4${6:22}${6:43}"),
    ("shadow", "$6$rounds=656000${b:16}${b:86}"),
    ("apr1", "$apr1${b:8}${b:22}"),
    ("pbkdf2", "pbkdf2_sha256$870000${b:22}${6:43}="),
    ("scram", "SCRAM-SHA-256$4096:{6:22}==${6:43}=:{6:43}="),
    ("md5-verifier", "md5{h:32}"),
    // Encrypted.
    ("sops", "ENC[AES256_GCM,data:{6:24},iv:{6:43}=,tag:{6:22}==,type:str]"),
    ("transit", "vault:v1:{6:64}"),
    ("sealed", "AgB{6:781}"),
    ("fernet-sealed", "gAAAAAB{u:93}="),
    ("openssl-sealed", "U2FsdGVkX1{6:54}="),
    ("rails-sealed", "{6:180}--{6:16}--{6:22}=="),
    // Halves of keys that are public.
    ("jwk-part", "{u:43}"),
    ("jwk-modulus", "{u:342}"),
    // Ids.
    ("trace", "{h:32}"),
    ("span", "{h:16}"),
    ("object-id", "6{h:23}"),
    ("ulid", "01J{2:23}"),
    ("docker-id", "{h:12}"),
    ("pod", "{a:10}-{a:5}"),
    ("request-id", "req_{b:24}"),
    ("amazon-request", "{A:16}"),
    ("twilio-sid", "AC{h:32}"),
    ("stripe-object", "cus_{b:14}"),
    ("stripe-public", "pk_live_51{b:97}"),
    ("openai-object", "chatcmpl-{b:29}"),
    ("anthropic-object", "msg_01{b:22}"),
    ("sentry-dsn", "https://{h:32}@o4505{d:11}.ingest.us.sentry.io/4505{d:12}"),
    ("recaptcha-site", "6Le{u:37}"),
    ("measurement", "G-{A:10}"),
    ("slack-channel", "C0{A:9}"),
    ("account", "{d:12}"),
    ("timestamp", "17{d:8}"),
    ("nonce", "{6:22}=="),
    // Of a page that anybody may read.
    ("notion", "API-{H:32}"),
    ("client-id", "{d:12}-{a:32}.apps.googleusercontent.com"),
];

/// One of these stands where a value would.
const WORDS: [(&str, &[&str]); 10] = [
    (
        "placeholder",
        &[
            "your-api-key-here",
            "changeme",
            "change-me-please",
            "<your-token>",
            "xxxxxxxxxxxxxxxxxxxx",
            "REPLACE_ME",
            "replace-with-a-real-key",
            "insert_token_here",
            "YOUR_SECRET_KEY",
            "<password>",
            "enter-your-password",
            "my-secret-password",
            "put-your-token-here",
            "sk-your-openai-key",
            "dummy-token-for-tests",
            "not-a-real-key",
        ],
    ),
    (
        "masked",
        &[
            "********",
            "****************",
            "[redacted]",
            "***",
            "sk-...4f2a",
            "ghp_****************",
            "<hidden>",
            "(sensitive value)",
        ],
    ),
    (
        "variable",
        &[
            "${DB_PASSWORD}",
            "$DB_PASSWORD",
            "${API_TOKEN:-}",
            "${SECRET_KEY:?missing}",
            "${{ secrets.DEPLOY_TOKEN }}",
            "{{ .Values.db.password }}",
            "{{ vault_db_password }}",
            "%(db_password)s",
            "$(cat /run/secrets/db)",
            "<%= ENV['DB_PASSWORD'] %>",
            "#{db_password}",
            "$(DB_PASSWORD)",
            "@DB_PASSWORD@",
        ],
    ),
    (
        "code",
        &[
            "os.environ[\"DB_PASSWORD\"]",
            "process.env.API_TOKEN",
            "getenv(\"API_SECRET\")",
            "config.get(\"db.password\")",
            "settings.SECRET_KEY",
            "self.password",
            "request.form.get(\"password\")",
            "generate_password(32)",
            "options.accessToken",
            "cfg.Auth.ClientSecret",
            "password_from_prompt()",
            "user.encrypted_password",
        ],
    ),
    (
        "vault-ref",
        &[
            "op://Production/database/password",
            "vault:secret/data/app#password",
            "ref+vault://secret/app#/password",
            "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-x1Y2z3",
            "projects/acme/secrets/db-password/versions/latest",
            "akv://acme-vault/db-password",
            "ssm:/acme/prod/db-password",
            "secretref:db-password",
            "doppler://acme/prod/DB_PASSWORD",
            "keychain:acme-db",
        ],
    ),
    (
        "secret-name",
        &[
            "app-db-credentials",
            "prod-postgres-password",
            "stripe-webhook-secret",
            "registry-pull-secret",
            "tls-wildcard-key",
            "github-deploy-token",
            "redis-auth",
        ],
    ),
    (
        "path",
        &[
            "/run/secrets/db_password",
            "/etc/ssl/private/server.key",
            "~/.config/gh/token",
            "./secrets/api-key.txt",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "C:\\ProgramData\\app\\token.txt",
        ],
    ),
    (
        "label",
        &[
            "Enter your password",
            "Password must have 12 letters",
            "API key is missing",
            "Forgot your password?",
            "Invalid access token",
            "The secret was rotated",
            "Confirm password",
        ],
    ),
    (
        "identifier",
        &[
            "accessTokenAcceptedVersion",
            "PasswordResetTokenGenerator",
            "com.acme.security.TokenAuthenticationFilter",
            "refreshTokenRotationEnabled",
            "useSecretManagerClientFactory",
            "DEFAULT_API_KEY_HEADER_NAME",
            "session_token_lifetime_seconds",
            "x-goog-api-key-version-2",
            "oauth2/token/introspect",
            "token_type_hint",
        ],
    ),
    (
        "number",
        &[
            "3600",
            "1209600",
            "0.0.0.0:8080",
            "2026-01-02T03:04:05Z",
            "16384",
            "v2.14.1-rc.3",
            "1.21.0+build.5114",
            "86400s",
            "00:1A:2B:3C:4D:5E",
        ],
    ),
];

/// Something that is no secret; `None` for a kind that is not known here.
pub fn value(kind: &str, random: &mut Random) -> Option<String> {
    if let Some((_, form)) = FORMS.iter().find(|(name, _)| *name == kind) {
        return Some(formed(form, random));
    }
    if let Some((_, all)) = WORDS.iter().find(|(name, _)| *name == kind) {
        return Some(random.one(all).to_owned());
    }
    Some(match kind {
        "uuid" => uuid(random),
        "integrity" => format!("sha512-{}", STANDARD.encode(random.bytes(64))),
        "integrity-1" => format!("sha1-{}", STANDARD.encode(random.bytes(20))),
        "go-sum" => format!("h1:{}", STANDARD.encode(random.bytes(32))),
        "example" => example(random),
        "ssh-public" => {
            format!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} dev@laptop", random.letters(random::BASE64, 43))
        }
        "rsa-public" => {
            format!("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ{} ci@build", random.letters(random::BASE64, 510))
        }
        "pem-public" => pem("PUBLIC KEY", &random.bytes(294), 64),
        "certificate" => pem("CERTIFICATE", &[&[0x30, 0x82, 3, 0x9a][..], &random.bytes(918)].concat(), 64),
        "certificate-data" => STANDARD.encode(pem("CERTIFICATE", &random.bytes(700), 64)),
        "csr" => pem("CERTIFICATE REQUEST", &random.bytes(600), 64),
        "dh" => pem("DH PARAMETERS", &random.bytes(268), 64),
        "age-public" => format!("age1{}", random.letters("qpzry9x8gf2tvdw0s3jn54khce6mua7l", 58)),
        "wireguard-public" | "hash64" => STANDARD.encode(random.bytes(32)),
        "image" => STANDARD.encode(
            [&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x20\0\0\0\x20\x08\x06\0\0\0"[..], &random.bytes(400)]
                .concat(),
        ),
        "font" => STANDARD.encode([&b"wOF2\0\x01\0\0"[..], &random.bytes(600)].concat()),
        "wasm" => STANDARD.encode([&b"\0asm\x01\0\0\0"[..], &random.bytes(300)].concat()),
        "source-map" => (0..60)
            .map(|_| random.one(&["AAAA", "CAAC", "IAAI", "SAAS", ",", "EAAE;", "OAAO,", "GACG", "UAAU"]))
            .collect(),
        "text64" => {
            STANDARD.encode("The quick brown fox jumps over the lazy dog, and reads the manual twice.")
        }
        "cursor" => {
            URL_SAFE_NO_PAD.encode(format!("{{\"id\":{},\"sort\":\"created_at\"}}", random.below(900_000)))
        }
        "ansible-vault" => {
            let lines: Vec<String> = (0..5).map(|_| random.letters("3132333435363738396162", 80)).collect();
            format!("$ANSIBLE_VAULT;1.1;AES256\n{}", lines.join("\n"))
        }
        "power-bi" => STANDARD.encode(format!("{{\"k\":\"{}\",\"t\":\"{}\"}}", uuid(random), uuid(random))),
        "gravatar" => formed("https://www.gravatar.com/avatar/{h:32}?s=80", random),
        "svg-path" => (0..40).map(|_| formed("{d:1}.{d:2}-{d:1}.{d:2}c", random)).collect(),
        _ => return None,
    })
}

/// Values of public documents. Assembled here, so that no file has the form of a token.
fn example(random: &mut Random) -> String {
    let row = "1234567890abcdef";
    match random.below(8) {
        0 => ["AKIA", "IOSFODNN7", "EXAMPLE"].concat(),
        1 => ["wJalrXUtnFEMI/K7MDENG/", "bPxRfiCY", "EXAMPLEKEY"].concat(),
        2 => format!("ghp_{}", "x".repeat(36)),
        3 => format!("sk-ant-api03-{}", "x".repeat(40)),
        4 => format!("sk-{row}{row}{row}"),
        5 => format!("AIzaSy{}", "x".repeat(33)),
        6 => "xoxb-your-bot-token-here".to_owned(),
        _ => format!("glpat-{}", "a".repeat(20)),
    }
}
