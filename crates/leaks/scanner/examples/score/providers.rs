//! Tokens as their issuers publish them. Written from the issuers' documents, not from keyroll's rules: a rule that is wrong
//! misses here.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::random::{self, Random};

/// How tokens look: `{letters:count}` is random. d digits, h and H hex, l small letters, L letters, a and A letters of one
/// case and digits, b letters and digits, 2 base32, 6 base64, u base64 for URLs.
const FORMS: [(&str, &str); 94] = [
    // Models.
    ("anthropic", "sk-ant-api03-{u:93}AA"),
    ("anthropic-admin", "sk-ant-admin01-{u:93}AA"),
    ("anthropic-oauth", "sk-ant-oat01-{u:93}AA"),
    ("openai-project", "sk-proj-{u:74}T3BlbkFJ{u:74}"),
    ("openai-service", "sk-svcacct-{u:74}T3BlbkFJ{u:74}"),
    ("openai-legacy", "sk-{b:20}T3BlbkFJ{b:20}"),
    ("google-api", "AIza{u:35}"),
    ("huggingface", "hf_{L:34}"),
    ("groq", "gsk_{b:52}"),
    ("replicate", "r8_{b:37}"),
    ("perplexity", "pplx-{b:48}"),
    ("xai", "xai-{b:80}"),
    ("openrouter", "sk-or-v1-{h:64}"),
    ("mistral", "{b:32}"),
    ("cohere", "{b:40}"),
    ("deepseek", "sk-{h:32}"),
    ("elevenlabs", "sk_{h:48}"),
    ("langsmith", "lsv2_pt_{h:32}_{h:10}"),
    ("pinecone", "pcsk_{b:5}_{b:63}"),
    ("tavily", "tvly-dev-{b:32}"),
    ("azure-openai", "{h:32}"),
    // Clouds.
    ("aws-key-id", "AKIA{2:16}"),
    ("aws-secret", "{6:40}"),
    ("aws-bedrock", "ABSKQmVkcm9ja0FQSUtleS{6:109}="),
    ("alibaba", "LTAI5t{b:18}"),
    // Since 2021 keys say what they are: learn.microsoft.com, identifiable keys.
    ("azure-storage", "{6:76}+ASt{6:5}Q=="),
    ("azure-storage-old", "{6:86}=="),
    ("azure-client", "{b:3}8Q~{u:34}"),
    ("azure-devops", "{b:76}AZDO{b:4}"),
    ("google-oauth-secret", "GOCSPX-{u:28}"),
    ("google-refresh", "1//0{d:1}{u:98}"),
    ("digitalocean", "dop_v1_{h:64}"),
    ("hetzner", "{b:64}"),
    ("linode", "{h:64}"),
    ("cloudflare", "{b:40}"),
    ("heroku", "HRKU-AA{u:58}"),
    ("netlify", "nfp_{b:36}"),
    ("vercel", "{b:24}"),
    ("tailscale", "tskey-auth-k{b:10}CNTRL-{b:32}"),
    // Code.
    ("github-fine", "github_pat_{b:22}_{b:59}"),
    ("gitlab-pat", "glpat-{u:20}"),
    ("gitlab-runner", "glrt-{u:20}"),
    ("atlassian", "ATATT3xFfGF0{u:171}={H:8}"),
    ("bitbucket-app", "ATBB{b:24}{H:8}"),
    ("rubygems", "rubygems_{h:48}"),
    ("crates-io", "cio{b:32}"),
    ("dockerhub", "dckr_pat_{u:27}"),
    ("circleci", "CCIPAT_{b:22}_{h:40}"),
    ("buildkite", "bkua_{h:40}"),
    ("sonar", "squ_{h:40}"),
    ("vault", "hvs.CAESI{u:88}"),
    ("terraform", "{b:14}.atlasv1.{b:67}"),
    ("pulumi", "pul-{h:40}"),
    ("doppler", "dp.pt.{b:43}"),
    ("linear", "lin_api_{b:40}"),
    ("notion", "ntn_{d:11}{b:35}"),
    ("airtable", "pat{b:14}.{h:64}"),
    ("figma", "figd_{u:40}"),
    ("postman", "PMAK-{h:24}-{h:34}"),
    ("asana", "2/{d:16}/{d:16}:{h:32}"),
    // Messages.
    ("slack-bot", "xoxb-{d:12}-{d:13}-{b:24}"),
    ("slack-user", "xoxp-{d:12}-{d:12}-{d:13}-{h:32}"),
    ("slack-app", "xapp-1-A{A:10}-{d:13}-{h:64}"),
    ("slack-webhook", "https://hooks.slack.com/services/T{A:10}/B{A:10}/{b:24}"),
    ("discord-webhook", "https://discord.com/api/webhooks/{d:19}/{u:68}"),
    ("telegram", "7{d:9}:AA{u:33}"),
    ("twilio-token", "{h:32}"),
    ("sendgrid", "SG.{u:22}.{u:43}"),
    ("mailgun", "key-{h:32}"),
    ("mailgun-new", "{h:32}-{h:8}-{h:8}"),
    ("mailchimp", "{h:32}-us1{d:1}"),
    ("resend", "re_{b:8}_{b:24}"),
    ("facebook", "EAA{b:180}"),
    ("hubspot", "pat-na1-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}"),
    // Payments.
    ("stripe-live", "sk_live_51{b:97}"),
    ("stripe-short", "sk_live_{b:24}"),
    ("stripe-restricted", "rk_live_51{b:97}"),
    ("stripe-webhook", "whsec_{b:32}"),
    ("shopify", "shpat_{h:32}"),
    ("square", "EAAA{u:60}"),
    ("braintree", "access_token$production${a:16}${h:32}"),
    ("plaid", "access-production-{h:8}-{h:4}-{h:4}-{h:4}-{h:12}"),
    ("flutterwave", "FLWSECK-{h:32}-X"),
    // Data and services.
    ("databricks", "dapi{h:32}"),
    ("supabase", "sbp_{h:40}"),
    ("planetscale", "pscale_tkn_{u:43}"),
    ("datadog", "{h:32}"),
    ("newrelic", "NRAK-{A:27}"),
    ("dynatrace", "dt0c01.{2:24}.{2:64}"),
    ("sentry-user", "sntryu_{h:64}"),
    ("okta", "00{u:40}"),
    ("auth0", "{u:64}"),
    ("typeform", "tfp_{b:44}_{b:14}"),
    ("contentful", "CFPAT-{u:43}"),
];

/// A token of an issuer; `None` for an issuer that is not known here.
pub fn value(kind: &str, random: &mut Random) -> Option<String> {
    if let Some((_, form)) = FORMS.iter().find(|(name, _)| *name == kind) {
        return Some(formed(form, random));
    }
    Some(match kind {
        // Source: https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/
        "github-pat" => with_crc62("ghp_", random),
        "github-app" => with_crc62("ghs_", random),
        "github-oauth" => with_crc62("gho_", random),
        "npm" => with_crc62("npm_", random),
        // Source: https://github.com/grafana/grafana, pkg/components/satokengen
        "grafana" => {
            let head = format!("glsa_{}", random.mixed(random::BASE62, 32));
            let sum: String =
                crc32(head.as_bytes()).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{head}_{sum}")
        }
        "grafana-cloud" => {
            let key = random.letters(random::BASE62, 24);
            let claims = format!(
                "{{\"o\":\"{}\",\"n\":\"agent-{}\",\"k\":\"{key}\",\"m\":{{\"r\":\"us\"}}}}",
                random.letters("123456789", 6),
                random.below(90)
            );
            format!("glc_{}", STANDARD.encode(claims))
        }
        // A macaroon of version 2 for pypi.org: location, identifier, caveat, signature.
        // Source: https://github.com/pypi/warehouse, warehouse/macaroons
        "pypi" => {
            let id = uuid(random);
            let mut bytes = [
                &[2, 1, 8][..],
                b"pypi.org",
                &[2, 36],
                id.as_bytes(),
                &[0, 2, 14],
                b"[3,\"user-here\"",
                &[0, 0, 6, 32],
            ]
            .concat();
            bytes.extend(random.bytes(32));
            format!("pypi-{}", URL_SAFE_NO_PAD.encode(bytes))
        }
        // Base32 in small letters of bytes that begin with `v4`.
        "nuget" => {
            let fourth = random.letters("abcdefghijklmnop", 1);
            format!("oy2{fourth}{}", random.letters(random::BASE32, 42).to_lowercase())
        }
        "discord-bot" => {
            let id = format!("1{}", random.letters(random::DIGITS, 18));
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(id),
                random.mixed(random::BASE64_URL, 6),
                random.mixed(random::BASE64_URL, 38)
            )
        }
        _ => return with_claims(kind, random),
    })
}

/// Tokens that carry a document of their own.
fn with_claims(kind: &str, random: &mut Random) -> Option<String> {
    Some(match kind {
        "sentry-org" => {
            let claims = format!(
                "{{\"iat\":17{}.{},\"url\":\"https://sentry.io\",\"region_url\":\"https://us.sentry.io\",\"org\":\"acme\"}}",
                random.letters(random::DIGITS, 8),
                random.letters(random::DIGITS, 6)
            );
            format!("sntrys_{}_{}", STANDARD.encode(claims), random.letters(random::BASE64, 43))
        }
        "jwt" => {
            let head = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
            let body = format!(
                "{{\"sub\":\"{}\",\"role\":\"admin\",\"iat\":17{}}}",
                uuid(random),
                random.letters(random::DIGITS, 8)
            );
            format!(
                "{}.{}.{}",
                URL_SAFE_NO_PAD.encode(head),
                URL_SAFE_NO_PAD.encode(body),
                URL_SAFE_NO_PAD.encode(random.bytes(32))
            )
        }
        "onepassword" => {
            let claims = format!(
                "{{\"signInAddress\":\"my.1password.com\",\"userAuth\":{{\"method\":\"SRPg-4096\"}},\"email\":\"{}@1passwordserviceaccounts.com\",\"srpX\":\"{}\",\"muk\":{{\"k\":\"{}\"}},\"secretKey\":\"A3-{}\"}}",
                random.letters(random::BASE36, 13),
                random.letters(random::HEX, 64),
                random.letters(random::BASE64_URL, 43),
                random.letters(random::BASE32, 26)
            );
            format!("ops_{}", STANDARD_NO_PAD.encode(claims))
        }
        _ => return None,
    })
}

/// Fills a form.
pub fn formed(form: &str, random: &mut Random) -> String {
    let mut text = String::new();
    let mut rest = form;
    while let Some((before, behind)) = rest.split_once('{') {
        let (what, after) = behind.split_once('}').expect("a closed form");
        let (letters, count) = what.split_once(':').expect("letters and their count");
        let count = count.parse().expect("a count");
        text.push_str(before);
        text.push_str(&match letters {
            "d" => random.letters(random::DIGITS, count),
            "h" => random.letters(random::HEX, count),
            "H" => random.letters(random::HEX, count).to_uppercase(),
            "l" => random.letters(random::SMALL, count),
            "L" => random.letters(&[random::SMALL, random::CAPITALS].concat(), count),
            "a" => random.letters(random::BASE36, count),
            "A" => random.letters(random::BASE36, count).to_uppercase(),
            "2" => random.letters(random::BASE32, count),
            "6" if count >= 20 => random.mixed(random::BASE64, count),
            "6" => random.letters(random::BASE64, count),
            "u" if count >= 20 => random.mixed(random::BASE64_URL, count),
            "u" => random.letters(random::BASE64_URL, count),
            "b" if count >= 20 => random.mixed(random::BASE62, count),
            "b" => random.letters(random::BASE62, count),
            _ => panic!("unknown letters: {letters}"),
        });
        rest = after;
    }
    text + rest
}

/// As `uuidgen` writes it.
pub fn uuid(random: &mut Random) -> String {
    let variant = random.one(&["8", "9", "a", "b"]);
    formed(&format!("{{h:8}}-{{h:4}}-4{{h:3}}-{variant}{{h:3}}-{{h:12}}"), random)
}

/// Thirty random letters and six digits of base 62, their CRC-32.
fn with_crc62(prefix: &str, random: &mut Random) -> String {
    let body = random.mixed(random::BASE62, 30);
    let mut number = crc32(body.as_bytes());
    let mut end = [b'0'; 6];
    for place in end.iter_mut().rev() {
        *place = random::BASE62.as_bytes()[(number % 62) as usize];
        number /= 62;
    }
    format!("{prefix}{body}{}", String::from_utf8_lossy(&end))
}

/// As zlib has it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}
