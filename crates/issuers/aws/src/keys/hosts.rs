use crate::settings::AwsSettings;

/// The region where there is none, because an address is given.
const DEFAULT_REGION: &str = "us-east-1";

/// One service: its address, and the region that its requests are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) url: String,
    pub(super) region: String,
}

/// The services that are asked. Variables of the environment and a profile change none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hosts {
    pub(super) iam: Service,
    pub(super) sts: Service,
}

impl Hosts {
    /// The services of a region, or one address for both. Source of the names:
    /// <https://docs.aws.amazon.com/general/latest/gr/iam-service.html>,
    /// <https://docs.aws.amazon.com/general/latest/gr/sts.html>,
    /// <https://docs.amazonaws.cn/en_us/aws/latest/userguide/endpoints-arns.html>.
    ///
    /// # Errors
    /// No region, or one of a partition whose services have other names; the text says which.
    pub(super) fn of(settings: &AwsSettings) -> Result<Self, String> {
        let given = settings.region.as_deref().filter(|region| !region.is_empty());
        let default = settings.endpoint.as_ref().map(|_| DEFAULT_REGION);
        let region = given.or(default).ok_or_else(|| "no region is configured".to_owned())?;
        // IAM is one service for a whole partition.
        let (iam, iam_region, suffix) = if region.starts_with("cn-") {
            ("iam.cn-north-1", "cn-north-1", "amazonaws.com.cn")
        } else if region.starts_with("us-gov-") {
            ("iam.us-gov", "us-gov-west-1", "amazonaws.com")
        } else if region.starts_with("eusc-")
            || region.split('-').nth(1).is_some_and(|part| part.starts_with("iso"))
        {
            return Err(format!("{region} is a region of a partition whose addresses keyroll does not know"));
        } else {
            ("iam", "us-east-1", "amazonaws.com")
        };
        let url = |name: &str| match &settings.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://{name}.{suffix}"),
        };
        Ok(Self {
            iam: Service { url: url(iam), region: iam_region.to_owned() },
            sts: Service { url: url(&format!("sts.{region}")), region: region.to_owned() },
        })
    }

    /// Host and port of each; that of STS, which is asked whether a key works, is the last one.
    pub(super) fn authorities(&self) -> Vec<String> {
        let mut all = vec![authority(&self.iam.url), authority(&self.sts.url)];
        all.dedup();
        all
    }
}

fn authority(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let host = rest.split('/').next().unwrap_or(rest);
    // The last colon of `[::1]` is none of a port.
    if host.rsplit(']').next().unwrap_or(host).contains(':') {
        return host.to_owned();
    }
    format!("{host}:{}", if scheme == "http" { 80 } else { 443 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(region: Option<&str>, endpoint: Option<&str>) -> Result<Hosts, String> {
        Hosts::of(&AwsSettings {
            region: region.map(str::to_owned),
            endpoint: endpoint.map(str::to_owned),
            ..AwsSettings::default()
        })
    }

    #[test]
    fn the_hosts_are_those_of_the_partition_and_iam_is_signed_for_its_one_region() {
        type Case<'a> = (Option<&'a str>, Option<&'a str>, &'a str, &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            (
                Some("eu-west-1"),
                None,
                "us-east-1",
                &["iam.amazonaws.com:443", "sts.eu-west-1.amazonaws.com:443"],
            ),
            (
                Some("cn-northwest-1"),
                None,
                "cn-north-1",
                &["iam.cn-north-1.amazonaws.com.cn:443", "sts.cn-northwest-1.amazonaws.com.cn:443"],
            ),
            (
                Some("us-gov-east-1"),
                None,
                "us-gov-west-1",
                &["iam.us-gov.amazonaws.com:443", "sts.us-gov-east-1.amazonaws.com:443"],
            ),
            (None, Some("http://127.0.0.1:5000/"), "us-east-1", &["127.0.0.1:5000"]),
            (Some("eu-west-1"), Some("https://aws.example"), "us-east-1", &["aws.example:443"]),
            (None, Some("http://[::1]"), "us-east-1", &["[::1]:80"]),
        ];
        for (region, endpoint, iam_region, all) in cases {
            let hosts = hosts(region, endpoint).unwrap();
            assert_eq!(hosts.authorities(), all, "{region:?} {endpoint:?}");
            assert_eq!(hosts.iam.region, iam_region);
            assert_eq!(hosts.sts.region, region.unwrap_or(DEFAULT_REGION));
        }
    }

    #[test]
    fn another_partition_is_refused() {
        for region in
            ["us-iso-east-1", "us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1", "eusc-de-east-1"]
        {
            assert!(hosts(Some(region), None).unwrap_err().contains(region));
        }
        assert!(hosts(None, None).is_err() && hosts(Some(""), None).is_err());
    }
}
