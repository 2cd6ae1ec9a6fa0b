//! Where finished archives go (`protocol/rest.md`, 12). What is asked for is checked; uploading
//! itself is not there yet.

use std::collections::BTreeMap;
use std::fmt;

use axum::Json;
use axum::response::NoContent;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::{Asked, Body};
use super::error::ApiError;
use super::later::Answer;
use super::target::Caller;
use super::values::{Uri, Web};

const LATER: ApiError = ApiError::Unsupported("Archiving");

/// The body of `PUT …/archive/storage`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ArchiveStorage", example = json!({"type": "s3", "config": {"accessKey": "key", "secretKey": "secret", "bucket": "archives"}}))]
pub struct Storage {
    /// What kind of place.
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// Which place, and how to get in.
    #[serde(default)]
    pub config: StorageConfig,
    /// What happens to an archive that cannot be uploaded.
    #[serde(default)]
    pub fallback: Fallback,
}

/// A kind of place for archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// Amazon S3, or what is compatible.
    S3,
    /// Azure Blob Storage.
    Azure,
    /// On this machine; ours.
    Local,
}

/// What happens to an archive that cannot be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// It is lost.
    #[default]
    None,
    /// It is kept for download.
    Opentok,
}

/// A place for archives: a bucket of S3 or a container of Azure.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageConfig {
    /// S3: names who uploads.
    pub access_key: String,
    /// S3: proves it.
    pub secret_key: String,
    /// S3: where to.
    pub bucket: String,
    /// S3: the service, if it is not Amazon's.
    pub endpoint: Option<Uri<Web>>,
    /// Azure: names who uploads.
    pub account_name: String,
    /// Azure: proves it.
    pub account_key: String,
    /// Azure: where to.
    pub container: String,
    /// Azure: the service, if it is not the usual one.
    pub domain: Option<String>,
}

impl fmt::Debug for StorageConfig {
    /// Nothing of it: it holds keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageConfig").finish_non_exhaustive()
    }
}

/// Where archives go from now on: what was asked for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ArchiveStorageSet")]
pub struct Stored {
    /// What kind of place.
    #[serde(rename = "type")]
    pub kind: StorageKind,
    /// Which place, and how to get in, as it was given.
    pub config: BTreeMap<String, String>,
    /// What happens to an archive that cannot be uploaded.
    pub fallback: Fallback,
}

impl fmt::Debug for Stored {
    /// Without what lets one in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

impl Asked for Storage {
    fn check(&self) -> Result<(), ApiError> {
        let config = &self.config;
        let needed: &[(&str, &String)] = match self.kind {
            StorageKind::S3 => &[
                ("accessKey", &config.access_key),
                ("secretKey", &config.secret_key),
                ("bucket", &config.bucket),
            ],
            StorageKind::Azure => &[
                ("accountName", &config.account_name),
                ("accountKey", &config.account_key),
                ("container", &config.container),
            ],
            StorageKind::Local => &[],
        };
        match needed.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(ApiError::Invalid(format!("config.{name} is missing"))),
            None => Ok(()),
        }
    }
}

/// `PUT …/archive/storage`.
pub async fn set(_: Caller, _: Body<Storage>) -> Answer<Json<Stored>> {
    Err(LATER)
}

/// `DELETE …/archive/storage`.
pub async fn delete(_: Caller) -> Answer<NoContent> {
    Err(LATER)
}
