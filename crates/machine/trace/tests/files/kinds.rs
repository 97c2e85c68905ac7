use super::{Home, generated, of};

/// File, text with `@` in place of the value, the value's name there, and whether its format has a slot for it.
const KINDS: [(&str, &str, &str, bool); 74] = [
    (".env", "A=1\nexport DB_PASSWORD='@' # x\n", "DB_PASSWORD", true),
    ("api.env.bak", "DB_PASSWORD=@\n", "DB_PASSWORD", true),
    ("app.env", "PORT=80\nWIDGET_KEY=@\n", "WIDGET_KEY", true),
    ("unit/w.service", "[Service]\nEnvironment=\"MODE=x\" \"WIDGET_KEY=@\"\n", "WIDGET_KEY", false),
    ("w/compose.yaml", "services:\n  a:\n    environment:\n      - WIDGET_KEY=@\n", "WIDGET_KEY", true),
    ("w.yaml", "spec:\n  env:\n    - name: WIDGET_KEY\n      value: \"@\"\n", "WIDGET_KEY", true),
    ("w.json", r#"{"env":{"WIDGET_KEY":"@"}}"#, "WIDGET_KEY", true),
    (".bashrc", "alias a=b\nexport API_TOKEN=\"@\"\n", "API_TOKEN", false),
    (".zsh_history", ": 1:0;curl -H 'Authorization: Bearer @' https://h\n", "Authorization", false),
    ("unit/a.service", "[Service]\nEnvironment=\"MODE=x\" \"API_TOKEN=@\"\n", "API_TOKEN", false),
    ("unit/a.service.d/10.conf", "[Service]\nEnvironment=API_TOKEN=@\n", "API_TOKEN", false),
    ("unit/b.service", "[Service]\nExecStart=/bin/b --api-key @ --port 1\n", "api-key", false),
    ("cron.d/job", "API_TOKEN=@\n* * * * * root job\n", "API_TOKEN", false),
    ("compose.yaml", "services:\n  a:\n    environment:\n      - API_TOKEN=@\n", "API_TOKEN", true),
    ("compose.map.yml", "services:\n  a:\n    environment:\n      API_TOKEN: '@'\n", "API_TOKEN", true),
    ("pod.yaml", "spec:\n  env:\n    - name: API_TOKEN\n      value: \"@\"\n", "API_TOKEN", true),
    ("two.yaml", "a: b\n---\nAPI_TOKEN: @\n", "API_TOKEN", false),
    (".gitlab-ci.yml", "variables:\n  DEPLOY_TOKEN: \"@\"\n", "DEPLOY_TOKEN", true),
    (".mcp.json", r#"{"mcpServers":{"x":{"env":{"API_TOKEN":"@"}}}}"#, "API_TOKEN", true),
    ("args.json", r#"{"args":["run","--api-key","@"]}"#, "api-key", true),
    ("joined.json", r#"{"args":["--api-key=@"]}"#, "api-key", true),
    ("openclaw.json.last-good", "{models:1}\n \"apiKey\": \"@\",\n", "apiKey", false),
    ("openclaw.json", r#"{"models":{"providers":{"p":{"apiKey":"@"}}}}"#, "models.providers.p.apiKey", true),
    (".kube/config", "users:\n- name: a\n  user:\n    token: @\n", "users.0.user.token", true),
    (".netrc", "machine h.net login u password @\n", "h.net", true),
    (".pgpass", "h:5432:d:u:@\n", "h:5432:d:u", true),
    (".git-credentials", "https://u:@@h.net\n", "https://u@h.net", true),
    (".git/config", "[remote \"o\"]\n\turl = https://u:@@h.net/r\n", "remote \"o\".url", true),
    (".aws/credentials", "[default]\naws_secret_access_key = @\n", "default.aws_secret_access_key", true),
    ("msal_token_cache.json", r#"{"AccessToken":{"x":{"secret":"@"}}}"#, "AccessToken.x.secret", true),
    (".npmrc", "//registry.npmjs.org/:_authToken=@\n", "//registry.npmjs.org/:_authToken", true),
    (".pypirc", "[pypi]\npassword: @\n", "pypi.password", true),
    ("Dockerfile", "FROM x\nENV API_TOKEN @\n", "API_TOKEN", false),
    ("secrets/db_password", "@\n", "db_password", true),
    ("settings.toml", "[db]\npassword = \"@\"\n", "db.password", true),
    ("url.env", "DATABASE_URL=postgres://u:@@db/x\n", "DATABASE_URL", true),
    ("appsettings.json", r#"{"Db":"Server=h;User=u;Password=@;"}"#, "Db", true),
    ("deploy.sh", "docker run -d -e API_TOKEN=@ image\n", "API_TOKEN", false),
    (
        "home/.netrc",
        "machine a login u password changeme\ndefault\n\tlogin u\n\tpassword @\n",
        "default",
        false,
    ),
    (
        "pgbouncer/userlist.txt",
        "; c\n\"app\" \"@\"\n\"old\" \"md5d41d8cd98f00b204e9800998ecf8427e\"\n",
        "app",
        false,
    ),
    ("unit/c.service", "[Service]\nSetCredential=db_password:@\n", "db_password", false),
    ("credstore/db.token", "@", "db", true),
    ("crontabs/ada", "API_TOKEN=@\n* * * * * job\n", "API_TOKEN", false),
    (".config/fish/config.fish", "set -gx API_TOKEN @\n", "API_TOKEN", false),
    (".cshrc", "setenv API_TOKEN '@'\n", "API_TOKEN", false),
    (".config/environment.d/10.conf", "API_TOKEN=@\n", "API_TOKEN", false),
    (".github/workflows/ci.yml", "on: push\njobs:\n  a:\n    env:\n      API_TOKEN: @\n", "API_TOKEN", true),
    (
        ".circleci/config.yml",
        "jobs:\n  a:\n    steps:\n      - run: \"curl -H 'Authorization: Bearer @' h\"\n",
        "jobs.a.steps.0.run",
        true,
    ),
    ("Jenkinsfile", "pipeline {\n  environment {\n    API_TOKEN = '@'\n  }\n}\n", "API_TOKEN", false),
    (
        "bitbucket-pipelines.yml",
        "pipelines:\n  default:\n    - step:\n        script:\n          - export API_TOKEN=@\n",
        "API_TOKEN",
        true,
    ),
    (
        ".config/gcloud/application_default_credentials.json",
        r#"{"client_id":"i","refresh_token":"@"}"#,
        "refresh_token",
        true,
    ),
    (
        ".azure/service_principal_entries.json",
        r#"[{"client_id":"i","client_secret":"@"}]"#,
        "0.client_secret",
        true,
    ),
    (
        ".config/gh/hosts.yml",
        "github.com:\n    oauth_token: @\n    user: u\n",
        "github.com.oauth_token",
        true,
    ),
    (".config/rclone/rclone.conf", "[s3]\ntype = s3\nsecret_access_key = @\n", "secret_access_key", false),
    (
        ".terraform.d/credentials.tfrc.json",
        r#"{"credentials":{"app.terraform.io":{"token":"@"}}}"#,
        "credentials.app.terraform.io.token",
        true,
    ),
    ("prod.tfvars", "db_password = \"@\"\n", "db_password", false),
    (".kube/other.yaml", "users:\n- user:\n    client-key-data: @\n", "users.0.user.client-key-data", true),
    ("secret.yaml", "kind: Secret\nstringData:\n  api-token: @\n", "stringData.api-token", true),
    (".pm2/dump.pm2", r#"[{"name":"a","env":{"API_TOKEN":"@"}}]"#, "API_TOKEN", true),
    (
        "ecosystem.config.js",
        "module.exports = {apps: [{\n  env: {\n    API_TOKEN: '@',\n  }}]}\n",
        "API_TOKEN",
        false,
    ),
    (
        "supervisor/supervisord.conf",
        "[program:a]\nenvironment=MODE=\"x\",API_TOKEN=\"@\"\n",
        "API_TOKEN",
        true,
    ),
    (".codex/auth.json", r#"{"OPENAI_API_KEY":"@"}"#, "OPENAI_API_KEY", true),
    (".claude.json", r#"{"primaryApiKey":"@"}"#, "primaryApiKey", true),
    (".claude/settings.json", r#"{"env":{"ANTHROPIC_AUTH_TOKEN":"@"}}"#, "ANTHROPIC_AUTH_TOKEN", true),
    (".hermes/config.yaml", "model:\n  api_key: @\n", "model.api_key", true),
    ("litellm/config.yaml", "general_settings:\n  master_key: @\n", "general_settings.master_key", true),
    (".n8n/config", r#"{"encryptionKey":"@"}"#, "encryptionKey", true),
    (".webui_secret_key", "@\n", "webui_secret_key", true),
    ("app.properties", "spring.datasource.password=@\n", "spring.datasource.password", false),
    ("wp-config.php", "define('DB_PASSWORD', '@');\n", "DB_PASSWORD", false),
    ("settings.py", "DATABASES = {'default': {'PASSWORD': '@'}}\n", "PASSWORD", false),
    ("web.xml", "<add key=\"ApiToken\" value=\"@\"/>\n", "ApiToken", false),
    (".bash_history", "mysql -u root --password=@ db\n", "password", false),
    ("fastcgi.conf", "fastcgi_param API_TOKEN \"@\";\n", "API_TOKEN", false),
];

#[test]
fn every_kind_of_file_shows_its_value_under_its_name_and_in_its_place() {
    let home = Home::new();
    let planted: Vec<String> = KINDS
        .iter()
        .map(|(path, text, ..)| {
            let value = generated();
            // The last of two `@` is the one before the host.
            let (before, behind) = text.split_once('@').unwrap();
            home.write(path, format!("{before}{value}{behind}"));
            value
        })
        .collect();
    let survey = home.survey();
    let mut wrong = Vec::new();
    for ((path, _, name, placed), value) in KINDS.iter().zip(&planted) {
        let found = of(&survey, value);
        let [one] = found.as_slice() else {
            wrong.push(format!("{path}: {} sightings", found.len()));
            continue;
        };
        let seen = (one.place.file() == Some(&home.at(path)), one.name.as_deref(), one.slot.is_some());
        if seen != (true, Some(*name), *placed) {
            wrong.push(format!("{path}: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing that a survey shows contains a value.
    let shown = format!("{:?} {:?} {:?}", survey.sightings, survey.unseen, survey.stores);
    assert!(planted.iter().all(|value| !shown.contains(value.as_str())));
}
