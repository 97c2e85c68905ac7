use std::path::PathBuf;
use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

use crate::connector::Https;

/// Where region, credentials and endpoint come from. By default from where every tool of AWS takes them: the environment,
/// `~/.aws`, a role of the machine or container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsSettings {
    /// The profile, instead of AWS_PROFILE.
    pub profile: Option<String>,
    /// The region, instead of AWS_REGION and that of the profile.
    pub region: Option<String>,
    /// The address of every service, instead of AWS_ENDPOINT_URL and that of the profile.
    pub endpoint: Option<String>,
    /// The configuration file, instead of `~/.aws/config` and `~/.aws/credentials`.
    pub config_file: Option<PathBuf>,
}

impl AwsSettings {
    /// Reads them; `region` comes before every other. The SDK repeats no request: a caller decides that.
    pub async fn load(&self, region: Option<&str>) -> SdkConfig {
        self.loader(region).load().await
    }

    /// Reads them for this region. The credentials are those of a named profile alone, where one is named: variables of the
    /// environment do not come before it. One look-up of them has `limit`.
    pub(crate) async fn login(&self, region: &str, limit: Duration) -> SdkConfig {
        let cache = IdentityCache::lazy().load_timeout(limit).build();
        let mut loader = self.loader(Some(region)).identity_cache(cache);
        if let Some(profile) = &self.profile {
            let config = ProviderConfig::without_region()
                .with_http_client(Https)
                .with_region(Some(Region::new(region.to_owned())))
                .with_retry_config(RetryConfig::disabled());
            let mut provider =
                ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile);
            if let Some(files) = self.files() {
                provider = provider.profile_files(files);
            }
            loader = loader.credentials_provider(provider.build());
        }
        loader.load().await
    }

    fn loader(&self, region: Option<&str>) -> ConfigLoader {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Https)
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region.or(self.region.as_deref()) {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(files) = self.files() {
            loader = loader.profile_files(files);
        }
        loader
    }

    fn files(&self) -> Option<EnvConfigFiles> {
        let file = self.config_file.as_ref()?;
        Some(EnvConfigFiles::builder().with_file(EnvConfigFileKind::Config, file).build())
    }
}
