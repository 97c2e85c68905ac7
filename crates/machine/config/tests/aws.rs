//! The access keys of an IAM user.

use keyroll_config::{AwsUser, Config, IssuerRef};

use crate::refuses::{expect, with_secret};

fn with_aws(lines: &str) -> String {
    format!("version = 1\n[secrets.mail]\nissuer = \"aws-access-key\"\n{lines}")
}

#[test]
fn the_user_is_read_with_where_aws_is() {
    let text = with_aws(
        "[secrets.mail.aws]\nuser = \"mail+er@x\"\naccount = \"123456789012\"\nprofile = \"my rotator\"\nregion = \"eu-west-1\"\n",
    );
    let config = Config::parse(&text, "keyroll.toml").unwrap();
    let secret = config.secret("mail").unwrap();
    assert_eq!(secret.issuer, IssuerRef::AwsAccessKey);
    let user = AwsUser {
        user: "mail+er@x".to_owned(),
        account: "123456789012".to_owned(),
        profile: Some("my rotator".to_owned()),
        region: Some("eu-west-1".to_owned()),
        endpoint: None,
    };
    assert_eq!(secret.aws, Some(user));
    let fields: Vec<_> = secret.fields.iter().map(|(name, field)| (name.as_str(), field.secret)).collect();
    assert_eq!(fields, [("access_key_id", false), ("secret_access_key", true)]);
}

#[test]
fn a_table_that_cannot_work_is_refused() {
    let table = |lines: &str| with_aws(&format!("[secrets.mail.aws]\n{lines}"));
    let with_user = |user: &str| {
        table(&format!("user = \"{user}\"\naccount = \"123456789012\"\nregion = \"eu-west-1\"\n"))
    };
    expect(&with_aws(""), "K0004", 3, "aws]` table");
    expect(&table("account = \"123456789012\"\nregion = \"eu-west-1\"\n"), "K0004", 4, "`user` is missing");
    for wrong in ["", "division/mailer", "arn:aws:iam::123456789012:user/mailer", "mailer; rm -rf ."] {
        expect(&with_user(wrong), "K0004", 5, "`aws.user`");
    }
    let no_account = table("user = \"m\"\nregion = \"eu-west-1\"\n");
    expect(&no_account, "K0004", 4, "`account` is missing");
    expect(&no_account, "K0004", 4, "account = \"123456789012\"");
    for wrong in ["", "12345678901", "1234567890123", "12345678901x", "1234-5678-9012"] {
        let text = with_user("m").replace("account = \"123456789012\"", &format!("account = \"{wrong}\""));
        expect(&text, "K0004", 6, "account = \"123456789012\"");
    }
    let no_region = with_user("m").replace("region = \"eu-west-1\"\n", "");
    expect(&no_region, "K0004", 4, "region = \"eu-west-1\"");
    Config::parse(&(no_region.clone() + "endpoint = \"http://127.0.0.1:5000\"\n"), "keyroll.toml").unwrap();
    expect(&(no_region.clone() + "region = \"EU West\"\n"), "K0004", 7, "`aws.region`");
    expect(&(no_region + "endpoint = \"http://192.0.2.1\"\n"), "K0004", 7, "must be https://");
    expect(&(with_user("m") + "usr = \"m\"\n"), "K0004", 8, "did you mean `user`?");
    let admin = with_user("m").replace("[secrets.mail.aws]", "admin = \"file:./k\"\n[secrets.mail.aws]");
    expect(&admin, "K0004", 4, "usual AWS configuration");
    let store =
        with_user("m").replace("[secrets.mail.aws]", "store = \"aws-sm:prod/m#K\"\n[secrets.mail.aws]");
    expect(&store, "K0004", 4, "without it");
    expect(
        &with_secret("[secrets.acme.aws]\nuser = \"m\"\naccount = \"123456789012\"\n"),
        "K0004",
        4,
        "goes with `issuer",
    );
}
