use aws_lc_rs::digest::{SHA256, digest};

/// Values that documentation shows, or that every installation of a program has: the first eight bytes of the SHA-256
/// of each, `printf %s VALUE | sha256sum | cut -c-16`. They give access to nothing.
const PUBLISHED: [u64; 43] = [
    // The tokens that https://jwt.io shows first, today and formerly; signed with a published secret.
    0x7f75_367e_7881_2551,
    0xda81_6f9f_2c16_e6c5,
    0xc794_fa6d_20c6_4efb,
    // https://pyjwt.readthedocs.io, its first example, and the same with the former header.
    0xbf14_5d93_80bb_e05b,
    0x84ff_1db3_4a41_ab1c,
    // RFC 7515, appendix A.1: the token, and its key.
    0x8d4e_f653_6dc8_895f,
    0x8b1b_17a9_740c_068a,
    // https://learn.microsoft.com/azure/storage/common/storage-use-azurite: the key of every Azurite.
    0x0011_cc25_eb43_2071,
    // https://learn.microsoft.com/azure/cosmos-db/emulator: the key of every emulator.
    0xaa65_4743_9583_c3a2,
    // https://docs.discord.com/developers/reference, *Authentication*.
    0x02f7_ce3c_263f_85c0,
    // RFC 6749: 5.1 both tokens, 2.3.1 the login and the client's secret, 7.1.
    0x6c96_130f_130a_b0d6,
    0x00cf_4c78_1dc3_7003,
    0xca74_59e2_b267_76de,
    0xe997_4c50_7d2a_8021,
    0xa71b_359a_87af_de13,
    // RFC 6750, section 2.1.
    0xb8e1_4854_5b13_c78b,
    // OpenID Connect Core 1.0, 3.1.3.3, and Dynamic Client Registration 1.0, 3.2.
    0xad71_fb41_6553_6675,
    0x9221_2b05_a8b8_f6bb,
    // RFC 7591, section 3.2.1.
    0x90fd_21a6_68f4_b121,
    // RFC 5849, sections 1.2 and 3.1.
    0xcb87_c87e_4a13_8d9a,
    0x4c20_e6f5_cc11_b937,
    0x6aa1_4267_d949_44e6,
    0xbb9b_1163_338b_2a51,
    0x649e_1f5c_769e_718b,
    0x2ff8_b0fb_93ac_a981,
    // OAuth Core 1.0, sections 5.4.1 and 5.3.
    0x9d03_b692_e941_d5ac,
    0x2d24_69b4_b41f_1efb,
    // Keys of samples in firebase-android-sdk and firebase-ios-sdk, as the rule gcp-api-key of gitleaks 8.30 lists them.
    0xf56e_3234_94a6_ffc2,
    0x2037_abca_ffb2_b777,
    0x3f37_0c9d_d822_5c63,
    0xe4a5_542b_b7fd_7b67,
    0xa19f_89ab_3555_eac1,
    0xeb54_0d2b_6ee2_a0a4,
    0x37f8_f09b_df12_c2f2,
    0x8731_261c_b72d_8626,
    0x49f7_77db_995e_8260,
    0x27a9_a429_31df_f7eb,
    0xdc0f_cf04_6c61_640c,
    0x4c98_242d_cadc_8b29,
    0xea9b_b108_2cf9_5663,
    0x3a8b_61d0_f636_b007,
    0xa6c8_14bc_555a_e62c,
    // https://docs.cloud.google.com/docs/authentication/api-keys, *API key strings*.
    0xac92_65e5_6c79_b234,
];

/// The shortest value in this list, bytes, and the longest.
const BYTES_MIN: usize = 10;
const BYTES_MAX: usize = 512;

/// Whether a value is in the list.
pub(crate) fn is_published(value: &[u8]) -> bool {
    if value.len() < BYTES_MIN || value.len() > BYTES_MAX {
        return false;
    }
    let whole = digest(&SHA256, value);
    whole.as_ref().first_chunk().is_some_and(|first| PUBLISHED.contains(&u64::from_be_bytes(*first)))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use crate::{Rules, TextKind, in_anything};

    /// A JSON Web Token like those in documentation.
    fn token(body: &str, secret: &str) -> String {
        let parts = [r#"{"alg":"HS256","typ":"JWT"}"#, body].map(|part| URL_SAFE_NO_PAD.encode(part));
        let text = parts.join(".");
        let end = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(end))
    }

    fn found(line: &str) -> usize {
        let rules = Rules::shipped().unwrap();
        let all = in_anything(line.as_bytes(), rules);
        all.iter().filter(|one| one.is_likely(line.as_bytes(), TextKind::Program)).count()
    }

    #[test]
    fn published_values_are_no_secrets() {
        let body = r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#;
        let line = |secret: &str| format!("    {}\n", token(body, secret));
        assert_eq!((found(&line("your-256-bit-secret")), found(&line("a secret of one's own"))), (0, 1));
        let sent = |token: &str| format!("Authorization: Bearer {token}\n");
        assert_eq!((found(&sent(&["h480dj", "s93hd8"].concat())), found(&sent("h480djs93hd9"))), (0, 1));
        let login = |password: &str| STANDARD.encode(format!("s6BhdRkqt3:{password}"));
        let basic = |password: &str| format!("Authorization: Basic {}\n", login(password));
        assert_eq!((found(&basic(&["gX1fB", "at3bV"].concat())), found(&basic("gX1fBat3bW"))), (0, 1));
        let named = |value: &str| format!("refresh_token = \"{value}\"\n");
        assert_eq!(
            (found(&named(&["hh5s93j4", "hdidpola"].concat())), found(&named("hh5s93j4hdidpolb"))),
            (0, 1)
        );
    }
}
