use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{Builder, StalledStreamProtectionConfig};

use super::connector::Https;

/// Where region, credentials and endpoint come from. By default from where every tool of AWS takes them: the environment,
/// `~/.aws`, a role of the machine or container.
#[derive(Debug, Clone, Default)]
pub struct AwsSettings {
    /// The profile, instead of AWS_PROFILE.
    pub profile: Option<String>,
    /// The configuration file, instead of `~/.aws/config` and `~/.aws/credentials`.
    pub config_file: Option<PathBuf>,
}

impl AwsSettings {
    /// Reads them. The SDK repeats no request: a caller decides that.
    pub(super) async fn load(&self, region: Option<&str>) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Https)
            .retry_config(RetryConfig::disabled());
        if let Some(region) = region {
            loader = loader.region(Region::new(region.to_owned()));
        }
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(file) = &self.config_file {
            let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Config, file);
            loader = loader.profile_files(files.build());
        }
        loader.load().await
    }
}

/// The client. Answers come whole from the connector, so that there is no stream to watch.
pub(super) fn client(loaded: &SdkConfig) -> Client {
    let config = Builder::from(loaded).stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}
