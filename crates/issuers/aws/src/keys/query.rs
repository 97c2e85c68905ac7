use std::fmt;

use aws_config::{Region, SdkConfig};
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::service_clock_skew::ServiceClockSkewInterceptor;
use aws_smithy_query::QueryWriter;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::orchestrator::{
    HttpRequest, HttpResponse, OrchestratorError, SensitiveOutput,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::{SharedRuntimePlugin, StaticRuntimePlugin};
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use zeroize::Zeroizing;

use super::hosts::Service;
use crate::sdk_error::AwsError;

/// The version of IAM's interface. Source: <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonParameters.html>.
const VERSION: &str = "2010-05-08";

/// Reads what a call is made for from an answer with status 2xx.
pub(super) type Reader<T> = fn(&HttpResponse) -> Result<T, XmlDecodeError>;

/// The requests to IAM: each is a form, and the answer is XML. The SDK of AWS signs and sends them. Its package for IAM has
/// every call of IAM and takes minutes to compile, so the few calls of this room are written here.
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html>.
pub(super) struct Query {
    url: String,
    /// The login, the signature and the connection.
    signed: SharedRuntimePlugin,
}

impl Query {
    /// With the login and the connection of `config`, and with the address and the region of `service` alone.
    pub(super) fn new(config: &SdkConfig, service: &Service) -> Self {
        let mut components = RuntimeComponentsBuilder::new("iam")
            .with_http_client(config.http_client())
            .with_identity_cache(config.identity_cache())
            .with_time_source(config.time_source())
            .with_sleep_impl(config.sleep_impl())
            .with_auth_scheme(SigV4AuthScheme::new())
            .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])));
        if let Some(login) = config.credentials_provider() {
            components.set_identity_resolver(SCHEME_ID, login);
        }
        if config.disable_clock_skew_correction() != Some(true) {
            components.push_interceptor(ServiceClockSkewInterceptor::new());
        }
        let mut layer = Layer::new("iam");
        layer.store_put(AuthSchemeOptionResolverParams::new(()));
        layer.store_put(SigV4OperationSigningConfig {
            region: Some(Region::new(service.region.clone()).into()),
            name: Some("iam".into()),
            ..SigV4OperationSigningConfig::default()
        });
        layer.store_put(SensitiveOutput);
        let signed = StaticRuntimePlugin::new().with_config(layer.freeze());
        let signed = SharedRuntimePlugin::new(signed.with_runtime_components(components));
        Self { url: service.url.clone(), signed }
    }

    /// Makes one attempt. `fields`: what the action is told, by its names in AWS's reference.
    ///
    /// # Errors
    /// AWS refuses it, or there is no answer that can be read.
    pub(super) async fn ask<T: Send + Sync + 'static>(
        &self,
        action: &'static str,
        fields: &[(&str, &str)],
        read: Reader<T>,
    ) -> Result<T, AwsError> {
        let operation = Operation::builder()
            .service_name("IAM")
            .operation_name(action)
            .endpoint_url(&self.url)
            .no_retry()
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .runtime_plugin(self.signed.clone())
            .serializer(request)
            .deserializer(move |answer| outcome(answer, read).map_err(OrchestratorError::operation))
            .build();
        let asked = operation.invoke(form(action, fields)).await;
        asked.map(|Read(read)| read).map_err(|error| AwsError::of(&error))
    }
}

/// What was read from an answer. It may be a secret, and the SDK prints what it traces.
struct Read<T>(T);

impl<T> fmt::Debug for Read<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

fn form(action: &str, fields: &[(&str, &str)]) -> String {
    let mut form = String::new();
    let mut writer = QueryWriter::new(&mut form, action, VERSION);
    for (name, value) in fields {
        writer.prefix(name).string(value);
    }
    writer.finish();
    form
}

fn request(form: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(form));
    request.set_method("POST")?;
    request.headers_mut().try_insert("content-type", "application/x-www-form-urlencoded")?;
    Ok(request)
}

/// An answer that is none of AWS is an error without a code, whatever its status. Its text is in no error.
fn outcome<T>(answer: &HttpResponse, read: Reader<T>) -> Result<Read<T>, ErrorMetadata> {
    if answer.status().is_success() {
        return read(answer).map(Read).map_err(|_| ErrorMetadata::default());
    }
    Err(refusal(answer).unwrap_or_default())
}

/// The code and the message of an `Error` directly in the answer's element. Source:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/programming.html>.
fn refusal(answer: &HttpResponse) -> Result<ErrorMetadata, XmlDecodeError> {
    let mut document = Document::try_from(answer.body().bytes().unwrap_or_default())?;
    let mut root = document.root_element()?;
    let mut refusal = ErrorMetadata::default();
    while let Some(mut element) = root.next_tag() {
        if element.start_el().matches("Error") {
            let [code, message] = texts(&mut element, ["Code", "Message"])?;
            if !code.is_empty() {
                refusal = ErrorMetadata::builder().code(code.as_str()).message(message.as_str()).build();
            }
        }
    }
    Ok(refusal)
}

/// Reads each element of the result in an answer to `action`.
///
/// # Errors
/// It is no answer to `action`, or an element cannot be read.
pub(super) fn each(
    answer: &HttpResponse,
    action: &str,
    mut read: impl FnMut(&mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<(), XmlDecodeError> {
    let mut document = Document::try_from(answer.body().bytes().unwrap_or_default())?;
    let mut root = document.root_element()?;
    if !root.start_el().matches(&format!("{action}Response")) {
        return Err(XmlDecodeError::custom("the answer of another action"));
    }
    let mut result = root.next_tag().ok_or_else(|| XmlDecodeError::custom("no result"))?;
    if !result.start_el().matches(&format!("{action}Result")) {
        return Err(XmlDecodeError::custom("the result of another action"));
    }
    while let Some(mut element) = result.next_tag() {
        read(&mut element)?;
    }
    Ok(())
}

/// The texts of the elements of these names in an element; empty for one that is not there.
pub(super) fn texts<const N: usize>(
    within: &mut ScopedDecoder<'_, '_>,
    names: [&str; N],
) -> Result<[Zeroizing<String>; N], XmlDecodeError> {
    let mut texts = names.map(|_| Zeroizing::default());
    while let Some(mut element) = within.next_tag() {
        let mut wanted = names.iter().zip(&mut texts);
        if let Some((_, text)) = wanted.find(|(name, _)| element.start_el().matches(name)) {
            *text = Zeroizing::new(try_data(&mut element)?.into_owned());
        }
    }
    Ok(texts)
}
