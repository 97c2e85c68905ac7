use super::{Home, below, generated};

#[test]
fn what_only_looks_like_a_secret_is_none() {
    let home = Home::new();
    home.write(
        ".env.example",
        "OPENAI_API_KEY=sk-your-key-here\nDB_PASSWORD=changeme\nTOKEN=${OTHER_TOKEN}\nSECRET=<secret>\nAPI_KEY=\n\
         AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\nPASSWORD=********\nMY_TOKEN=xxxxxxxxxxxxxxxxxxxx\n\
         GH_TOKEN=ghp_000000000000000000000000000000000000\nAPI_SECRET=todo\nBOT_TOKEN=1234567890:ABC\n",
    );
    home.write(
        "config.yaml",
        "api_key: os.environ/OPENAI_API_KEY\npassword: !vault |\n  x\ntoken: op://vault/item/field\n\
         secret: ENC[AES256_GCM,data:abcdef,type:str]\nauth_token: \"{{ token }}\"\npassword_hash: $2b$12$abcdefghijklmnop\n",
    );
    home.write(
        "de.json",
        r#"{"password":"Passwort eingeben","token":"Enter your token","secret":"Forgot it?"}"#,
    );
    home.write(
        "package-lock.json",
        format!("{{\"token\":\"{}\",\"integrity\":\"sha512-{}==\"}}", generated(), generated()),
    );
    let (id, sum) = ("550e8400-e29b-41d4-a716-446655440000", generated());
    home.write("app.json", format!("{{\"id\":\"{id}\",\"sha256\":\"{sum}\",\"commit\":\"{sum}\"}}"));
    home.write(
        "app.ini",
        "[app]\ntoken_file = /run/secrets/token\npassword = ${DB_PASSWORD}\napi_key = %(KEY)s\n",
    );
    home.write("code.sh", "export TOKEN=$(cat /run/token)\nAPI_KEY=\"$1\"\n");
    home.write("main.tf", "");
    home.write("prod.tfvars", "db_password = var.password\napi_token = data.vault.token\n");
    let survey = home.survey();
    let found = below(&survey, &home.at(""));
    assert!(found.is_empty(), "{found:?}");
}

/// Files that are full of texts like secrets and of names of secrets, and contain no secret.
const CLEAN: &[(&str, &str)] = &[
    (
        "openapi.yaml",
        "components:\n  securitySchemes:\n    api_key:\n      type: apiKey\n      name: X-API-Key\n      in: header\n  schemas:\n    Login:\n      properties:\n        password:\n          type: string\n          format: password\n",
    ),
    (
        "deployment.yaml",
        "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db-secret\n      key: password\n",
    ),
    (
        "values.yaml",
        "auth:\n  existingSecret: my-release-postgresql\n  passwordKey: postgres-password\nimagePullSecrets:\n- name: registry-credentials\n",
    ),
    (
        "compose.yaml",
        "services:\n  a:\n    environment:\n      DB_PASSWORD_FILE: /run/secrets/db_password\n      API_TOKEN: ${API_TOKEN:?}\n    secrets: [db_password]\nsecrets:\n  db_password:\n    file: ./db_password.txt\n",
    ),
    (
        "workflow.yml",
        "jobs:\n  a:\n    steps:\n    - run: deploy --token ${{ secrets.DEPLOY_TOKEN }}\n      env:\n        NPM_TOKEN: ${{ secrets.NPM_TOKEN }}\n",
    ),
    (
        "play.yml",
        "- hosts: all\n  vars:\n    db_password: \"{{ vault_db_password }}\"\n    api_token: \"{{ lookup('env', 'API_TOKEN') }}\"\n",
    ),
    ("main.tfvars", "db_password = var.db_password\n# api_token = \"...\"\n"),
    (
        "tokenizer_config.json",
        "{\"bos_token\":\"<|begin_of_text|>\",\"eos_token\":\"<|endoftext|>\",\"pad_token\":\"[PAD]\",\"unk_token\":null,\"max_tokens\":128000}",
    ),
    (
        "generation.json",
        "{\"max_new_tokens\":512,\"stop_token\":\"<|im_end|>\",\"token_type\":\"bearer\",\"tokenizer\":\"cl100k_base\"}",
    ),
    ("locales/de.json", "{\"password\":\"Passwort\",\"token\":\"Zugangscode\",\"secret\":\"Geheimnis\"}"),
    ("messages_fr.properties", "login.password=Mot de passe\nlogin.token=Jeton\n"),
    ("form.xml", "<input type=\"password\" name=\"password\" placeholder=\"Password\"/>\n"),
    ("mongod.conf", "security:\n  authorization: enabled\n"),
    (
        "app.ini",
        "[auth]\ntoken_ttl = 86400\npassword_min_length = 12\npassword_hash = $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA\nsecret_name = prod/db\n",
    ),
    (".htpasswd", "ada:$apr1$b4f9$kD93hfQ0plm4XyT71bQe1.\n"),
    (
        ".ssh/known_hosts",
        "github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n",
    ),
    (".ssh/id_rsa.pub", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7 ada@host\n"),
    (".gitconfig", "[credential]\n\thelper = store\n[user]\n\tsigningkey = 3AA5C34371567BD2\n"),
    (".npmrc", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\n"),
    (".netrc", "machine h login ada password ${NETRC_PASSWORD}\n"),
    (
        "unit.service",
        "[Service]\nLoadCredential=db:/etc/credstore/db\nEnvironmentFile=/etc/app.env\nEnvironment=TOKEN_FILE=/run/token\n",
    ),
    ("sums.txt", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  token.tar.gz\n"),
    ("notes.txt", "The api key is rotated each month: ask Ada for it. password: see the vault\n"),
    (
        "readme.txt",
        "export OPENAI_API_KEY=sk-...\ncurl -H \"Authorization: Bearer $OPENAI_API_KEY\" https://api.example.net\ncurl -H 'Authorization: Bearer <token>' https://h\npsql postgres://user:password@localhost/db\n",
    ),
    ("eslint.json", "{\"rules\":{\"no-secrets/no-secrets\":\"error\",\"detect-api-key\":[\"warn\"]}}"),
    (
        "request.json",
        "{\"url\":\"/login\",\"body\":{\"password\":\"{{password}}\",\"token\":\"{access_token}\"}}",
    ),
    (
        "schema.json",
        "{\"properties\":{\"api_key\":{\"type\":\"string\",\"description\":\"Your API key from the dashboard.\"}}}",
    ),
    ("fetch.json", "{\"credentials\":\"same-origin\",\"csrf_token_name\":\"_csrf\"}"),
    ("query.toml", "[db]\npassword = \":db_password\"\nsecret = { env = \"DB_SECRET\" }\n"),
];

#[test]
fn what_people_write_about_secrets_is_none() {
    let home = Home::new();
    for (path, text) in CLEAN {
        home.write(path, text);
    }
    let survey = home.survey();
    let found = below(&survey, &home.at(""));
    assert!(found.is_empty(), "{found:#?}");
}
